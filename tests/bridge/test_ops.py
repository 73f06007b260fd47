# SPDX-License-Identifier: MIT
"""/live /ready /status /metrics and the command status."""
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess

import bridging

DOCS = os.path.join(bridging.HERE, "..", "..", "docs", "bridge.md")


class Ops(bridging.Case):
    def test_endpoints(self):
        running = self.bridge(self.simple(3))
        running.until_route("one", "the events", lambda route: route["published"] == 3)
        self.assertEqual(running.get("/live")[::2], (200, b"live\n"))
        status, headers, body = running.get("/ready")
        self.assertEqual((status, headers["Content-Type"]), (200, "application/json"))
        self.assertEqual(json.loads(body), {"ready": True, "routes": [
            {"name": "one", "source": "feed", "broker": "main", "state": "active", "error": ""}]})
        route = running.routes()["one"]
        for name, value in (("received", 3), ("published", 3), ("in_flight", 0), ("rejected", 0), ("errors", 0)):
            self.assertEqual((name, route[name]), (name, value))
        self.assertEqual(running.get("/nothing")[0], 404)
        self.assertEqual(bridging.request(self.port, "/live", "POST", b"x")[0], 405)
        self.assertEqual(bridging.request(self.port, "/live", "HEAD")[0], 200)
        self.assertEqual(bridging.request(self.port, "/live", headers={"X": "y" * 100000})[0], 431)
        self.assertEqual(running.get("/live")[0], 200)
        self.stopped(running)

    def metrics(self, running):
        status, headers, body = running.get("/metrics")
        self.assertEqual(status, 200)
        self.assertTrue(headers["Content-Type"].startswith("text/plain; version=0.0.4"))
        found = {}
        for line in body.decode().splitlines():
            self.assertRegex(line, r'^(# (HELP|TYPE) \w+ .+|\w+\{(\w+="[^"]*",?)+\} -?[0-9.e+]+)$')
            if not line.startswith("#"):
                name, labels, value = re.match(r"(\w+)\{(.*)\} (.*)", line).groups()
                found[name, labels] = float(value)
        return body.decode(), found

    def test_metrics(self):
        running = self.bridge(self.simple(3))
        running.until_route("one", "the events", lambda route: route["published"] == 3)
        text, found = self.metrics(running)
        labels = 'route="one",source="feed",broker="main"'
        self.assertEqual(found["pubsub_bridge_events_received_total", labels], 3)
        self.assertEqual(found["pubsub_bridge_events_published_total", labels], 3)
        self.assertEqual(found["pubsub_bridge_route_state", labels + ',state="active"'], 1)
        self.assertEqual(sum(value for (name, _), value in found.items() if name.endswith("route_state")), 1)
        with open(DOCS, encoding="utf-8") as docs:
            documented = re.findall(r"^\| `(pubsub_bridge_\w+)` \| (\w+) \|", docs.read(), re.M)
        self.assertEqual(sorted(documented), sorted(re.findall(r"^# TYPE (\w+) (\w+)", text, re.M)))
        self.stopped(running)

    def test_limits_of_a_shared_address(self):
        """The endpoints stand on a webhook's address and have no limits of their own: the webhook's hold, also those of
        a file that is read later."""
        def file(limit):
            return self.config({"hook": {"connector": "webhook", "listen": "127.0.0.1:%d" % port,
                                         "max_connections_per_address": limit}}, [{"model": "m", "topic": "t"}])

        def at_once():
            """How many connections are answered while the others stay open."""
            links = [http.client.HTTPConnection("127.0.0.1", port, timeout=bridging.DEADLINE) for _ in range(5)]
            answered = 0
            for link in links:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    link.request("GET", "/live")
                    answered += link.getresponse().read() == b"live\n"
            for link in links:
                link.close()
            return answered

        self.port = port = self.free_port()
        running = self.bridge(file(1))
        bridging.until("one connection", lambda: at_once() == 1)
        file(3)
        running.signal(signal.SIGHUP).wait_for("is in force")
        bridging.until("three connections", lambda: at_once() == 3, detail=running.log)
        self.stopped(running)

    def test_broker_away(self):
        port = self.free_port()
        file = self.config({"feed": self.exec_source(self.journal(count=3))},
                           [{"name": "one", "model": "m", "topic": "t"}], "drain: 0s\n",
                           broker="mqtt://127.0.0.1:%d" % port)
        running = self.bridge(file)
        running.until_route("one", "flights", lambda route: route["state"] == "waiting" and route["in_flight"] > 0)
        status, _, body = running.get("/ready")
        told = json.loads(body)
        self.assertEqual((status, told["ready"], told["routes"][0]["state"]), (503, False, "waiting"))
        self.assertIn("nobody listens there", told["routes"][0]["error"])
        self.assertIn(str(port), told["routes"][0]["error"])
        self.stopped(running, 6)

    def test_a_certificate_that_is_not_trusted(self):
        """/ready says which it is, and what to set."""
        cert, key, port = self.path("cert.pem"), self.path("key.pem"), self.free_port()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", key, "-out", cert, "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=DNS:localhost"], check=True, stderr=subprocess.DEVNULL)
        bridging.Couch(self, "--tls-port", str(port), "--cert", cert, "--key", key, store=False)
        crm = {"connector": "couchdb", "url": "https://localhost:%d" % port, "retry_max": "100ms"}
        running = self.bridge(self.config({"crm": crm}, [{"name": "one", "model": "accounts", "topic": "t"}]))
        running.until_state("one", "waiting")
        status, _, body = running.get("/ready")
        route = json.loads(body)["routes"][0]
        self.assertEqual((status, route["state"]), (503, "waiting"))
        self.assertIn("the server's certificate is not trusted", route["error"])
        self.assertIn("tls_ca is not set", route["error"])
        self.config({"crm": dict(crm, tls_ca=cert)}, [{"name": "one", "model": "accounts", "topic": "t"}])
        running.signal(signal.SIGHUP)
        running.until_state("one", "active")
        self.assertEqual(running.get("/ready")[0], 200)
        self.stopped(running)

    def test_status(self):
        file = self.simple(3)
        self.assertEqual(self.command("status", file)[0], 3)
        running = self.bridge(file)
        running.until_route("one", "the events", lambda route: route["published"] == 3)
        for where in (file, "127.0.0.1:%d" % self.port, ":%d" % self.port):
            code, out, err = self.command("status", where)
            self.assertEqual((where, code, err), (where, 0, ""))
            head, line = out.splitlines()
            self.assertEqual(head.split()[:3], ["ROUTE", "STATE", "RECEIVED"])
            self.assertEqual(line.split(), ["one", "active", "3", "3", "0", "0"])
        self.assertEqual(json.loads(self.command("status", "--json", file)[1])["routes"][0]["published"], 3)
        self.stopped(running)

    def test_status_of_something_else(self):
        couch = bridging.Couch(self)
        code, out, err = self.command("status", "127.0.0.1:%d" % couch.port)
        self.assertEqual((code, out), (3, ""))
        self.assertIn("is it a pubsub-bridge?", err)
        self.assertEqual(self.command("status", self.path("x.yaml", "sources: {}\n"))[0], 2)


if __name__ == "__main__":
    bridging.main()

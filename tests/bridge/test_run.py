# SPDX-License-Identifier: MIT
"""run: what -v shows, how it ends, and what happens at SIGHUP."""
import json
import os
import signal
import socket
import ssl
import subprocess

import bridging
from bridging import until


class Run(bridging.Case):
    def test_lines_of_verbose(self):
        couch = bridging.Couch(self)
        file = self.config({"crm": {"connector": "couchdb", "url": couch.url}},
                           [{"model": "accounts", "topic": "/v1/{model}"}])
        running = self.bridge(file, "-v").wait_for("accounts: active\n")
        rev = couch.put("007", {"name": "James Bond"})
        running.wait_for("007")
        couch.put("007", {"name": "Bond", "_rev": rev})
        running.wait_for("007", 2)
        couch.process.kill()
        running.wait_for("accounts: waiting\n")
        lines = running.log().splitlines()
        self.assertEqual([line for line in lines if "007" in line and not line.startswith("accounts: ")], [])
        self.assertTrue([line for line in lines if line.startswith("accounts: ")
                         and any(text in line for text in ("cut off", "broke", "cannot connect"))], lines)
        couch.start()
        running.wait_for("accounts: active\n", 2)
        self.assertLess(self.stopped(running), 1 * bridging.SLOW)

    def test_quiet(self):
        running = self.bridge(self.simple(3), "-q")
        running.until_route("one", "the events", lambda route: route["published"] == 3)
        self.stopped(running)
        self.assertEqual(running.log(), "")

    def test_sigterm_drains(self):
        running = self.bridge(self.simple(20000, in_flight=500))
        running.until_route("one", "the first", lambda route: route["published"] > 500)
        self.assertLess(self.stopped(running), 1 * bridging.SLOW)
        numbers = self.numbers()
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        # What was stored is exactly what was published: nothing comes twice.
        running = self.bridge(self.config_again(), log="again.log")
        running.until_route("one", "the rest", lambda route: route["received"] == 20000 - len(numbers))
        self.stopped(running)
        self.assertEqual(self.numbers(), list(range(1, 20001)))

    def config_again(self):
        return self.path("bridge.yaml")

    def test_sigint(self):
        running = self.bridge(self.simple(1))
        running.until_state("one", "active")
        running.signal(signal.SIGINT)
        self.assertEqual(running.end(), 0, running.log())
        self.assertIn("stopping (SIGINT)", running.log())

    def test_drain_that_cannot_end(self):
        """The broker is away: what is in flight stays so, and is told."""
        file = self.config({"feed": self.exec_source(self.journal(count=10))},
                           [{"name": "one", "model": "m", "topic": "t"}],
                           "drain: 300ms\n", broker="mqtt://127.0.0.1:1")
        running = self.bridge(file)
        running.until_route("one", "flights", lambda route: route["in_flight"] > 0)
        self.assertLess(self.stopped(running, 6), 3 * bridging.SLOW)
        self.assertIn("comes again", running.log())

    def test_second_signal_does_not_wait(self):
        file = self.config({"feed": self.exec_source(self.journal(count=10))},
                           [{"name": "one", "model": "m", "topic": "t"}],
                           "drain: 1h\n", broker="mqtt://127.0.0.1:1")
        running = self.bridge(file)
        running.until_route("one", "flights", lambda route: route["in_flight"] > 0)
        running.signal(signal.SIGTERM).wait_for("stopping (SIGTERM)")
        running.signal(signal.SIGTERM)
        self.assertEqual(running.end(), 128 + signal.SIGTERM, running.log())

    def test_signal_at_once(self):
        """However early a signal comes, nothing is left behind and nothing hangs."""
        file = self.simple(100)
        state = os.path.join(self.state, "lock")
        for seen in (lambda pid: True,  # not even the program
                     lambda pid: "pubsub-bridge" in os.readlink("/proc/%d/exe" % pid),
                     lambda pid: os.path.exists(state),
                     lambda pid: len(os.listdir("/proc/%d/task" % pid)) > 1,
                     lambda pid: len(os.listdir("/proc/%d/task" % pid)) > 2) * 2:
            running = self.bridge(file, wait=False)
            bridging.until("that much of the start", lambda: seen(running.process.pid))
            running.signal(signal.SIGTERM)
            self.assertIn(running.end(), (0, -signal.SIGTERM), running.log())
        numbers = self.numbers() if os.path.exists(self.path("bus")) else []
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))

    def test_sources_that_end(self):
        """Nothing is left to do: the bridge ends by itself."""
        file = self.config({"feed": {"connector": "exec", "restart": "never", "command": [
            "/bin/sh", "-c", 'for n in 1 2 3; do echo "{\\"position\\":\\"$n\\",\\"document\\":{\\"n\\":$n}}"; done']}},
            [{"name": "one", "model": "m", "topic": "t"}])
        running = self.bridge(file, wait=False)
        self.assertEqual(running.end(), 0, running.log())
        self.assertEqual(self.numbers(), [1, 2, 3])

    def test_log_as_json(self):
        file = self.simple(2)
        with open(file, "a", encoding="utf-8") as more:
            more.write("log: {format: json, level: debug}\n")
        running = self.bridge(file, "-v")
        running.until_route("one", "the events", lambda route: route["published"] == 2)
        self.stopped(running)
        lines = [json.loads(line) for line in running.log().splitlines()]
        self.assertTrue([line for line in lines if line.get("model") == "m" and line["text"] == "active"], lines)
        for line in lines:
            self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertIn(line["level"], ("error", "warn", "info", "debug"))
            self.assertIn("text", line)
            self.assertNotEqual((line["text"], line["level"]), ("active", "error"))

    def test_address_that_is_taken(self):
        first = self.bridge(self.simple(1))
        state, self.state = self.state, self.path("other")
        file = self.config({"feed": self.exec_source(self.file)}, [{"model": "m", "topic": "t"}], name="2.yaml")
        self.state = state
        second = self.bridge(file, log="second.log", wait=False)
        self.assertEqual(second.end(), 1, second.log())
        self.assertIn("cannot listen", second.log())
        self.stopped(first)


class Reload(bridging.Case):
    def two(self, first="t", extra=()):
        names = ["same", "changed", *extra]
        for name in names:
            if not os.path.exists(self.path(name + ".jsonl")):
                self.journal(name, 10)
        return self.config({name: self.exec_source(self.path(name + ".jsonl")) for name in names}, [
            {"name": name, "source": name, "model": "m", "topic": (first if name == "changed" else "t") + "/" + name}
            for name in names])

    def arrived(self, running, name, count):
        running.until_route(name, "%d events" % count, lambda route: route["published"] >= count)

    def test_added_changed_untouched(self):
        running = self.bridge(self.two())
        self.arrived(running, "same", 10)
        self.arrived(running, "changed", 10)
        with open(self.path("same.jsonl") + ".pid", encoding="ascii") as file:
            pid = file.read()
        self.two("u", ["added"])
        running.signal(signal.SIGHUP).wait_for("is in force")
        self.arrived(running, "added", 10)
        self.append(self.path("same.jsonl"), range(11, 21))
        self.append(self.path("changed.jsonl"), range(11, 21))
        self.arrived(running, "same", 20)  # the counters went on
        self.arrived(running, "changed", 10)
        with open(self.path("same.jsonl") + ".pid", encoding="ascii") as file:
            self.assertEqual(file.read(), pid)
        self.stopped(running)
        self.assertEqual(self.numbers("t/same"), list(range(1, 21)))
        self.assertEqual(self.numbers("t/changed"), list(range(1, 11)))
        self.assertEqual(self.numbers("u/changed"), list(range(11, 21)))
        self.assertEqual(self.numbers("t/added"), list(range(1, 11)))

    def test_removed(self):
        running = self.bridge(self.two("t", ["gone"]))
        for name in ("same", "changed", "gone"):
            self.arrived(running, name, 10)
        self.two()
        running.signal(signal.SIGHUP).wait_for("is in force")
        self.assertEqual(sorted(running.routes()), ["changed", "same"])
        self.two("t", ["gone"])
        running.signal(signal.SIGHUP).wait_for("is in force", 2)
        self.append(self.path("gone.jsonl"), [11])
        self.arrived(running, "gone", 1)
        self.stopped(running)
        self.assertEqual(self.numbers("t/gone"), list(range(1, 12)))  # it went on where it had stood

    def test_wrong_file(self):
        file = self.two()
        running = self.bridge(file)
        for name in ("same", "changed"):
            self.arrived(running, name, 10)
        before = running.routes()
        for text in ("routes: []\n", "", "\0", "a: [\n"):
            self.path("bridge.yaml", text)
            count = running.log().count("goes on as before")
            running.signal(signal.SIGHUP).wait_for("goes on as before", count + 1)
        os.unlink(file)
        running.signal(signal.SIGHUP).wait_for("goes on as before", 5)
        self.append(self.path("same.jsonl"), [11])
        self.arrived(running, "same", 11)
        self.assertEqual(sorted(running.routes()), sorted(before))
        self.assertEqual(running.get("/ready")[0], 200)
        self.stopped(running)

    def certificate(self, name):
        """A new one at the place where it is looked for."""
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", self.path("key.pem"), "-out", self.path("cert.pem"), "-subj", "/CN=" + name,
                        "-addext", "subjectAltName=DNS:localhost"], check=True, stderr=subprocess.DEVNULL)
        with open(self.path("cert.pem"), encoding="ascii") as file:
            return ssl.PEM_cert_to_DER_cert(file.read())

    @staticmethod
    def connect(port):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(socket.create_connection(("127.0.0.1", port), bridging.DEADLINE))

    def shown(self, port):
        with self.connect(port) as sock:
            return sock.getpeercert(True)

    def test_certificates_are_read_again(self):
        first = self.certificate("first")
        port = self.free_port()
        file = self.config({"hooks": {"connector": "webhook", "listen": "127.0.0.1:%d" % port, "spool": "no",
                                      "tls_cert": self.path("cert.pem"), "tls_key": self.path("key.pem")}},
                           [{"name": "one", "model": "orders", "topic": "t"}])
        running = self.bridge(file)
        running.until_state("one", "active")
        self.assertEqual(self.shown(port), first)
        with self.connect(port) as old:
            second = self.certificate("second")
            self.assertEqual(self.shown(port), first)
            running.signal(signal.SIGHUP).wait_for("the certificate was read again")
            self.assertEqual(self.shown(port), second)
            body = b'{"n": 1}'  # who was there before goes on
            old.sendall(b"POST /hooks/orders HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            self.assertEqual(old.recv(12), b"HTTP/1.1 200")
        for damage in ("cert.pem", "key.pem"):
            self.certificate("third")
            self.path(damage, "no PEM at all\n")
            count = running.log().count("the certificate stays as it was")
            running.signal(signal.SIGHUP).wait_for("the certificate stays as it was", count + 1)
            self.assertEqual(self.shown(port), second)
        self.certificate("fourth")
        key = self.read("key.pem")
        self.certificate("fifth")
        self.path("key.pem", key)  # one that belongs to another
        running.signal(signal.SIGHUP).wait_for("the certificate stays as it was", 3)
        self.assertEqual(self.shown(port), second)
        fourth = self.certificate("sixth")
        running.signal(signal.SIGHUP).wait_for("the certificate was read again", 2)
        self.assertEqual(self.shown(port), fourth)
        self.stopped(running)

    def read(self, name):
        with open(self.path(name), encoding="ascii") as file:
            return file.read()

    def test_many_reloads_under_load(self):
        """Signals while events flow: nothing is lost, nothing comes twice."""
        self.two()
        self.append(self.path("same.jsonl"), range(11, 20001))
        self.append(self.path("changed.jsonl"), range(11, 20001))
        running = self.bridge(self.path("bridge.yaml"))
        for turn in range(6):
            self.two("u%d" % turn)
            running.signal(signal.SIGHUP).wait_for("is in force", turn + 1)
        self.arrived(running, "same", 20000)
        until("every event", lambda: len(self.numbers("+/changed")) >= 20000, detail=running.log)
        self.stopped(running)
        self.assertEqual(self.numbers("t/same"), list(range(1, 20001)))
        self.assertEqual(sorted(self.numbers("+/changed")), list(range(1, 20001)))

    def test_secret_that_was_renewed(self):
        """The file is the same, the password's file is not."""
        password = self.path("password", "old")
        couch = bridging.Couch(self, "--user", "reader", "--password-file", self.path("good", bridging.SECRET))
        couch.headers["Authorization"] = "Basic " + bridging.base64.b64encode(
            ("reader:" + bridging.SECRET).encode()).decode()
        file = self.config({"crm": {"connector": "couchdb", "url": couch.url, "user": "reader", "since": "0",
                                    "password": {"file": password}},
                            "feed": self.exec_source(self.journal())},  # else nothing would be left to do
                           [{"name": "crm", "source": "crm", "model": "accounts", "topic": "t"},
                            {"name": "one", "source": "feed", "model": "m", "topic": "t"}])
        couch.put("1", {"n": 1})
        running = self.bridge(file)
        running.until_state("crm", "waiting", "stopped")
        self.assertIn("credentials", json.loads(running.get("/ready")[2])["routes"][0]["error"])
        self.path("password", bridging.SECRET)
        running.signal(signal.SIGHUP)
        running.until_route("crm", "the event", lambda route: route["published"] == 1)
        self.stopped(running)


if __name__ == "__main__":
    bridging.main()

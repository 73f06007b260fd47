# SPDX-License-Identifier: MIT
"""Sources that send what they should not, take away what they gave, or change under the bridge: a clear
state in /ready, no crash, no spin, nothing left out without a word."""
import base64
import json
import time

import bridging
from bridging import until


class Hostile(bridging.Case):
    def setUp(self):
        super().setUp()
        self.other = self.journal("other")

    def running(self, source, model="accounts", **route):
        """The route `one` under attack, beside one that keeps the bridge alive."""
        file = self.config({"s": source, "feed": self.exec_source(self.other)},
                           [dict({"name": "one", "source": "s", "model": model, "topic": "t"}, **route),
                            {"name": "other", "source": "feed", "model": "m", "topic": "o"}])
        running = self.bridge(file, "-v")
        running.until_state("other", "active")
        return running

    def couch(self, couch, **more):
        return self.running(dict({"connector": "couchdb", "url": couch.url, "since": "0", "retry_max": "300ms"}, **more))

    def calm(self, running, seconds=1.5):
        """It does not spin, and the other route goes on."""
        before, begin = running.cpu_seconds(), time.monotonic()
        until("a while", lambda: time.monotonic() > begin + seconds)
        self.assertLess(running.cpu_seconds() - before, 0.5 * seconds, running.log()[-2000:])
        self.assertLess(len(running.log()), 200000)
        count = running.routes()["other"]["published"]
        self.append(self.other, [count + 1])
        running.until_route("other", "one more", lambda route: route["published"] == count + 1)

    def told(self, running, *words):
        status, _, body = running.get("/ready")
        route = {route["name"]: route for route in json.loads(body)["routes"]}["one"]
        self.assertEqual(status, 503, route)
        for word in words:
            self.assertIn(word, route["error"])
        return route

    def end(self, running, *codes):
        running.signal(bridging.signal.SIGTERM)
        self.assertIn(running.end(), codes or (0, 1), running.log())

    def test_not_utf8(self):
        """A document with a byte that is no UTF-8 passes as it is, or the route says what is wrong."""
        couch = bridging.Couch(self)
        couch.put("a", {"n": 1})
        couch.fault("bad_utf8", times=1)
        running = self.couch(couch)
        route = running.until_route("one", "a decision", lambda route: route["published"] or route["error"])
        if route["published"] == 0:
            self.told(running)
        self.calm(running)
        self.end(running)

    def test_big_documents(self):
        couch = bridging.Couch(self)
        sizes = [15 << 20, 1, 16 << 20]
        for n, size in enumerate(sizes[:2]):
            couch.put("d%d" % n, {"n": n, "text": "x" * size})
        running = self.couch(couch)
        running.until_route("one", "15 MiB", lambda route: route["published"] == 2)
        couch.put("big", {"n": 2, "text": "x" * sizes[2]})
        route = running.until_route("one", "a word", lambda route: route["error"] != "")
        self.assertIn(route["state"], ("waiting", "stopped"))
        self.told(running, "16")
        self.calm(running)
        self.end(running)
        self.assertEqual(sorted(self.numbers("t")), [0, 1])

    def test_recreated_database(self):
        couch = bridging.Couch(self)
        for n in range(5):
            couch.put("d%d" % n, {"n": n})
        running = self.couch(couch)
        running.until_route("one", "the old ones", lambda route: route["published"] == 5)
        couch.ask("/accounts", "DELETE")
        until("a word", lambda: running.get("/ready")[0] == 503, detail=running.log)
        self.told(running, "accounts")
        self.calm(running)
        couch.ask("/accounts", "PUT")
        for n in range(10, 15):
            couch.put("d%d" % n, {"n": n})
        route = running.until_route("one", "the new ones, or a stop", lambda route: route["published"] >= 10 or
                                    route["state"] == "stopped")
        if route["state"] == "stopped":
            self.told(running)
        else:
            self.assertEqual(sorted(set(self.numbers("t"))), [0, 1, 2, 3, 4, 10, 11, 12, 13, 14])
        self.calm(running)
        self.end(running)

    def test_database_recreated_while_away(self):
        couch = bridging.Couch(self)
        for n in range(5):
            couch.put("d%d" % n, {"n": n})
        running = self.couch(couch)
        running.until_route("one", "the old ones", lambda route: route["published"] == 5)
        self.stopped(running)
        couch.ask("/accounts", "DELETE")
        couch.ask("/accounts", "PUT")
        for n in range(10, 13):
            couch.put("d%d" % n, {"n": n})
        running = self.couch(couch)
        route = running.until_route("one", "the new ones, or a stop", lambda route: route["published"] >= 3 or
                                    route["state"] == "stopped")
        if route["state"] != "stopped":
            self.assertTrue({10, 11, 12} <= set(self.numbers("t")))
        self.end(running)

    def test_revoked_credentials(self):
        password = self.path("password", bridging.SECRET)
        couch = bridging.Couch(self, "--user", "reader", "--password-file", password)
        token = base64.b64encode(("reader:" + bridging.SECRET).encode()).decode()
        couch.headers["Authorization"] = "Basic " + token
        couch.put("a", {"n": 1})
        running = self.couch(couch, user="reader", password={"file": password})
        running.until_route("one", "the event", lambda route: route["published"] == 1)
        couch.process.kill()
        couch.argv[couch.argv.index("--password-file") + 1] = self.path("another", "other")
        couch.start()
        running.until_route("one", "a word", lambda route: "credentials" in route["error"])
        self.told(running, "credentials")
        self.calm(running)
        self.assertNotIn(token, running.log())
        self.end(running)

    def exec_lines(self, *lines, **more):
        """Lines are Python expressions, since some are long. The program ends with its bridge."""
        program = "import sys\nfor line in [%s]: sys.stdout.buffer.write(line)\nsys.stdout.flush()\nsys.stdin.read()"
        return self.running(dict({"connector": "exec", "command": [
            bridging.sys.executable, "-c", (program % ",".join(lines)).replace("$", "$$")]}, **more), "m")

    def test_programs_that_print_anything(self):
        good = repr(b'{"position":"1","document":{"n":1}}\n')
        for number, line in enumerate((repr(b"\0\xff\xfe\n"), "b'nothing\\n'", "b'[' * 100000 + b'\\n'",
                                       repr(b'{"document":}\n'), repr(b'{"position":"2","document":{"a":"\xff"}}\n'),
                                       "b'x' * (9 << 20)")):
            self.state = self.path("state-%d" % number)
            running = self.exec_lines(good, line)
            running.until_state("one", "stopped")
            self.told(running, "line 2")
            self.calm(running, 0.5)
            self.end(running, 1)

    def test_program_that_ends_at_once(self):
        running = self.running({"connector": "exec", "command": ["/bin/false"]}, "m")
        running.until_state("one", "waiting")
        self.told(running)
        self.calm(running)
        self.end(running)

    def test_program_that_is_none(self):
        running = self.running({"connector": "exec", "command": ["/nowhere/at/all"]}, "m")
        running.until_state("one", "waiting", "stopped")
        self.told(running, "/nowhere/at/all")
        self.calm(running)
        self.end(running)

    def test_hooks_that_are_none(self):
        port = self.free_port()
        running = self.running({"connector": "webhook", "listen": "127.0.0.1:%d" % port, "max_body": "64k"}, "m")
        for body, wanted in ((b"{", 400), (b'{"n":"\xff"}', 400), (b"x" * 100000, 413), (b"[" * 60000, 400),
                             (b"", 400), (b'{"n":1}', 200)):
            status = bridging.request(port, "/hooks/m", "POST", body, {"Content-Type": "application/json"})[0]
            self.assertEqual((body[:10], status), (body[:10], wanted))
        for raw in (b"\0" * 100, b"GET", b"POST /hooks/m HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                    b"POST /hooks/m HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    b"POST /hooks/m HTTP/1.1\r\n" + b"A: b\r\n" * 100000):
            with bridging.socket.create_connection(("127.0.0.1", port)) as link:
                try:
                    link.sendall(raw)
                    link.shutdown(bridging.socket.SHUT_WR)
                    self.assertNotIn(b" 200 ", link.recv(100))
                except OSError:
                    pass
        running.until_route("one", "the good one", lambda route: route["published"] == 1)
        self.calm(running)
        self.end(running, 0)
        self.assertEqual(self.numbers("t"), [1])


if __name__ == "__main__":
    bridging.main()

# SPDX-License-Identifier: MIT
"""Sources that cannot be read again: the spool, and the commands that look after it."""
import glob
import json
import os

import bridging


class Spool(bridging.Case):
    def hook_file(self, broker=None, **more):
        self.hook = getattr(self, "hook", None) or self.free_port()
        return self.config({"hooks": dict({"connector": "webhook", "listen": "127.0.0.1:%d" % self.hook}, **more)},
                           [{"name": "one", "model": "orders", "topic": "t"}], "drain: 200ms\n", broker=broker)

    def post(self, n, **headers):
        return bridging.request(self.hook, "/hooks/orders", "POST", json.dumps({"n": n}),
                                dict(headers, **{"Content-Type": "application/json"}))[0]

    def filled(self, count=5):
        """A stopped bridge whose broker is away, with events in its spool."""
        file = self.hook_file("mqtt://127.0.0.1:1")
        running = self.bridge(file)
        for n in range(count):
            self.assertEqual(self.post(n), 200)
        self.assertEqual(running.routes()["one"]["state"], "waiting")
        return file, running

    def segments(self):
        return sorted(path for path in glob.glob(os.path.join(self.state, "**"), recursive=True)
                      if os.path.isfile(path) and os.path.getsize(path) > 0 and path.endswith(".log"))

    def test_answered_is_safe(self):
        """2xx while the broker is away, kill -9, another broker: every event arrives, in order."""
        _, running = self.filled()
        running.kill()
        running = self.bridge(self.hook_file(), log="again.log")
        running.until_route("one", "the events", lambda route: route["published"] == 5)
        self.stopped(running)
        self.assertEqual(self.numbers(), [0, 1, 2, 3, 4])

    def test_commands_read_only(self):
        file, running = self.filled()
        for turn in range(2):  # beside a bridge that runs, and after it
            before = {path: open(path, "rb").read() for path in self.segments()}
            self.assertTrue(before, os.listdir(self.state))
            code, out, err = self.command("spool", "check", file)
            self.assertEqual((code, out), (0, ""))
            self.assertIn("one: 5 events", err)
            code, out, err = self.command("spool", "dump", file, "one")
            self.assertEqual(code, 0)
            lines = [json.loads(line) for line in out.splitlines()]
            self.assertEqual([json.loads(line["document"])["n"] for line in lines], [0, 1, 2, 3, 4])
            self.assertEqual({path: open(path, "rb").read() for path in self.segments()}, before)
            if turn == 0:
                self.assertIn("another pubsub-bridge", self.command("spool", "repair", file)[2])
                self.stopped(running, 6)
        self.assertEqual(self.command("spool", "repair", file)[0], 0)

    def test_no_spool(self):
        file = self.simple(1)
        code, _, err = self.command("spool", "check", file)
        self.assertEqual((code, err), (0, "no route of this file has a spool\n"))
        self.assertEqual(self.command("spool", "check", file, "nobody")[0], 2)
        code, _, err = self.command("spool", "check", self.hook_file())
        self.assertEqual(code, 0)
        self.assertIn("one: no spool", err)

    def test_damage_in_the_middle(self):
        """It is told by check, which changes nothing; what can be read still arrives."""
        file, running = self.filled(50)
        self.stopped(running, 6)
        path = self.segments()[0]
        data = bytearray(open(path, "rb").read())
        data[data.index(b'{"n": 25}') + 2] ^= 0xff
        with open(path, "wb") as log:
            log.write(data)
        code, _, err = self.command("spool", "check", file)
        self.assertEqual(code, 8, err)
        self.assertIn("damaged", err)
        with open(path, "rb") as log:
            self.assertEqual(log.read(), bytes(data))
        self.command("spool", "repair", file)
        running = self.bridge(self.hook_file(), log="again.log")
        running.until_route("one", "what is left", lambda route: route["published"] >= 25)
        self.assertEqual(self.post(100), 200)
        bridging.until("the new one", lambda: 100 in self.numbers())
        self.assertTrue(set(range(25)) <= set(self.numbers()), self.numbers())
        self.stopped(running)

    def test_cut_end(self):
        """A record that was being written when the power went: no damage, nobody was answered for it."""
        file, running = self.filled(5)
        self.stopped(running, 6)
        path = self.segments()[-1]
        data = open(path, "rb").read().rstrip(b"\0")
        with open(path, "wb") as log:
            log.write(data[:-3])
        code, _, err = self.command("spool", "check", file)
        self.assertIn(code, (0, 8), err)
        with open(path, "rb") as log:
            self.assertEqual(log.read(), data[:-3], "check changed the spool")
        self.assertEqual(self.command("spool", "repair", file)[0], 0)
        self.assertEqual(self.command("spool", "check", file)[0], 0)
        running = self.bridge(self.hook_file(), log="again.log")
        running.until_route("one", "what is left", lambda route: route["published"] >= 4)
        self.stopped(running)
        self.assertEqual(self.numbers()[:4], [0, 1, 2, 3])

    def test_full_disk(self):
        """Senders are asked to come again; what was answered with 2xx is never lost."""
        running = self.bridge(self.hook_file())
        self.assertEqual(self.post(0), 200)
        bridging.without_disk(running.pid, True)
        answers = [self.post(n) for n in range(1, 4)]
        self.assertEqual([a for a in answers if a not in (429, 503)], [], running.log())
        running.until_route("one", "an error", lambda route: route["error"] != "")
        self.assertNotEqual(running.get("/ready")[0], 200)
        bridging.without_disk(running.pid, False)
        bridging.until("room", lambda: self.post(4) == 200, detail=running.log)
        running.until_state("one", "active")
        self.stopped(running)
        self.assertEqual([n for n in self.numbers() if n in (0, 4)], [0, 4])


if __name__ == "__main__":
    bridging.main()

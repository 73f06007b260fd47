# SPDX-License-Identifier: MIT
"""Sources that cannot be read again: the spool, and the commands that look after it."""
import glob
import json
import os

import bridging


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Spool(bridging.Case):
    def hook_file(self, broker=None, **more):
        self.hook = getattr(self, "hook", None) or self.free_port()
        return self.config({"hooks": dict({"connector": "webhook", "listen": "127.0.0.1:%d" % self.hook}, **more)},
                           [{"name": "one", "model": "orders", "topic": "t"}], "drain: 200ms\n", broker=broker)

    def post(self, n, size=0, timeout=bridging.DEADLINE):
        more = {"more": "x" * size} if size else {}
        return bridging.request(self.hook, "/hooks/orders", "POST", json.dumps(dict({"n": n}, **more)),
                                {"Content-Type": "application/json"}, timeout)[0]

    def filled(self, count=5):
        """A stopped bridge whose broker is away, with events in its spool."""
        file = self.hook_file("mqtt://127.0.0.1:1")
        running = self.bridge(file)
        for n in range(count):
            self.assertEqual(self.post(n), 200)
        running.until_state("one", "waiting")
        return file, running

    def segments(self):
        return sorted(path for path in glob.glob(os.path.join(self.state, "**"), recursive=True)
                      if path.endswith(".seg") and "/log/" in path)

    def contents(self):
        return {path: read(path) for path in self.segments()}

    def test_answered_is_safe(self):
        """2xx while the broker is away, kill -9, another broker: every event arrives, in order."""
        _, running = self.filled()
        running.kill()
        running = self.bridge(self.hook_file(), log="again.log")
        running.until_route("one", "the events", lambda route: route["published"] == 5)
        running.until_route("one", "nothing left", lambda route: route["spooled"] == 0)
        self.stopped(running)
        self.assertEqual(self.numbers(), [0, 1, 2, 3, 4])

    def test_commands_read_only(self):
        file, running = self.filled()
        for turn in range(2):  # beside a bridge that runs, and after it
            before = self.contents()
            self.assertTrue(before, os.listdir(self.state))
            code, out, err = self.command("spool", "check", file)
            self.assertEqual((code, out), (0, ""))
            self.assertIn("one: 5 events", err)
            code, out, err = self.command("spool", "dump", file, "one")
            self.assertEqual(code, 0)
            lines = [json.loads(line) for line in out.splitlines()]
            self.assertEqual([json.loads(line["document"])["n"] for line in lines], [0, 1, 2, 3, 4])
            self.assertTrue(self.contents() == before, "the spool was changed")
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
        data = bytearray(read(path))
        data[data.index(b'{"n": 25}') + 2] ^= 0xff
        with open(path, "wb") as log:
            log.write(data)
        code, _, err = self.command("spool", "check", file)
        self.assertEqual(code, 8, err)
        self.assertIn("1 events are missing here", err)
        self.assertIn("damaged: 1 lost", err)
        self.assertTrue(read(path) == bytes(data), "check changed the spool")
        code, _, err = self.command("spool", "repair", file)
        self.assertEqual(code, 8, err)  # what is lost is lost, and said again
        self.assertIn("damaged: 1 lost", err)
        running = self.bridge(self.hook_file(), log="again.log")
        running.until_route("one", "what is left", lambda route: route["published"] >= 49)
        self.assertEqual(self.post(100), 200)
        bridging.until("the new one", lambda: 100 in self.numbers())
        self.assertEqual([n for n in range(50) if n not in self.numbers()], [25])
        running.until_route("one", "none left", lambda route: route["spooled"] == 0)  # nor the lost one
        self.assertIn("damaged", running.log())
        self.stopped(running)

    def test_what_is_in_it_is_counted_over_restarts(self):
        """By whatever the bridge ended: kill -9, and in good order."""
        file, running = self.filled(5)
        running.until_route("one", "five", lambda route: route["spooled"] == 5)
        running.kill()
        running = self.bridge(file, log="second.log")
        running.until_route("one", "five again", lambda route: route["spooled"] == 5)
        self.assertEqual(self.post(5), 200)
        running.until_route("one", "six", lambda route: route["spooled"] == 6)
        self.assertIn("pubsub_bridge_spooled_events{route=\"one\",source=\"hooks\",broker=\"main\"} 6",
                      running.get("/metrics")[2].decode())
        self.stopped(running, 6)
        running = self.bridge(file, log="third.log")
        running.until_route("one", "six again", lambda route: route["spooled"] == 6)
        self.stopped(running, 6)
        running = self.bridge(self.hook_file(), log="fourth.log")
        running.until_route("one", "none", lambda route: route["published"] == 6 and route["spooled"] == 0)
        self.assertEqual(self.post(6), 200)
        running.until_route("one", "none again", lambda route: route["published"] == 7 and route["spooled"] == 0)
        self.stopped(running)
        self.assertEqual(self.numbers(), list(range(7)))
        running = self.bridge(self.hook_file(), log="fifth.log")
        self.assertEqual(running.until_state("one", "active")["spooled"], 0)
        self.stopped(running)

    def test_repair_wants_it_alone(self):
        """It looks through the whole log, which nobody may use meanwhile."""
        file, running = self.filled(3)
        self.stopped(running, 6)
        spool = os.path.dirname(os.path.dirname(self.segments()[0]))
        reader = self.spawn([bridging.PUBSUB, "sub", "-b", "local:" + spool, "#"], "reader.log")
        bridging.until("the reader", lambda: self.command("spool", "repair", file)[0] != 0)
        self.assertIn("is in use", self.command("spool", "repair", file)[2])
        self.assertEqual(self.command("spool", "check", file)[0], 0)
        reader.kill()
        code, _, err = self.command("spool", "repair", file)
        self.assertEqual(code, 0, err)
        self.assertIn("one: 3 events", err)
        running = self.bridge(self.hook_file(), log="again.log")
        running.until_route("one", "the events", lambda route: route["published"] == 3)
        self.stopped(running)

    def test_too_large_for_the_spool(self):
        """The sender is told not to send it again, and what it sends next is taken."""
        running = self.bridge(self.hook_file(spool_size="1M", max_body="16M"))
        self.assertEqual(self.post(0), 200)
        self.assertEqual(self.post(1, 9000000), 413)
        self.assertEqual(self.post(2), 200)
        route = running.until_route("one", "the rest", lambda route: route["published"] == 2)
        self.assertEqual(route["state"], "active")
        self.assertIn("is more than", route["error"])
        self.stopped(running)
        self.assertEqual(self.numbers(), [0, 2])

    def test_full_disk(self):
        """Senders are asked to come again; what was answered with 2xx is never lost."""
        self.small_disk(256)
        running = self.bridge(self.hook_file())
        self.assertEqual(self.post(0), 200)
        self.fill_disk()
        taken = []
        for n in range(1, 200):  # what was set aside for the spool is used up first
            answer = self.post(n, 900000, 2)
            self.assertIn(answer, (0, 200, 429, 503), running.log())
            taken += [n] * (answer == 200)
            if answer != 200:  # or none: it waits for room
                break
        self.assertNotEqual(answer, 200)
        running.until_state("one", "waiting")
        running.until_route("one", "an error", lambda route: route["error"] != "")
        status, _, body = running.get("/ready")
        self.assertEqual(status, 503)
        self.assertIn("No space left", json.loads(body)["routes"][0]["error"])
        self.empty_disk()
        bridging.until("room", lambda: self.post(1000) == 200, detail=running.log)
        running.until_route("one", "the rest", lambda route: route["state"] == "active"
                            and route["in_flight"] + route["spooled"] == 0)
        self.stopped(running)
        self.assertTrue({0, 1000, *taken} <= set(self.numbers()))


if __name__ == "__main__":
    bridging.main()

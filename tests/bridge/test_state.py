# SPDX-License-Identifier: MIT
"""The state directory: its lock, damaged positions, a disk that is full or that one may not write."""
import glob
import json
import os
import time

import bridging
from bridging import until


class State(bridging.Case):
    def published(self, running, count):
        return running.until_route("one", "%d events" % count, lambda route: route["published"] == count)

    def positions(self):
        return [path for path in glob.glob(os.path.join(self.state, "**"), recursive=True)
                if os.path.isfile(path) and not path.endswith("/lock")]

    def test_second_bridge(self):
        file = self.simple(3)
        first = self.bridge(file)
        self.published(first, 3)
        other = self.spawn([bridging.BRIDGE, "run", "--set", "listen=127.0.0.1:0", file], "second.log", bridging.Bridge)
        self.assertEqual(other.end(), 1)
        self.assertIn("in use by another pubsub-bridge", other.log())
        self.assertEqual(self.command("spool", "repair", file)[0], 1)
        self.append(self.file, [4])
        self.published(first, 4)
        self.stopped(first)
        self.stopped(self.bridge(file, log="third.log"))

    def test_lock_of_a_killed_bridge(self):
        file = self.simple(3)
        first = self.bridge(file)
        self.published(first, 3)
        first.kill()
        self.stopped(self.bridge(file, log="second.log"))

    def test_damaged_position(self):
        file = self.simple(3)
        running = self.bridge(file)
        self.published(running, 3)
        self.stopped(running)
        found = self.positions()
        self.assertEqual(len(found), 1)
        with open(found[0], "rb") as good_file:
            good = good_file.read()
        flipped = bytearray(good)
        flipped[len(good) // 2] ^= 1
        for number, damage in enumerate((b"", good[:-1], good[:len(good) // 2], bytes(flipped), good + b"x",
                                         b"\0" * len(good), b"\xff" * 70000)):
            with open(found[0], "wb") as position:
                position.write(damage)
            running = self.bridge(file, log="damaged-%d.log" % number, wait=False)
            self.assertEqual(running.end(), 1, "%r: %s" % (damage[:40], running.log()))
            self.assertIn(found[0], running.log())
        self.assertEqual(self.numbers(), [1, 2, 3])
        with open(found[0], "wb") as position:
            position.write(good)
        self.append(self.file, [4])
        running = self.bridge(file, log="good.log")
        self.published(running, 1)
        self.stopped(running)
        self.assertEqual(self.numbers(), [1, 2, 3, 4])

    def test_damaged_position_of_one_of_two(self):
        """The other route goes on; /ready says which one is not."""
        files = {name: self.journal(name, 3) for name in ("one", "two")}
        file = self.config({name: self.exec_source(path) for name, path in files.items()},
                           [{"name": name, "source": name, "model": "m", "topic": name} for name in files])
        running = self.bridge(file)
        self.published(running, 3)
        running.until_route("two", "its events", lambda route: route["published"] == 3)
        self.stopped(running)
        damaged = [path for path in self.positions() if "/two" in path]
        self.assertEqual(len(damaged), 1, self.positions())
        with open(damaged[0], "ab") as position:
            position.write(b"x")
        running = self.bridge(file, log="again.log")
        running.until_state("two", "stopped")
        self.append(files["one"], [4])
        self.published(running, 1)
        status, _, body = running.get("/ready")
        told = {route["name"]: route for route in json.loads(body)["routes"]}
        self.assertEqual((status, told["one"]["state"]), (503, "active"))
        self.assertIn(damaged[0], told["two"]["error"])
        self.stopped(running, 1)

    def test_no_room_for_positions(self):
        """Events stop at in_flight, the state is told; with room again it goes on, nothing twice."""
        self.small_disk(1)
        file = self.simple(10, in_flight=20)
        running = self.bridge(file)
        self.published(running, 10)
        until("the position", self.positions)
        self.fill_disk()
        self.append(self.file, range(11, 1001))
        route = running.until_state("one", "waiting")
        self.assertLessEqual(route["published"], 10 + 20)
        status, _, body = running.get("/ready")
        self.assertEqual(status, 503)
        self.assertRegex(json.loads(body)["routes"][0]["error"], "No space left")
        before = running.cpu_seconds()
        begin = time.monotonic()
        until("a while", lambda: time.monotonic() > begin + 1)
        self.assertLess(running.cpu_seconds() - before, 0.3)
        self.empty_disk()
        self.published(running, 1000)
        self.stopped(running)
        self.assertEqual(self.numbers(), list(range(1, 1001)))

    def test_no_room_for_the_bus(self):
        """A full disk below a local: broker is waited for, and told; all arrives, once and in order."""
        self.small_disk(256)
        self.bus = "local:" + os.path.join(self.state, "bus")
        file = self.simple(1, in_flight=20)
        running = self.bridge(file)
        self.published(running, 1)
        self.fill_disk()
        self.append(self.file, range(2, 101), more="x")
        with open(self.file, "a", encoding="utf-8") as journal:
            for n in range(101, 201):
                journal.write(json.dumps({"position": str(n), "document": {"n": n, "text": "x" * 900000}}) + "\n")
        running.until_state("one", "waiting")
        status, _, body = running.get("/ready")
        self.assertEqual(status, 503)
        self.assertIn("No space left", json.loads(body)["routes"][0]["error"])
        before, begin = running.cpu_seconds(), time.monotonic()
        until("a while", lambda: time.monotonic() > begin + 1)
        self.assertLess(running.cpu_seconds() - before, 0.5)
        self.empty_disk()
        self.published(running, 200)
        running.until_state("one", "active")
        self.stopped(running)
        self.assertEqual(self.numbers(), list(range(1, 201)))

    def test_state_that_cannot_be_made(self):
        self.path("plain", "a file")
        for number, (state, named) in enumerate(((self.path("plain"), self.path("plain")),
                                                 (self.path("plain/below"), self.path("plain")),
                                                 ("/proc/nothing/state", "/proc/nothing"))):
            self.state = state
            running = self.bridge(self.simple(1), log="%d.log" % number, wait=False)
            self.assertEqual((state, running.end()), (state, 1), running.log())
            self.assertIn(named, running.log())
            self.assertEqual(len(running.log().splitlines()), 1, running.log())

    def test_state_that_may_not_be_written(self):
        os.mkdir(self.state, 0o500)
        file = self.simple(1)
        os.chmod(file, 0o644)
        os.chmod(self.dir, 0o777)
        who = {"user": 65534} if os.getuid() == 0 else {}
        running = self.bridge(file, wait=False, **who)
        self.assertEqual(running.end(), 1, running.log())
        self.assertIn("ermission denied", running.log())

    def test_where_state_is(self):
        """$STATE_DIRECTORY, $XDG_STATE_HOME, home, in this order."""
        with open(self.simple(1), encoding="utf-8") as whole:
            text = whole.read()
        file = self.path("nostate.yaml", "".join(line + "\n" for line in text.splitlines() if "state:" not in line))
        one, two = self.path("one"), self.path("two")
        for env, where in (({"STATE_DIRECTORY": one + ":" + two, "XDG_STATE_HOME": two}, one),
                           ({"XDG_STATE_HOME": two}, two + "/pubsub-bridge"),
                           ({}, self.dir + "/.local/state/pubsub-bridge")):
            running = self.bridge(file, env=dict(self.env, **env), log="%d.log" % len(where))
            self.published(running, 1)
            self.stopped(running)
            self.assertTrue(os.path.exists(where + "/lock"), where)


if __name__ == "__main__":
    bridging.main()

# SPDX-License-Identifier: MIT
"""When the bridge ends by itself, with which exit code, and when it does not."""
import json
import os
import signal

import bridging


def program(text):
    """An exec source that runs a shell's line once."""
    return {"connector": "exec", "restart": "never", "command": ["/bin/sh", "-c", text]}


def event(n, **document):
    return json.dumps({"position": str(n), "document": dict(document, n=n)})


class Ends(bridging.Case):
    def one(self, source, more="", broker=None, **route):
        return self.config({"s": source}, [dict({"name": "one", "model": "m", "topic": "t"}, **route)], more, broker)

    def ends(self, file, code, says):
        running = self.bridge(file, wait=False)
        self.assertEqual(running.end(), code, running.log())
        self.assertIn(says, running.log())

    def test_wrong_file(self):
        """Nothing is begun: not even the directory of the state is made."""
        self.ends(self.one(program("true"), topic="a/+/b"), 2, "routes[0].topic")
        self.assertFalse(os.path.exists(self.state))

    def test_wrong_settings_of_a_connector(self):
        self.ends(self.config({"s": {"connector": "webhook", "listen": "*:0"}}, [{"model": "m", "topic": "t"}]), 2,
                  "anybody could send")
        self.assertFalse(os.path.exists(self.state))

    def test_only_source_fails(self):
        self.ends(self.one(program("echo '%s'; exit 3" % event(1))), 1, "ended with status 3")
        self.assertEqual(self.numbers(), [1])

    def test_bad_line(self):
        self.ends(self.one(program("echo '%s'; echo nonsense; sleep 60" % event(1))), 1, "line 2")

    def test_refused_event(self):
        """on_reject: stop; what follows is not published, and comes again at the next start."""
        lines = "\n".join([event(1, x="a"), event(2, x="+"), event(3, x="a")])
        self.ends(self.one(program("echo '%s'" % lines), topic="t/{/x}", on_reject="stop", in_flight=1), 1, "stopped")
        self.assertEqual(self.numbers(), [1])

    def test_broker_denies(self):
        """Whether an event was taken before the broker's answer came makes no difference."""
        try:
            told = bridging.interop.start_broker("mosquitto", "auth")
        except bridging.interop.Missing as missing:
            self.skipTest(str(missing))
        self.addCleanup(bridging.subprocess.run, [bridging.sys.executable, "-B", bridging.interop.TOOL, "stop", "--now",
                                                  "--remove", told["dir"]], check=True)
        broker = {"url": told["urls"]["plain"], "user": told["user"], "password": "wrong"}
        for number, count in enumerate((0, 500)):
            source = self.exec_source(self.journal("%d" % count, count))
            file = self.config({"s": source}, [{"name": "one", "model": "m", "topic": "t"}], broker=broker,
                               name="%d.yaml" % number)
            self.ends(file, 1, "one: stopped")

    def two(self, broken, more="", broker=None):
        """`good` follows a file, `bad` does what it is told."""
        return self.config({"good": self.exec_source(self.journal("good", 3)), "bad": broken}, [
            {"name": name, "source": name, "model": "m", "topic": name} for name in ("good", "bad")], more, broker)

    def test_one_of_two_stops(self):
        """The other goes on; SIGHUP starts the stopped one again; the end tells of it."""
        marker = self.path("marker")
        running = self.bridge(self.two(program("echo x >> '%s'; exit 3" % marker)))
        running.until_state("bad", "stopped")
        self.append(self.path("good.jsonl"), [4])
        running.until_route("good", "the events", lambda route: route["published"] == 4)
        self.assertEqual((running.get("/live")[0], running.get("/ready")[0]), (200, 503))
        running.signal(signal.SIGHUP).wait_for("is in force")
        bridging.until("a second start", lambda: os.path.getsize(marker) == 4, detail=running.log)
        running.until_state("bad", "stopped")
        self.stopped(running, 1)

    def test_stopped_and_not_drained(self):
        """What has stopped for good counts for more than what comes again by itself."""
        running = self.bridge(self.two(program("exit 3"), "drain: 300ms\n", "mqtt://127.0.0.1:1"))
        running.until_state("bad", "stopped")
        running.until_route("good", "flights", lambda route: route["in_flight"] > 0)
        self.stopped(running, 1)
        self.assertIn("comes again", running.log())

    def test_one_of_two_ends(self):
        """A source that has come to its end does not end the bridge while another goes on."""
        running = self.bridge(self.two(program("echo '%s'" % event(1))))
        running.until_state("bad", "ended")
        self.append(self.path("good.jsonl"), [4])
        running.until_route("good", "the events", lambda route: route["published"] == 4)
        self.assertEqual(running.get("/ready")[0], 200)
        self.stopped(running)


if __name__ == "__main__":
    bridging.main()

# SPDX-License-Identifier: MIT
"""A source's broker hands out again, after its link was lost, what is still on its way through the route."""
import subprocess

import bridging
import faults

COUNT = 200


class Again(bridging.Case):
    def setUp(self):
        super().setUp()
        try:
            self.source = faults.BrokerSource(self)
            self.target = faults.Broker(self, "redis+streams")
        except bridging.interop.Missing as missing:
            self.skipTest(str(missing))
        self.file = self.config({"s": self.source.settings}, [
            {"name": "one", "model": "in/#", "topic": "t", "in_flight": faults.IN_FLIGHT}], broker=self.target.url)

    def interrupt(self, running, times):
        """The source's link is lost and comes again; by then everything unsettled has been handed out again, or is on
        its way."""
        self.source.proxy.cut()
        self.source.proxy.heal()
        running.wait_for("in/#: active", 1 + times)

    def look(self, running):
        seen = bridging.until("every event", lambda: (lambda numbers: len(set(numbers)) == COUNT and numbers)(
            self.numbers("t", self.target.direct)), detail=running.log)
        running.until_route("one", "the end of all flights", lambda route: route["in_flight"] == 0)
        self.stopped(running)
        self.assertEqual(sorted(self.numbers("t", self.target.direct)), sorted(set(seen)))
        return seen

    def test_unsettled(self):
        """The route's broker is away: nothing of it was published, and no event is published twice later."""
        self.target.proxy.cut()
        self.source.feed(range(1, COUNT + 1))
        running = self.bridge(self.file)
        running.until_route("one", "a full route", lambda route: route["in_flight"] == faults.IN_FLIGHT)
        for times in (1, 2):
            self.interrupt(running, times)
        self.target.proxy.heal()
        self.assertEqual(self.look(running), list(range(1, COUNT + 1)))

    def test_nothing_is_owed(self):
        """Every message is acknowledged in the end: a new bridge of the same name gets none again."""
        self.test_unsettled()
        running = self.bridge(self.file, log="second.log")
        self.source.feed(range(COUNT + 1, COUNT + 2))
        running.until_route("one", "the new event", lambda route: route["published"] >= 1)
        self.stopped(running)
        self.assertEqual(self.numbers("t", self.target.direct), list(range(1, COUNT + 2)))

    def test_bytes_are_given_back(self):
        """What was settled after an interruption, and may come again, takes no room from what is still to come."""
        self.source.settings["option"] = ["prefetch_bytes=64K"]
        self.file = self.config({"s": self.source.settings}, [
            {"name": "one", "model": "in/#", "topic": "t", "in_flight": faults.IN_FLIGHT}], broker=self.target.url)
        self.target.proxy.cut()
        lines = "".join('{"n":%d,"pad":"%s"}\n' % (n, "x" * 4000) for n in range(1, COUNT + 1))
        subprocess.run([bridging.PUBSUB, "pub", "-q", "-b", self.source.broker.direct, "-l", "in/t"],
                       input=lines.encode(), env=self.env, check=True)
        running = self.bridge(self.file)
        running.until_route("one", "no more room for bytes", lambda route: route["in_flight"] >= 16)
        self.interrupt(running, 1)
        self.target.proxy.heal()
        self.look(running)


if __name__ == "__main__":
    bridging.main()

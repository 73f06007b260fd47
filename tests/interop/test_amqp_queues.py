# SPDX-License-Identifier: MIT
"""Streams and quorum queues, which the conformance suite does not run on."""
import os
import signal

import amqp_interop


def end_group(leader):
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        pass  # all of it has ended


class Streams(amqp_interop.Case):
    def setUp(self):
        super().setUp()
        name = self.queue("s")
        self.env["PUBSUB_BROKER"] = "%s/?exchange=%s.x&stream=%s" % (self.broker, name, name)
        self.ok("pub", self.topic("other"), "x")  # makes both

    def publish(self, *bodies):
        for body in bodies:
            self.ok("pub", self.topic(), body)

    def test_history_and_what_comes_then(self):
        self.publish("1", "2", "3")
        sub = self.sub("--from", "earliest", self.topic(), count=5)
        self.publish("4", "5")
        got = self.messages(sub)
        self.assertEqual([m["payload"] for m in got], list("12345"))
        self.assertEqual([m["offset"] for m in got], ["offset-%d" % n for n in range(1, 6)])

    def test_positions_and_times(self):
        self.publish("1", "2", "3")
        self.assertEqual(self.ok("sub", "-e", "--from", "offset-1", self.topic()), b"2\n3\n")
        self.assertEqual(self.ok("sub", "-e", "--from", "-1h", self.topic()), b"1\n2\n3\n")
        self.fails(2, "sub", "--from", "offset-x", self.topic(), says="offset-x")

    def test_new_is_from_now_on(self):
        self.publish("1")
        sub = self.sub(self.topic(), count=1)
        self.publish("2")
        self.assertEqual([m["payload"] for m in self.messages(sub)], ["2"])

    def test_more_than_the_prefetch(self):
        lines = self.path("lines", b"".join(b"%d\n" % i for i in range(3000)))
        with open(lines, "rb") as file:
            self.assertEqual(self.start("pub", "-l", self.topic(), stdin=file).end()[0], 0)
        out = self.ok("sub", "--from", "earliest", "-c", "3000", "--prefetch", "50", self.topic())
        self.assertEqual(out, b"".join(b"%d\n" % i for i in range(3000)))

    def test_leaving_in_the_middle(self):
        """What was not handled yet is not given back: a stream cannot take it, and would end the connection."""
        lines = self.path("lines", b"x\n" * 500)
        with open(lines, "rb") as file:
            self.assertEqual(self.start("pub", "-l", self.topic(), stdin=file).end()[0], 0)
        code, out, err = self.run_pubsub("sub", "-v", "--from", "earliest", "-c", "3", self.topic())
        self.assertEqual((code, out.count(b"x\n")), (0, 3))
        self.assertNotIn("lost", err)

    def test_what_a_stream_has_not_is_refused(self):
        for args, word in ((("-g", "g"), "group"), (("--durable", "d"), "durable")):
            self.fails(7, "sub", *args, self.topic(), says=word)


class Quorum(amqp_interop.Case):
    def setUp(self):
        super().setUp()
        self.env["PUBSUB_BROKER"] = self.broker + "/?queue_type=quorum"

    def test_attempts_survive_a_crash(self):
        name = self.queue("d")
        self.messages(self.sub("--durable", name, self.topic()).signal(signal.SIGTERM), 143)
        self.ok("pub", self.topic(), "x")
        for attempt in (1, 2, 3):
            sub = self.start("sub", "-v", "--durable", name, "--exec",
                             "echo started >&2; exec tail -f /dev/null >/dev/null 2>&1", self.topic(),
                             start_new_session=True)
            self.addCleanup(end_group, sub.process.pid)  # the command goes on
            sub.wait_for("started")
            sub.signal(signal.SIGKILL).process.wait()
        out = self.ok("sub", "-F", "%v %a\\n", "-c", "1", "-W", "30s", "--durable", name, self.topic())
        self.assertEqual(out, b"x 4\n")

    def test_an_ordinary_queue_of_that_name(self):
        name = self.queue("c")
        sub = self.sub("--durable", name, self.topic(), env={"PUBSUB_BROKER": self.broker})
        self.messages(sub.signal(signal.SIGTERM), 143)
        code, _, err = self.run_pubsub("sub", "-c", "1", "--durable", name, self.topic())
        self.assertNotEqual(code, 0)
        self.assertIn("x-queue-type", err)


class NamedQueues(amqp_interop.Case):
    def test_a_durable_name_is_refused_where_consumers_share(self):
        queue = "amqp.queue=" + self.queue("q")
        self.fails(7, "sub", "--durable", "d", "-X", queue, self.topic(), says="durable name")
        self.fails(7, "sub", "--durable", "d", "--group", "g", "-X", queue, "-X", "amqp.queue_durable=no",
                   self.topic(), says="durable name")


if __name__ == "__main__":
    amqp_interop.main()

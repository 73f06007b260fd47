# SPDX-License-Identifier: MIT
"""What amqp-publish publishes and amqp-consume gets, both ways."""
import subprocess

import amqp_interop
from interop import DEADLINE


class Tools(amqp_interop.Case):
    def test_in(self):
        sub = self.sub(self.topic("#"), count=3)
        self.put(body="plain")
        self.put("-p", "-C", "text/plain", "-t", "answers.here", "-H", "a: b", "-H", "c: é", body="full",
                 key=self.key("a/b"))
        self.put(body="", key=self.key("dot%2Ein%25it"))
        plain, full, empty = self.messages(sub)
        self.assertEqual((plain["topic"], plain["payload"], plain["qos"]), (self.topic(), "plain", 0))
        self.assertEqual(set(plain) & {"headers", "key", "content_type", "reply_to", "expires"}, set())
        self.assertEqual((full["topic"], full["qos"]), (self.topic("a/b"), 1))
        self.assertEqual((full["content_type"], full["reply_to"]), ("text/plain", "answers/here"))
        self.assertEqual(full["headers"], [["a", "b"], ["c", "é"]])
        self.assertEqual((empty["topic"], empty.get("payload", "")), (self.topic("dot.in%it"), ""))

    def test_out(self):
        queue = self.queue()
        subprocess.run(["amqp-declare-queue", "-u", self.broker, "-q", queue], check=True, timeout=DEADLINE,
                       stdout=subprocess.DEVNULL)
        self.addCleanup(subprocess.run, ["amqp-delete-queue", "-u", self.broker, "-q", queue],
                        stdout=subprocess.DEVNULL)
        # The name of a queue as topic, and the empty exchange.
        self.env["PUBSUB_BROKER"] = self.broker + "/?exchange="
        self.ok("pub", queue, "to a queue")
        self.assertEqual(self.get("-q", queue, "-c", "1", "cat").end()[:2], (0, b"to a queue"))

    def test_a_foreign_queue_is_used_as_it_is(self):
        queue = self.queue("exists")
        subprocess.run(["amqp-declare-queue", "-u", self.broker, "-q", queue], check=True, timeout=DEADLINE,
                       stdout=subprocess.DEVNULL)
        self.addCleanup(subprocess.run, ["amqp-delete-queue", "-u", self.broker, "-q", queue],
                        stdout=subprocess.DEVNULL)
        self.put(body="one", exchange="", key=queue)
        self.env["PUBSUB_BROKER"] = self.broker + "/?exchange="
        (message,) = self.messages(self.sub(queue, count=1))
        self.assertEqual((message["topic"], message["payload"]), (queue, "one"))
        # Said how it is to be, the difference is one error that names the argument.
        code, _, err = self.run_pubsub("sub", "-X", "amqp.queue_durable=yes", "-c", "1", queue)
        self.assertNotEqual(code, 0)
        self.assertIn("durable", err)
        self.assertIn(queue, err)

    def test_nobody_is_there(self):
        """The confirm of a message that reached no queue says so."""
        self.ok("pub", self.topic("nobody"), "x")
        code, _, err = self.run_pubsub("request", "-W", "20s", self.topic("nobody"), "x")
        self.assertNotEqual(code, 0)
        self.assertIn("nobody", err)


if __name__ == "__main__":
    amqp_interop.main()

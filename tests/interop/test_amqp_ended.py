# SPDX-License-Identifier: MIT
"""RabbitMQ ends a consumer that leaves a message unsettled for too long: the subscription has its queue
again, with what is in it, over the same connection, and leaves nothing behind that fills up."""
import signal
import sys

import amqp_interop
import interop
from interop import Missing

BROKER = {}


class Ended(interop.support.Case):
    def setUp(self):
        super().setUp()
        self.env["PUBSUB_BROKER"] = BROKER["url"]

    def queues(self):
        lines = amqp_interop.rabbitmqctl(BROKER, "list_queues", "--no-table-headers", "name").splitlines()
        return [line for line in lines if line.startswith(b"amq.gen-")]

    def test_its_messages_come_again(self):
        sub = self.subscriber("-v", "--ack", "none", "-c", "4", "-F", "%v\\n", "-W",
                              "%ds" % (2 * interop.DEADLINE), "ended/t")
        self.ok("pub", "ended/t", "a")
        sub.wait_for(", again")
        self.assertEqual(len(self.queues()), 1)
        self.ok("pub", "ended/t", "b")
        code, out, err = sub.end()
        self.assertEqual((code, sorted(set(out.split()))), (0, [b"a", b"b"]), err)
        self.assertNotIn("missed", err)
        self.assertNotIn("link", err)

    def test_its_queue_is_gone(self):
        """Somebody deletes it: there is a new one, and it is said that something is missing."""
        sub = self.subscriber("-v", "-c", "1", "-W", "%ds" % (2 * interop.DEADLINE), "gone/t")
        (queue,) = self.queues()
        amqp_interop.rabbitmqctl(BROKER, "eval", '{ok, Q} = rabbit_amqqueue:lookup('
                                 'rabbit_misc:r(<<"/">>, queue, <<"%s">>)), '
                                 'rabbit_amqqueue:delete(Q, false, false, <<"test">>).' % queue.decode())
        sub.wait_for("missed")
        self.ok("pub", "gone/t", "x")
        code, out, err = sub.end()
        self.assertEqual((code, out), (0, b"gone/t x\n"), err)

    def test_fewer_channels_than_before(self):
        """Restarted with another configuration: as many subscriptions as it allows go on."""
        topics = ["fewer/%d" % i for i in range(4)]
        sub = self.subscriber("-v", "-X", "reconnect_max=200ms", *topics)
        try:
            amqp_interop.rabbitmqctl(BROKER, "eval", "application:set_env(rabbit, channel_max, 2).")
            amqp_interop.rabbitmqctl(BROKER, "close_all_connections", "bye")
            sub.wait_for(", again", 2)
            sub.wait_for("allows 2 channels", 2)
        finally:
            amqp_interop.rabbitmqctl(BROKER, "eval", "application:set_env(rabbit, channel_max, 8).")
        self.assertNotIn(b"NOT_ALLOWED", sub.stderr)

    def test_an_answer_that_is_refused(self):
        """Its request does not come again for ever, and the next one is answered. This broker takes 64 KiB."""
        reply = self.start("reply", "-v", "ended/q", "--exec", "read x; echo ran >&2; [ $x = small ] && printf fine || "
                           "head -c 100000 /dev/zero")
        reply.wait_for("subscribed to")
        self.fails(6, "request", "-W", "1s", "ended/q", "big", says="no answer")
        reply.wait_for("max size")
        self.assertEqual(self.ok("request", "ended/q", "small"), b"fine\n")
        _, _, err = reply.signal(signal.SIGTERM).end()
        self.assertEqual(err.count("ran\n"), 2, err)


if __name__ == "__main__":
    try:
        BROKER.update(interop.start_broker("rabbitmq", "small"))
        # The broker looks once a minute; what was set at its start it looks up for each channel.
        amqp_interop.rabbitmqctl(BROKER, "eval", "application:set_env(rabbit, channel_tick_interval, 500), "
                                 "application:set_env(rabbit, consumer_timeout, 1000).")
    except Missing as why:
        print("skipped: %s" % why)
        sys.exit(1 if interop.REQUIRED and interop.is_asked("rabbitmq") else 77)
    interop.support.main()

# SPDX-License-Identifier: MIT
"""Node's amqplib: two services that talk through a queue, each in turn replaced by the command, and what
either makes of the other's messages."""
import json

import amqp_interop


class Services(amqp_interop.Case):
    def setUp(self):
        super().setUp()
        # The empty exchange: a topic is a queue. Its service made it not durable.
        self.plain = self.broker + "/?exchange=&queue_durable=no"

    def test_both_theirs(self):
        queue = self.queue()
        service = self.node("service.js", queue, "2")
        self.assertEqual(service.line(), "ready")
        client = self.node("client.js", queue, "a", "b")
        self.assertEqual(sorted((client.line(), client.line())), ["a: pong a", "b: pong b"])
        self.assertEqual(service.end()[0], 0)

    def test_we_ask(self):
        queue = self.queue()
        service = self.node("service.js", queue, "2")
        self.assertEqual(service.line(), "ready")
        self.env["PUBSUB_BROKER"] = self.plain
        for text in ("one", "two"):
            self.assertEqual(self.ok("request", "-W", "20s", queue, text), b"pong " + text.encode() + b"\n")
        self.assertEqual(service.end()[0], 0)

    def test_we_answer(self):
        queue = self.queue()
        self.env["PUBSUB_BROKER"] = self.plain
        reply = self.start("reply", "-v", "-c", "3", queue, "--echo")
        reply.wait_for("subscribed to")
        client = self.node("client.js", queue, "a", "b", "c")
        self.assertEqual(sorted(client.line() for _ in range(3)), ["a: a", "b: b", "c: c"])
        self.assertEqual(reply.end()[0], 0)
        self.assertEqual(client.end()[0], 0)

    def test_we_answer_beside_an_exchange(self):
        """A reply-to of the broker's making is a queue, whatever our exchange is."""
        queue = self.queue()
        reply = self.start("reply", "-v", "-c", "1", "-X", "amqp.queue=" + queue, "-X", "amqp.queue_durable=no",
                           queue, "--echo")
        reply.wait_for("subscribed to")
        client = self.node("client.js", queue, "a")
        self.assertEqual(client.line(), "a: a")
        self.assertEqual(reply.end()[0], 0)

    def test_every_type_of_header(self):
        sub = self.sub(self.topic(), count=1)
        self.assertEqual(self.node("publish.js", self.key()).end()[0], 0)
        (message,) = self.messages(sub)
        headers = dict((name, value) for name, value in message["headers"] if isinstance(value, str))
        for name, value in (("text", "é"), ("int", "-7"), ("big", "5000000000"), ("double", "0.5"), ("yes", "true"),
                            ("no", "false"), ("nothing", ""), ("list", '["a",1,[true]]'), ("when", "1700000000"),
                            ("table", '{"in":{"side":"x\\"y"}}'), ("amqp-message-id", "m-1"),
                            ("amqp-type", "kind"), ("amqp-app-id", "app"), ("amqp-content-encoding", "identity")):
            self.assertEqual(headers.get(name), value, name)
        self.assertEqual((message["content_type"], message["correlation"], message["reply_to"]),
                         ("application/x", "c-1", "some/queue"))

    def test_ours_there(self):
        node = self.node("consume.js", self.key())
        self.assertEqual(node.line(), "ready")
        self.ok("pub", "-k", "k", "-H", "a: b", "--content-type", "text/plain", "--reply-to", "re/ply", "--correlation",
                "c", "--expiry", "1m", self.topic(), "body")
        got = json.loads(node.line())
        properties = got["properties"]
        self.assertEqual((got["key"], bytes.fromhex(got["body"])), (self.key(), b"body"))
        self.assertEqual(properties["headers"], {"pubsub-key": "k", "a": "b"})
        self.assertEqual([properties[n] for n in ("contentType", "replyTo", "correlationId", "deliveryMode")],
                         ["text/plain", "re.ply", "c", 2])
        self.assertTrue(59000 < int(properties["expiration"]) <= 60000, properties)


if __name__ == "__main__":
    amqp_interop.main(amqp_interop.need_amqplib)

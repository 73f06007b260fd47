# SPDX-License-Identifier: MIT
"""RabbitMQ with its MQTT plug-in, which speaks 3.1.1 only: another broker behind the same URL."""
import json
import os
import subprocess
import sys

import interop

BROKER = {}


class RabbitMQ(interop.Case):
    version = "mqttv311"

    def setUp(self):
        self.url = BROKER["urls"]["mqtt"]
        super().setUp()
        self.env.update(PUBSUB_USER=BROKER["user"], PUBSUB_PASSWORD_FILE=BROKER["password_file"])

    def foreign(self, program, *args):
        with open(BROKER["password_file"], encoding="utf-8") as file:
            secret = file.readline().strip()
        return super().foreign(program, "-u", BROKER["user"], "-P", secret, *args)

    def test_fall_back(self):
        """Without being told it speaks 3.1.1; told to speak 5 only it says why not."""
        sub = self.sub(self.topic(), count=1)
        self.ok("pub", self.topic(), "x")
        self.assertEqual([m["payload"] for m in self.messages(sub)], ["x"])
        self.fails(3, "pub", "-X", "mqtt.version=5", self.topic(), "x", says="mqtt.version")

    def test_caps_tell(self):
        out = json.loads(self.ok("caps", "-j", self.broker))
        text = json.dumps(out)
        self.assertIn("speaks only 3.1.1", text)

    def test_what_needs_5_is_refused(self):
        for args, word in ((("-H", "a: b"), "headers"), (("-k", "k"), "key"), (("--expiry", "5s"), "expiry"),
                           (("--reply-to", "r"), "reply"), (("--content-type", "t/t"), "content")):
            err = self.fails(7, "pub", *args, self.topic(), "x")
            self.assertIn("speaks only 3.1.1", err)
            self.assertIn(word, err)
        err = self.fails(7, "sub", "-g", "g", "-c", "1", self.topic())
        self.assertIn("speaks only 3.1.1", err)

    def test_both_ways(self):
        theirs = self.get("-q", "1", form="%q %p")
        ours = self.sub("-Q", "1", self.topic("#"), count=3)
        for qos in ("0", "1", "2"):
            self.ok("pub", "-Q", qos, self.topic("a"), "ours" + qos)
        self.assertEqual(sorted(theirs.line() for _ in range(3)), ["0 ours0", "1 ours1", "1 ours2"])
        got = sorted((m["payload"], m["qos"]) for m in self.messages(ours))
        self.assertEqual(got, [("ours0", 0), ("ours1", 1), ("ours2", 1)])
        ours = self.sub(self.topic("+/b"), count=1)
        self.put("-q", "1", "-m", "theirs", topic=self.topic("a/b"))
        self.assertEqual([m["payload"] for m in self.messages(ours)], ["theirs"])

    def test_durable(self):
        args = ("--durable", self.name("d"), self.topic())
        self.begin(*args)
        self.ok("pub", "-l", self.topic(), input=b"1\n2\n3\n")
        self.assertEqual([m["payload"] for m in self.held(*args, count=3)], ["1", "2", "3"])

    def test_retained(self):
        self.ok("pub", "-r", self.topic("kept"), "value")
        sub = self.sub("--from", "last", self.topic("kept"), count=1)
        self.assertEqual([(m["payload"], m["retain"]) for m in self.messages(sub)], [("value", True)])

    def test_payloads(self):
        body = os.urandom(1 << 20)
        sub = self.subscriber("-F", "%v", "-c", "1", self.topic())
        self.ok("pub", "-s", self.topic(), input=body)
        code, out, err = sub.end()
        self.assertEqual((code, out == body), (0, True), err)


if __name__ == "__main__":
    try:
        BROKER.update(interop.start_broker("rabbitmq", "mqtt"))
    except interop.Missing as why:
        print("skipped: %s" % why)
        sys.exit(77)
    interop.main()

# SPDX-License-Identifier: MIT
"""What pubsub publishes, as mosquitto_sub shows it."""
import os
import signal
import subprocess
import time

import interop

FULL = "%t|%q|%r|%x|%C|%D|%R|%P"


class Out(interop.Case):
    def test_qos(self):
        """Each qos arrives as it was sent, with both versions of the protocol on both sides."""
        for theirs in ("mqttv5", "mqttv311", "mqttv31"):
            sub = self.get("-q", "2", version=theirs, form="%q %p")
            for ours in ("5", "3.1.1"):
                for qos in ("0", "1", "2"):
                    self.ok("pub", "-X", "mqtt.version=" + ours, "-Q", qos, self.topic(), ours + "-" + qos)
                    self.assertEqual(sub.line(), "%s %s-%s" % (qos, ours, qos))
            sub.stop()

    def test_properties(self):
        sub = self.get(form=FULL)
        self.ok("pub", "-k", "schlüssel", "-H", "a: b", "-H", "a: c", "-H", "leer: ", "--content-type",
                "application/json", "--correlation", "\x01\x7f;", "--reply-to", "answers/here", self.topic(), "x")
        # mosquitto_sub prints what cannot be printed as it is, and user properties with a blank behind.
        self.assertEqual(sub.line().rstrip(), "%s|0|0|78|application/json|\x01\x7f;|answers/here|"
                         "pubsub-key:schlüssel a:b a:c leer:" % self.topic())

    def test_expiry(self):
        sub = self.get(form="%E %p")
        self.ok("pub", "--expiry", "90s", self.topic(), "x")
        self.ok("pub", "--expiry", "1500ms", self.topic(), "x")
        self.assertIn(sub.line(), ("90 x", "89 x"))
        self.assertIn(sub.line(), ("2 x", "1 x"))

    def test_binary_header_is_announced(self):
        sub = self.get(form="%P")
        line = b'{"topic":"%s","headers":[["b",{"base64":"AP8B"}],["t","x"]],"payload":"p"}\n'
        code, _, err = self.run_pubsub("pub", "--jsonl", self.topic(), input=line % self.topic().encode())
        self.assertEqual(code, 0, err)
        self.assertEqual(sub.line().rstrip(), "pubsub-base64:b b:AP8B t:x")

    def test_tombstone(self):
        sub = self.get(form="[%p] %P")
        self.ok("pub", "-n", self.topic())
        self.assertEqual(sub.line().rstrip(), "[] pubsub-tombstone:1")

    def test_retained(self):
        self.ok("pub", "-r", self.topic("kept"), "value")
        sub = self.get(form="%r %p", topics=[self.topic("kept")])
        self.assertEqual(sub.line(), "1 value")
        self.ok("pub", "-r", "-X", "mqtt.version=3.1.1", self.topic("kept"), "")
        self.assertEqual(sub.line(), "0 ")
        late = self.get(form="%r %p", topics=[self.topic("kept")])
        self.ok("pub", self.topic("kept"), "after")
        self.assertEqual(late.line(), "0 after")

    def test_topics(self):
        """Empty levels, blanks, other scripts, dollar signs, the longest one."""
        longest = self.topic("x" * (1024 - len(self.topic(""))))
        topics = [self.topic(t) for t in ("a//b", "with blank", "grüße/日本語/🚀", "a/$x", "e/")] + [longest]
        sub = self.get("-q", "1", form="%t")
        for topic in topics:
            self.ok("pub", topic, "x")
            self.assertEqual(sub.line(), topic)
        for topic in ("a+b", "a#b", "a/b#"):
            self.fails(2, "pub", self.topic(topic), "x", says="MQTT allows no '+' and no '#'")
        self.fails(2, "pub", self.topic("a\x01b"), "x", says="control or non-characters")
        self.fails(2, "pub", "$share/g/" + self.topic(), "x", says="reserves $share/")

    def test_payloads(self):
        sub = self.get("-q", "1", "-N", form="%l %x\n")
        for body in (b"", b"\0", bytes(range(256)), "grüße".encode(), b"\n"):
            self.ok("pub", "-s", self.topic(), input=body)
            self.assertEqual(sub.line(), "%d %s" % (len(body), body.hex()))

    def test_a_megabyte(self):
        body = os.urandom(1 << 20)
        for version in ("5", "3.1.1"):
            sub = self.get("-q", "1", form="%x")
            self.ok("pub", "-s", "-X", "mqtt.version=" + version, self.topic(), input=body)
            self.assertEqual(bytes.fromhex(sub.line()), body)
            sub.stop()

    def test_the_message_of_the_article(self):
        body = '{"model":"accounts","message":{"id":7,"name":"Käte"}}'
        sub = self.get("-q", "1", form="%t %p", topics=["/v1/subutest/%d" % os.getpid(), "/v1/subutest"])
        self.ok("pub", "/v1/subutest", body)
        self.assertEqual(sub.line(), "/v1/subutest " + body)

    def test_session_of_another_program(self):
        """What pubsub publishes while a durable mosquitto_sub is away, it gets when it comes back."""
        who = ("-i", self.name("s"), "-c", "-q", "1")
        command = self.foreign("mosquitto_sub", "-V", "mqttv5", *who, "-t", self.topic())
        subprocess.run(command + ["-E"], check=True, timeout=interop.DEADLINE)
        self.ok("pub", "-l", "-H", "n: v", self.topic(), input=b"1\n2\n3\n")
        run = subprocess.run(command + ["-F", "%p %P", "-C", "3", "-x", "0"], stdout=subprocess.PIPE,
                             timeout=interop.DEADLINE)
        self.assertEqual([line.rstrip() for line in run.stdout.splitlines()], [b"1 n:v", b"2 n:v", b"3 n:v"])

    def test_will(self):
        """A pubsub that is killed leaves its will; one that ends does not."""
        sub = self.get("-q", "1", form="%t %p")
        will = ("-X", "mqtt.will_topic=" + self.topic("will"), "-X", "mqtt.will_payload=gone")
        for version in ("5", "3.1.1"):
            for how in (signal.SIGTERM, signal.SIGKILL):
                ours = self.sub(*will, "-X", "mqtt.version=" + version, self.topic("other"))
                ours.signal(how).end()
                self.ok("pub", self.topic("mark"), how.name)
                got = [sub.line()]
                if how == signal.SIGKILL and "will" not in got[0]:
                    got.append(sub.line())
                elif how == signal.SIGKILL:
                    got.insert(0, sub.line())
                expect = [self.topic("mark") + " " + how.name]
                expect += [self.topic("will") + " gone"] * (how == signal.SIGKILL)
                self.assertEqual(got, expect, version)

    def until_gone(self, topic):
        """Until the broker does not give the retained message any more."""
        ask = self.foreign("mosquitto_sub", "-V", "mqttv5", "-t", topic, "--retained-only", "-C", "1", "-W", "1")
        end = time.monotonic() + interop.DEADLINE
        while subprocess.run(ask, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             timeout=interop.DEADLINE).returncode == 0:
            self.assertLess(time.monotonic(), end, "the retained message does not expire")

    def test_expired_before_the_other_is_back(self):
        command = self.foreign("mosquitto_sub", "-V", "mqttv5", "-i", self.name("s"), "-c", "-q", "1", "-t",
                               self.topic())
        subprocess.run(command + ["-E"], check=True, timeout=interop.DEADLINE)
        self.ok("pub", "--expiry", "1s", self.topic(), "short")
        self.ok("pub", "--expiry", "1s", "--retain", self.topic("mark"), "here")
        self.ok("pub", "--expiry", "60s", self.topic(), "long")
        self.until_gone(self.topic("mark"))  # it lived at least as long as the short one
        run = subprocess.run(command + ["-F", "%p", "-C", "1", "-x", "0"], stdout=subprocess.PIPE,
                             timeout=interop.DEADLINE)
        self.assertEqual(run.stdout, b"long\n")


if __name__ == "__main__":
    interop.main()

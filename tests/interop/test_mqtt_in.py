# SPDX-License-Identifier: MIT
"""What mosquitto_pub publishes, as pubsub shows it."""
import base64
import os
import subprocess

import interop


class In(interop.Case):
    def test_qos(self):
        for ours in ("5", "3.1.1"):
            sub = self.sub("-Q", "2", "-X", "mqtt.version=" + ours, self.topic(), count=9)
            for theirs in ("mqttv5", "mqttv311", "mqttv31"):
                for qos in ("0", "1", "2"):
                    self.put("-q", qos, "-m", theirs + qos, version=theirs)
            # Those of different publishers and qos may overtake each other.
            got = sorted((m["payload"], m["qos"]) for m in self.messages(sub))
            self.assertEqual(got, sorted((v + str(q), q) for v in ("mqttv5", "mqttv311", "mqttv31") for q in range(3)))

    def test_properties(self):
        sub = self.sub(self.topic(), count=1)
        publish = ("-D", "publish")
        self.put("-m", "x", *publish, "user-property", "a", "b", *publish, "user-property", "a", "ü",
                 *publish, "user-property", "", "", *publish, "content-type", "text/plain", *publish,
                 "response-topic", "re/ply", *publish, "correlation-data", "c;d", *publish,
                 "message-expiry-interval", "100", *publish, "payload-format-indicator", "1",
                 *publish, "user-property", "pubsub-key", "k")
        (message,) = self.messages(sub)
        self.assertEqual(message["headers"], [["a", "b"], ["a", "ü"], ["", ""]])
        self.assertEqual([message[n] for n in ("content_type", "reply_to", "correlation", "key", "payload")],
                         ["text/plain", "re/ply", "c;d", "k", "x"])
        left = (int(message["expires"]) - int(message["recv"])) / 1e9
        self.assertTrue(95 < left <= 100, left)

    def test_from_older_publishers(self):
        """No properties at all: nothing is made up."""
        sub = self.sub(self.topic(), count=2)
        for version in ("mqttv311", "mqttv31"):
            self.put("-m", version, version=version)
        for message in self.messages(sub):
            self.assertEqual(set(message) & {"headers", "key", "content_type", "reply_to", "expires"}, set())

    def test_retained(self):
        self.put("-r", "-m", "kept", "-D", "publish", "user-property", "n", "v", topic=self.topic("k"))
        plain = self.sub(self.topic("k"), count=1)
        for version in ("5", "3.1.1"):
            last = self.sub("--from", "last", "-X", "mqtt.version=" + version, self.topic("k"), count=2)
            self.put("-r", "-m", "kept", "-D", "publish", "user-property", "n", "v", topic=self.topic("k"))
            got = [(m["payload"], m["retain"], m.get("headers")) for m in self.messages(last)]
            headers = [["n", "v"]] if version == "5" else None
            self.assertEqual(got, [("kept", True, headers), ("kept", False, headers)])
        self.assertEqual([m["retain"] for m in self.messages(plain)], [False])
        self.put("-r", "-n", topic=self.topic("k"))
        self.fails(6, "sub", "--only-retained", "-c", "1", "--idle", "300ms", self.topic("k"))

    def test_wildcards(self):
        wanted = {
            self.topic("a/+/c"): ["a/b/c", "a//c"],
            self.topic("d/#"): ["d", "d/e", "d/e/f"],
            self.topic("g/#/h"): ["g/h", "g/x/h", "g/x/y/h"],
            self.topic("i/*"): ["i/j"],
        }
        others = ["a/b", "a/b/c/d", "g/x", "z"]
        for version in ("5", "3.1.1"):
            for pattern, topics in wanted.items():
                sub = self.sub("-X", "mqtt.version=" + version, pattern, count=len(topics))
                for topic in others + topics:
                    self.put("-m", "x", topic=self.topic(topic))
                self.assertEqual([m["topic"] for m in self.messages(sub)], [self.topic(t) for t in topics])

    def test_overlapping_subscriptions(self):
        """Each message once, though the broker sends it for each filter that matches."""
        for more in (("-g", "g"), ("--durable", self.name("d"))):
            sub = self.subscriber("-c", "3", "-F", "%v\\n", *more, self.topic("a/#"), self.topic("a/b"))
            for body, topic in (("one", "a/b"), ("two", "a/c"), ("three", "a/b")):
                self.put("-q", "1", "-m", body, topic=self.topic(topic))
            self.assertEqual(sub.end()[1], b"one\ntwo\nthree\n")

    def test_overlapping_without_identifiers(self):
        """With 3.1.1 nothing tells the copies of two subscriptions apart, so they get connections."""
        both = [self.topic("a/#"), self.topic("a/b")]
        sub = self.sub("-X", "mqtt.version=3.1.1", *both, count=3, topics=2)
        self.put("-q", "1", "-m", "one", topic=both[1])
        self.put("-q", "1", "-m", "two", topic=self.topic("a/c"))
        self.assertEqual(sorted(m["payload"] for m in self.messages(sub)), ["one", "one", "two"])

    def test_topics(self):
        sub = self.sub(self.topic("#"), count=5)
        topics = ["grüße/日本語/🚀", "a//", "with blank", "star/*/x", "x" * 2000]
        for topic in topics:
            self.put("-m", "x", topic=self.topic(topic))
        self.assertEqual([m["topic"] for m in self.messages(sub)], [self.topic(t) for t in topics])

    def test_system_topics(self):
        (message,) = self.messages(self.sub("--from", "last", "$SYS/broker/version", count=1))
        self.assertIn("mosquitto", message["payload"])
        got = self.messages(self.sub("--from", "last", "$SYS/#", count=10))
        self.assertTrue(all(m["topic"].startswith("$SYS/") for m in got))

    def test_payloads(self):
        bodies = [b"", b"\0", bytes(range(256)), b"\xff\xfe", "grüße".encode(), b"\n\r\n", os.urandom(1 << 20)]
        for version in ("5", "3.1.1"):
            sub = self.sub("-X", "mqtt.version=" + version, self.topic(), count=len(bodies))
            for body in bodies:
                if body:
                    self.put("-q", "1", "-s", input=body)
                else:
                    self.put("-q", "1", "-n")
            got = [base64.b64decode(m["payload"]) if m["encoding"] == "base64" else m["payload"].encode()
                   for m in self.messages(sub)]
            self.assertEqual(got, bodies)

    def test_the_message_of_the_article(self):
        body = '{"model":"accounts","message":{"id":7}}'
        sub = self.subscriber("-c", "1", "/v1/subutest")
        self.put("-m", body, version="mqttv311", topic="/v1/subutest")
        self.assertEqual(sub.end()[1].decode(), "/v1/subutest %s\n" % body)

    def test_durable_name_gets_what_came_meanwhile(self):
        for version in ("5", "3.1.1"):
            args = ("-X", "mqtt.version=" + version, "--durable", self.name("d" + version), self.topic())
            self.begin(*args)
            for body in ("1", "2", "3"):
                self.put("-q", "1", "-m", body, version="mqttv311")
            self.assertEqual([m["payload"] for m in self.held(*args, count=3)], ["1", "2", "3"])

    def test_session_of_another_program(self):
        """A session that mosquitto_sub began, with a filter of its own and without identifiers: what it
        holds comes, what it goes on to collect for filters we did not ask for does not."""
        name = self.name("s")
        command = self.foreign("mosquitto_sub", "-V", "mqttv5", "-i", name, "-c", "-q", "1", "-E")
        subprocess.run(command + ["-t", self.topic("old"), "-t", self.topic("both")], check=True,
                       timeout=interop.DEADLINE)
        for topic in ("old", "both", "new"):
            self.put("-q", "1", "-m", "before", topic=self.topic(topic))
        sub = self.sub("--durable", name, self.topic("+"), count=4)
        sub.wait_for("going on where it stood")
        self.put("-q", "1", "-m", "after", topic=self.topic("new"))
        self.put("-q", "1", "-m", "end", topic=self.topic("end"))
        got = [(m["topic"].rsplit("/", 1)[1], m["payload"]) for m in self.messages(sub)]
        self.assertEqual(got, [("old", "before"), ("both", "before"), ("new", "after"), ("end", "end")])

    def test_earlier_filters_of_a_durable_name(self):
        """Identifiers of the name's earlier user: its messages are given where the pattern fits."""
        name = self.name("d")
        self.begin("--durable", name, self.topic("a/#"))
        self.put("-q", "1", "-m", "held", topic=self.topic("a/x"))
        self.put("-q", "1", "-m", "not asked for", topic=self.topic("a/y"))
        sub = self.sub("--durable", name, self.topic("a/x"), count=2)
        self.put("-q", "1", "-m", "no more", topic=self.topic("a/z"))
        self.put("-q", "1", "-m", "new", topic=self.topic("a/x"))
        self.assertEqual([m["payload"] for m in self.messages(sub)][:1], ["held"])

    def test_group_with_another_program(self):
        """mosquitto_sub in our group: each message goes to one of us, all of them arrive."""
        theirs = self.get("-q", "1", form="%p", topics=["$share/crew/" + self.topic("jobs")])
        ours = [self.subscriber("-g", "crew", "-F", "%v\\n", self.topic("jobs")) for _ in range(2)]
        for n in range(30):
            self.put("-q", "1", "-m", str(n), topic=self.topic("jobs"))
        got = [int(theirs.line()) for _ in range(10)]
        got += [int(member.read_line()) for member in ours for _ in range(10)]
        self.assertEqual(sorted(got), list(range(30)))

    def test_will(self):
        for version in ("mqttv5", "mqttv311"):
            sub = self.sub("-Q", "1", self.topic("will"), count=1)
            other = self.get("--will-topic", self.topic("will"), "--will-payload", "bye", "--will-qos", "1",
                             version=version)
            other.process.kill()
            (message,) = self.messages(sub)
            self.assertEqual((message["payload"], message["qos"]), ("bye", 1))

    def test_expiry(self):
        args = ("--durable", self.name("d"), self.topic())
        self.begin(*args)
        self.put("-q", "1", "-m", "long", "-D", "publish", "message-expiry-interval", "600")
        (message,) = self.held(*args, count=1)
        left = (int(message["expires"]) - int(message["recv"])) / 1e9
        self.assertTrue(590 < left <= 600, left)


class Foreign(interop.Case):
    """What our own publisher would not send, or means something else by: it comes as it is."""

    def headers(self, *properties, body="x"):
        sub = self.sub(self.topic(), count=1)
        args = []
        for name, value in properties:
            args += ["-D", "publish", "user-property", name, value]
        self.put("-q", "1", *(("-m", body) if body else ("-n",)), *args)
        (message,) = self.messages(sub)
        self.assertEqual(message["payload"], body)
        return message

    def test_base64_that_is_none(self):
        message = self.headers(("pubsub-base64", "a"), ("a", "no base64!"))
        self.assertEqual(message["headers"], [["a", "no base64!"]])

    def test_base64_of_nothing(self):
        message = self.headers(("n", "v"), ("pubsub-base64", "gone"))
        self.assertEqual(message["headers"], [["n", "v"], ["pubsub-base64", "gone"]])

    def test_base64_of_another_name(self):
        message = self.headers(("pubsub-base64", "b"), ("a", "QUJD"))
        self.assertEqual(message["headers"], [["pubsub-base64", "b"], ["a", "QUJD"]])

    def test_base64_of_base64(self):
        message = self.headers(("pubsub-base64", "pubsub-base64"), ("pubsub-base64", "a"), ("a", "QUJD"))
        self.assertEqual(message["headers"], [["pubsub-base64", "a"], ["a", "QUJD"]])

    def test_base64_key(self):
        self.assertEqual(self.headers(("pubsub-base64", "pubsub-key"), ("pubsub-key", "QUJD"))["key"], "ABC")

    def test_two_keys(self):
        message = self.headers(("pubsub-key", "one"), ("pubsub-key", "two"))
        self.assertEqual((message["key"], message["headers"]), ("one", [["pubsub-key", "two"]]))

    def test_tombstone_with_a_body(self):
        message = self.headers(("pubsub-tombstone", "1"))
        self.assertEqual(message["headers"], [["pubsub-tombstone", "1"]])
        self.assertNotIn("tombstone", message)

    def test_very_many_properties(self):
        many = [("n%d" % i, "v" * 20) for i in range(256)]  # as many as the command shows
        self.assertEqual(self.headers(*many)["headers"], [list(pair) for pair in many])

    def test_long_property(self):
        long = "x" * 65535
        self.assertEqual(self.headers(("n", long))["headers"], [["n", long]])

    def test_again_by_us(self):
        """What came is published again, names that are ours included."""
        message = self.headers(("pubsub-key", "one"), ("pubsub-key", "two"), ("n", "v"))
        self.assertEqual(len(message["headers"]), 2)
        sub = self.sub("--exec", "false", "--max-attempts", "1", "--dead-letter", self.topic("dead"), self.topic("w"))
        dead = self.sub(self.topic("dead"), count=1)
        self.put("-q", "1", "-m", "x", "-D", "publish", "user-property", "pubsub-key", "one", "-D", "publish",
                 "user-property", "pubsub-key", "two", topic=self.topic("w"))
        (message,) = self.messages(dead)
        self.assertEqual((message["payload"], message["key"]), ("x", "one"))
        self.assertIn(["pubsub-key", "two"], message["headers"])
        sub.signal(15)


if __name__ == "__main__":
    interop.main()

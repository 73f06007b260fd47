# SPDX-License-Identifier: MIT
"""pubsub beside kcat, both ways."""
import json
import time

import kafka_interop
from kafka_interop import headers_of, payload_of


class Kcat(kafka_interop.Case):
    def test_in(self):
        sub = self.sub(self.topic(), count=4)
        self.kcat("-P", "-t", self.name(), input=b"plain\n")
        self.kcat("-P", "-t", self.name(), "-k", "k", "-H", "a=b", "-H", "a=c", "-H", "none=", input=b"with headers\n")
        self.kcat("-P", "-t", self.name(), "-K", ":", "-Z", input=b"k:\n")
        self.kcat("-P", "-t", self.name(), "-k", "k", self.path("binary", b"\0\xff\n\xfe"))
        got = self.messages(sub)
        plain = [one for one in got if "key" not in one]
        full, gone, binary = [one for one in got if "key" in one]
        self.assertEqual([payload_of(one) for one in plain], [b"plain"])
        self.assertEqual((payload_of(full), full["key"], full["topic"]), (b"with headers", "k", self.topic()))
        self.assertEqual(headers_of(full), [("a", b"b"), ("a", b"c"), ("none", b"")])
        self.assertEqual((payload_of(gone), gone["key"]), (None, "k"))
        self.assertEqual(payload_of(binary), b"\0\xff\n\xfe")

    def test_out(self):
        before = time.time_ns() // 1000000
        self.ok("pub", "-k", "k", "-H", "a: b", "-H", "a: c", "--content-type", "text/plain", self.topic(), "hello")
        self.ok("pub", "-k", "gone", "-n", self.topic())
        self.ok("pub", self.topic(), "")
        lines = self.kcat("-C", "-t", self.name(), "-e", "-q", "-J").splitlines()
        got = {str(one["key"]): one for one in map(json.loads, lines)}
        full = got["k"]
        self.assertEqual(full["payload"], "hello")
        self.assertEqual(full["headers"], ["content-type", "text/plain", "a", "b", "a", "c"])
        self.assertEqual(full["tstype"], "create")
        self.assertTrue(before <= full["ts"] <= time.time_ns() // 1000000)
        sizes = self.kcat("-C", "-t", self.name(), "-e", "-q", "-f", "%k %S\\n").split(b"\n")
        self.assertEqual(sorted(sizes), [b"", b" 0", b"gone -1", b"k 5"])

    def test_time(self):
        """The time of a record, and replay from it."""
        self.ok("pub", "-k", "k", self.topic(), "first")
        self.ok("pub", "-k", "k", self.topic(), "second")
        first, second = map(json.loads, self.kcat("-C", "-t", self.name(), "-e", "-q", "-J").splitlines())
        got = self.stored_here(2)
        self.assertEqual([int(one["ts"]) // 1000000 for one in got], [first["ts"], second["ts"]])
        at = "%d:%d" % (first["partition"], first["offset"])
        self.assertEqual(got[0]["offset"], at)
        (after,) = self.messages(self.sub("--from", at, self.topic(), count=1))
        self.assertEqual(payload_of(after), b"second")

    def test_a_folded_topic(self):
        """Many topics in one of Kafka's: the topic travels as key and header."""
        self.env["PUBSUB_BROKER"] = "%s?topic=%s" % (self.broker, self.name("all"))
        self.ok("pub", "a/b", "one")
        self.ok("pub", "-k", "k", "c", "two")
        got = [json.loads(line) for line in self.kcat("-C", "-t", self.name("all"), "-e", "-q", "-J").splitlines()]
        self.assertEqual(sorted((one["payload"], one["key"], one["headers"][:2]) for one in got),
                         [("one", "a/b", ["pubsub-topic", "a/b"]), ("two", "k", ["pubsub-topic", "c"])])

    def test_a_pattern_finds_what_others_make(self):
        sub = self.sub(self.topic("#"), count=1)
        self.kcat("-P", "-t", self.name("new"), input=b"x\n")
        (got,) = self.messages(sub)
        self.assertEqual((got["topic"], payload_of(got)), (self.topic("new"), b"x"))

    def test_the_group_of_kcat_goes_on(self):
        """What our member committed kcat does not get again, and the other way round."""
        group = self.name("group")
        self.make()
        self.messages(self.sub("-g", group, "--durable", group, "--idle", "1ms", self.topic()))
        self.ok("pub", "-l", self.topic(), input=b"1\n2\n3\n4\n")
        got = self.messages(self.sub("-g", group, "--durable", group, self.topic(), count=2))
        self.assertEqual([payload_of(one) for one in got], [b"1", b"2"])
        more = self.kcat("-q", "-c", "1", "-G", group, self.name())
        self.assertEqual(more, b"3\n")
        got = self.messages(self.sub("-g", group, "--durable", group, self.topic(), count=1))
        self.assertEqual([payload_of(one) for one in got], [b"4"])


if __name__ == "__main__":
    kafka_interop.main(kafka_interop.need_kcat)

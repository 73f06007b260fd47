# SPDX-License-Identifier: MIT
"""pubsub beside Kafka's own client, in Java: both ways, the partition of each key, and one group of both."""
import kafka_interop
from kafka_interop import PARTITIONS, headers_of, payload_of

RECORDS = [
    (b"k", b"text", [("a", b"b"), ("a", b"c"), ("empty", b""), ("binary", b"\0\xff\n")]),
    (b"\0\xff", b"\0\xfe\n\r", []),
    (b"gone", None, [("why", "gelöscht".encode())]),
    (b"", b"an empty key", []),
    (None, b"no key", []),
    (b"nothing", b"", []),
]


def field(data):
    return "-" if data is None else data.hex()


def line_of(record, when="-"):
    key, payload, headers = record
    return "\t".join([field(key), field(payload), str(when)] +
                     ["%s=%s" % (name, field(data)) for name, data in headers]) + "\n"


def back(text):
    return None if text == "-" else bytes.fromhex(text)


def record_of(line):
    """(key, payload, headers), (partition, offset, time) of a line of the Java program."""
    _, part, offset, when, key, payload, *headers = line.split("\t")
    pairs = [tuple(one.split("=", 1)) for one in headers]
    return (back(key), back(payload), [(name, back(data)) for name, data in pairs]), (int(part), int(offset), int(when))


def some_keys():
    return [b"%d" % i for i in range(60)] + [b"k" * i for i in range(1, 12)] + [
        bytes([i, 255 - i, 0, i]) for i in range(0, 256, 16)] + ["schlüssel-日本".encode(), b""]


class Java(kafka_interop.Case):
    def ours(self, message):
        key = kafka_interop.bytes_of(message["key"]) if "key" in message else None
        return key, payload_of(message), headers_of(message)

    def produce(self, lines, rest="t"):
        program = self.java("produce", self.hosts, self.name(rest))
        program.say("".join(lines))
        program.process.stdin.close()
        return [tuple(map(int, program.line().split("\t"))) for _ in lines]

    def test_out(self):
        self.pub_all(RECORDS)
        program = self.java("read", self.hosts, self.name(), str(len(RECORDS)))
        got = [record_of(program.line())[0] for _ in RECORDS]
        self.assertEqual(sorted(map(repr, got)), sorted(map(repr, RECORDS)))

    def test_in(self):
        self.make()
        records = RECORDS + [(b"null", b"a header without a value", [("none", None)])]
        self.produce([line_of(one, 1700000000000 + i) for i, one in enumerate(records)])
        got = self.stored_here(len(records))
        want = RECORDS + [(b"null", b"a header without a value", [("none", b"")])]
        self.assertEqual(sorted(repr(self.ours(one)) for one in got), sorted(map(repr, want)))
        times = {self.ours(one)[1]: int(one["ts"]) for one in got}
        self.assertEqual(times[b"text"], 1700000000000 * 1000000)

    def test_partitions(self):
        """A key is where Kafka's own client looks for it, whoever wrote it."""
        keys = some_keys()
        self.pub_all([(key, b"ours", []) for key in keys])
        theirs = [part for part, _, _ in self.produce([line_of((key, b"theirs", [])) for key in keys])]
        program = self.java("partition", str(PARTITIONS))
        program.say("".join(key.hex() + "\n" for key in keys))
        program.process.stdin.close()
        computed = [int(program.line()) for _ in keys]
        self.assertEqual(theirs, computed)
        found = {}
        for message in self.stored_here(2 * len(keys)):
            key, _, _ = self.ours(message)
            found.setdefault(key, set()).add(int(message["offset"].split(":")[0]))
        self.assertEqual([found[key] for key in keys], [{part} for part in computed])
        self.assertGreater(len(set(computed)), PARTITIONS // 2)

    def numbers(self, first, count):
        self.pub_all([(b"key %d" % (i % 40), b"%d" % i, []) for i in range(first, first + count)])

    def member_until(self, program, word):
        """Lines of records before the line that begins with this word; and what it says."""
        lines = []
        while True:
            line = program.line()
            if line.startswith(word + "\t"):
                return lines, line.split("\t")[1]
            if line.startswith("record\t"):
                lines.append(line)

    def test_group(self):
        """Partitions are divided between their member and ours; each goes on where the other one committed."""
        group = self.name("group")
        ours = self.start("sub", "-v", "-g", group, "--durable", group, "-F", "%v %o\\n", self.topic())
        ours.wait_for("subscribed to")
        self.numbers(0, 80)
        seen = [ours.read_line().split()[0] for _ in range(80)]
        self.assertEqual(len(set(seen)), 80)
        theirs = self.java("join", self.hosts, self.name(), group)
        _, parts = self.member_until(theirs, "assigned")
        self.assertEqual(len(parts.split(",")), PARTITIONS // 2)  # none of the 80 came again, see below
        self.numbers(80, 200)
        first, foreign = set(), set()
        while len(first) + len(foreign) < 200:
            if len(first) < 200 and self.readable(ours):
                text, place = ours.read_line().split()
                self.assertNotIn(place.split(b":")[0].decode(), parts.split(","))
                first.add(int(text))
            foreign.update(self.payloads(theirs))
        self.assertEqual(first | foreign, set(range(80, 280)))
        self.assertEqual(first & foreign, set())
        self.assertTrue(first and foreign)
        # Ours leaves; what it committed is not read again by theirs, which gets the rest.
        self.assertEqual(ours.signal(15).end()[0], 0)
        _, parts = self.member_until(theirs, "assigned")
        self.assertEqual(len(parts.split(",")), PARTITIONS)
        self.numbers(280, 80)
        got = set()
        while len(got) < 80:
            got.update(self.payloads(theirs, wait=True))
        self.assertEqual(got, set(range(280, 360)))
        theirs.say("leave\n")
        while theirs.line() != "left":
            pass
        self.numbers(360, 20)
        last = self.messages(self.sub("-g", group, "--durable", group, self.topic(), count=20))
        self.assertEqual({int(payload_of(one)) for one in last}, set(range(360, 380)))

    def readable(self, running):
        return bool(kafka_interop.select.select([running.process.stdout], [], [], 0.05)[0])

    def payloads(self, program, wait=False):
        found = []
        while wait or not program.lines.empty():
            line = program.line()
            if line.startswith("record\t"):
                found.append(int(record_of(line)[0][1]))
            wait = False
        return found


if __name__ == "__main__":
    kafka_interop.main(kafka_interop.need_java)

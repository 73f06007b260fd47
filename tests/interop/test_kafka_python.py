# SPDX-License-Identifier: MIT
"""pubsub beside kafka-python, a client in Python of its own making: both ways, the partition of each key, and one
group of both."""
import threading
import time

import kafka_interop
from interop import DEADLINE
from kafka_interop import PARTITIONS, headers_of, payload_of

RECORDS = [
    (b"k", b"text", [("a", b"b"), ("a", b"c"), ("empty", b""), ("binary", b"\0\xff\n")]),
    (b"\0\xff", b"\0\xfe\n\r", []),
    (b"gone", None, [("why", "gelöscht".encode())]),
    (None, b"no key", []),
    (b"nothing", b"", []),
]


class Member(threading.Thread):
    """A consumer of theirs that commits what it has taken. taken: (partition, text)."""

    def __init__(self, case, group):
        super().__init__(daemon=True)
        from kafka import ConsumerRebalanceListener, KafkaConsumer
        self.parts, self.taken, self.over, self.error = set(), [], threading.Event(), None
        member = self

        class Listener(ConsumerRebalanceListener):
            def on_partitions_revoked(self, revoked):
                member.parts -= {one.partition for one in revoked}

            def on_partitions_assigned(self, assigned):
                member.parts |= {one.partition for one in assigned}

        self.consumer = KafkaConsumer(bootstrap_servers=case.hosts, group_id=group, enable_auto_commit=False,
                                      auto_offset_reset="earliest")
        self.consumer.subscribe([case.name()], listener=Listener())
        self.start()
        case.addCleanup(self.leave)

    def run(self):
        try:
            while not self.over.is_set():
                for records in self.consumer.poll(timeout_ms=100).values():
                    self.taken += [(one.partition, int(one.value)) for one in records]
                    self.consumer.commit()
            self.consumer.close()
        except Exception as error:  # told by the test, which waits in vain
            self.error = error

    def leave(self):
        self.over.set()
        self.join(DEADLINE)


class Python(kafka_interop.Case):
    def until(self, what, done):
        end = time.monotonic() + DEADLINE
        while not done():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.02)

    def producer(self):
        from kafka import KafkaProducer
        producer = KafkaProducer(bootstrap_servers=self.hosts, acks="all")
        self.addCleanup(producer.close)
        return producer

    def read(self, count):
        """The topic's records, of all partitions."""
        from kafka import KafkaConsumer, TopicPartition
        consumer = KafkaConsumer(bootstrap_servers=self.hosts)
        self.addCleanup(consumer.close)
        parts = [TopicPartition(self.name(), i) for i in range(PARTITIONS)]
        consumer.assign(parts)
        consumer.seek_to_beginning(*parts)
        found = []
        self.until("%d records" % count, lambda: found.extend(
            one for records in consumer.poll(timeout_ms=200).values() for one in records) or len(found) >= count)
        return found

    def ours(self, message):
        key = kafka_interop.bytes_of(message["key"]) if "key" in message else None
        return key, payload_of(message), headers_of(message)

    def test_out(self):
        self.pub_all(RECORDS)
        got = [(one.key, one.value, [tuple(pair) for pair in one.headers]) for one in self.read(len(RECORDS))]
        self.assertEqual(sorted(map(repr, got)), sorted(map(repr, RECORDS)))

    def test_in(self):
        self.make()
        producer = self.producer()
        for i, (key, payload, headers) in enumerate(RECORDS):
            producer.send(self.name(), key=key, value=payload, headers=headers, timestamp_ms=1700000000000 + i)
        producer.flush(DEADLINE)
        got = self.stored_here(len(RECORDS))
        self.assertEqual(sorted(repr(self.ours(one)) for one in got), sorted(map(repr, RECORDS)))
        self.assertEqual(min(int(one["ts"]) for one in got), 1700000000000 * 1000000)

    def test_partitions(self):
        keys = [b"%d" % i for i in range(60)] + ["schlüssel-日本".encode(), b"\0\xff\x80"]
        self.pub_all([(key, b"ours", []) for key in keys])
        producer = self.producer()
        theirs = [producer.send(self.name(), key=key, value=b"theirs").get(DEADLINE).partition for key in keys]
        found = {}
        for one in self.read(2 * len(keys)):
            found.setdefault(one.key, set()).add(one.partition)
        self.assertEqual([found[key] for key in keys], [{part} for part in theirs])

    def numbers(self, first, count):
        self.pub_all([(b"key %d" % (i % 40), b"%d" % i, []) for i in range(first, first + count)])

    def test_group(self):
        """Partitions are divided between their member and ours; each goes on where the other one committed."""
        group = self.name("group")
        with open(self.path("ours"), "wb") as out:
            ours = self.start("sub", "-v", "-g", group, "--durable", group, "-F", "%v\\n", self.topic(), stdout=out)
        ours.wait_for("subscribed to")

        def mine():
            with open(self.path("ours"), encoding="ascii") as file:
                return [int(line) for line in file.read().split()]

        self.numbers(0, 80)
        self.until("80 of ours", lambda: len(mine()) >= 80)
        member = Member(self, group)
        self.until("half the partitions", lambda: len(member.parts) == PARTITIONS // 2)
        self.numbers(80, 200)
        self.until("200 of both", lambda: len(mine()) + len(member.taken) >= 280)
        self.assertEqual(sorted(mine() + [text for _, text in member.taken]), list(range(280)))
        self.assertEqual(len({part for part, _ in member.taken} - member.parts), 0)
        self.assertTrue(80 < len(mine()) < 280)
        self.assertEqual(ours.signal(15).end()[0], 0)
        self.until("all partitions", lambda: len(member.parts) == PARTITIONS)
        self.numbers(280, 80)
        self.until("all of theirs", lambda: len(mine()) + len(member.taken) >= 360)
        member.leave()
        self.assertIsNone(member.error)
        self.assertEqual(sorted(mine() + [text for _, text in member.taken]), list(range(360)))
        self.numbers(360, 20)
        last = self.messages(self.sub("-g", group, "--durable", group, self.topic(), count=20))
        self.assertEqual(sorted(int(payload_of(one)) for one in last), list(range(360, 380)))


if __name__ == "__main__":
    kafka_interop.main(kafka_interop.need_python)

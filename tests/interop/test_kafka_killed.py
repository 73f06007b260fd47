# SPDX-License-Identifier: MIT
"""Three nodes of Kafka with min.insync.replicas=2, killed with kill -9 and started again one after the other,
while confirmed messages flow to a group of three processes, of which one is killed with kill -9 and another
one comes in its place: none is lost, the order of each key is held, and what came twice, or was stored twice,
is counted. 30,000 messages; with PUBSUB_TEST_LONG=1 it is 500,000."""
import collections
import json
import os
import subprocess
import sys
import threading
import time

import interop
from interop import TOOL, Missing

LONG = os.environ.get("PUBSUB_TEST_LONG") is not None
COUNT = 500000 if LONG else 30000
KEYS = 240
RATE = 4000 if LONG else 240  # so that the flow lasts longer than the kills
BATCH_S = 0.02
PATIENCE = 180 * interop.support.SLOW
TOPIC = "killed/t"
BROKER = {}


def tool(*args):
    subprocess.run([sys.executable, "-B", TOOL, *args], check=True, stdout=subprocess.DEVNULL)


def until(what, done):
    end = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > end:
            raise AssertionError("%s: not within %d s" % (what, PATIENCE))
        time.sleep(0.05)


class Feed(threading.Thread):
    """Lines for pub, at a steady rate: KEY, a tab, which one of its key. `most` is how far it may go."""

    def __init__(self, pipe):
        super().__init__(daemon=True)
        self.pipe, self.sent, self.most = pipe, 0, 0

    def run(self):
        began, step = time.monotonic(), max(1, round(RATE * BATCH_S))
        try:
            while self.sent < COUNT:
                more = min(step, self.most - self.sent)
                lines = ["k%d\t%d\n" % (i % KEYS, i // KEYS) for i in range(self.sent, self.sent + max(more, 0))]
                self.pipe.write("".join(lines).encode())
                self.sent += len(lines)
                began += BATCH_S
                time.sleep(max(0, began - time.monotonic()))
            self.pipe.close()
        except OSError:
            pass  # pub ended; its exit code tells


class Member:
    """One process of the group; its lines go to a file."""

    def __init__(self, case, number):
        self.path = case.path("got-%d" % number)
        with open(self.path, "wb") as out:
            self.running = case.start("sub", "-v", "-g", "killed", "--durable", "killed", "-F",
                                      "%D %o %k %v\\n", "-X", "reconnect_max=500ms", TOPIC, stdout=out)
        self.offset, self.count = 0, 0

    def lines(self):
        """All whole ones: a process that is killed may leave a piece of one."""
        with open(self.path, "rb") as file:
            return [line.split() for line in file.read().decode().split("\n")[:-1]]

    def grown(self):
        """How many lines there are."""
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            more = file.read()
        self.offset += len(more)
        self.count += more.count(b"\n")
        return self.count


class Killed(interop.support.Case):
    def setUp(self):
        super().setUp()
        self.env["PUBSUB_BROKER"] = BROKER["url"]
        self.members = []

    def join(self):
        member = Member(self, len(self.members))
        self.members.append(member)
        return member

    def received(self):
        return sum(member.grown() for member in self.members)

    def in_sync(self):
        """Whether each partition has its three copies."""
        run = subprocess.run(["kcat", "-b", BROKER["url"].split("://")[1], "-L", "-J"], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, timeout=60, check=False)
        if run.returncode != 0:
            return False
        topics = json.loads(run.stdout)["topics"]
        return bool(topics) and all(len(part["isrs"]) == 3 for topic in topics for part in topic["partitions"])

    def stage(self, number, feed):
        """A node is killed, and a member while the second one is away."""
        node = "kafka-%d" % number
        feed.most = COUNT * number // 4
        mark = self.received()
        until("messages before %s is killed" % node, lambda: self.received() > mark + COUNT // 50)
        tool("kill", BROKER["dir"], "--node", node)
        print("%6.1f s: %s killed, %d received" % (time.monotonic() - self.began, node, mark), flush=True)
        mark = self.received()
        if number == 2:
            self.members[1].running.process.kill()
            print("%6.1f s: a member killed" % (time.monotonic() - self.began), flush=True)
        until("messages while %s is away" % node, lambda: self.received() > mark + COUNT // 50)
        if number == 2:
            self.join()
        print("%6.1f s: %s started again, %d received" %
              (time.monotonic() - self.began, node, self.received()), flush=True)
        tool("restart", BROKER["dir"], "--node", node)
        until("three copies of everything", self.in_sync)

    def test_cluster(self):
        for _ in range(3):
            self.join().running.wait_for("subscribed to")
        pub = self.start("pub", "-K", "\t", "--timeout", "%ds" % PATIENCE, "-X", "reconnect_max=500ms", TOPIC,
                         stdin=subprocess.PIPE)
        feed = Feed(pub.process.stdin)
        self.began = time.monotonic()
        feed.start()
        for number in (1, 2, 3):
            self.stage(number, feed)
        feed.most = COUNT
        feed.join(PATIENCE)
        pub.process.stdin = None
        code, _, err = pub.end()
        self.assertEqual(code, 0, err)
        print("%6.1f s: all confirmed" % (time.monotonic() - self.began), flush=True)
        until("all of them", lambda: self.received() >= COUNT and self.is_whole())
        for member in self.members:
            if member.running.process.poll() is None:
                member.running.process.terminate()
                member.running.process.wait(PATIENCE)
        self.judge()

    def is_whole(self):
        return len({(line[2], line[3]) for member in self.members for line in member.lines()}) == COUNT

    def judge(self):
        lines = [(int(line[0]), number, i, line) for number, member in enumerate(self.members)
                 for i, line in enumerate(member.lines())]
        lines.sort(key=lambda entry: entry[:3])
        newest, early = collections.defaultdict(lambda: -1), []
        times, places = collections.Counter(), collections.defaultdict(set)
        for when, number, i, (_, place, key, text) in lines:
            times[key, text] += 1
            places[key, text].add(place)
            if int(text) > newest[key] + 1:
                early.append((key, newest[key], text, place, number, i, when))
            newest[key] = max(newest[key], int(text))
        gaps = sorted((after[0] - before[0]) / 1e9 for before, after in zip(lines, lines[1:]))[-4:]
        twice = sum(times.values()) - len(times)
        # A second copy in the log: the producer could not go on, and another one sent what had no answer yet.
        stored = sum(len(where) - 1 for where in places.values())
        print("%d confirmed, 3 nodes and 1 member killed, %d lost, %d came twice, %d of them twice in the log, "
              "%d out of order; by member: %s; longest silences %s s" %
              (COUNT, COUNT - len(times), twice, stored, len(early), [member.grown() for member in self.members],
               ", ".join("%.1f" % gap for gap in gaps)))
        self.assertEqual(len(times), COUNT)
        self.assertEqual(early, [], "out of order: %r" % early[:5])


if __name__ == "__main__":
    try:
        if interop.support.shutil.which("kcat") is None:
            raise Missing("kcat is not installed (package kcat)")
        BROKER.update(interop.start_broker("kafka", "nodes-3"))
    except Missing as why:
        print("skipped: %s" % why)
        sys.exit(1 if interop.REQUIRED and interop.is_asked("kafka") else 77)
    interop.support.main()

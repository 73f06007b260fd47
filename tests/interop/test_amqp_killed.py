# SPDX-License-Identifier: MIT
"""RabbitMQ killed with kill -9 and started again, while confirmed messages flow to a durable subscription:
none is lost, and what came twice is counted. 20,000 messages and one kill; with PUBSUB_TEST_LONG=1 it is
200,000 and three."""
import os
import subprocess
import sys
import time

import interop
from interop import TOOL, Missing

LONG = os.environ.get("PUBSUB_TEST_LONG") is not None
COUNT, KILLS = (200000, 3) if LONG else (20000, 1)
PATIENCE = 120 * interop.support.SLOW
BROKER = {}


def tool(*args):
    subprocess.run([sys.executable, "-B", TOOL, *args], check=True, stdout=subprocess.DEVNULL)


class Killed(interop.support.Case):
    def setUp(self):
        super().setUp()
        self.env["PUBSUB_BROKER"] = BROKER["url"]

    def received(self):
        with open(self.path("got"), "rb") as file:
            return file.read()

    def until(self, count):
        end = time.monotonic() + PATIENCE
        while self.received().count(b"\n") < count:
            if time.monotonic() > end:
                raise AssertionError("%d of %d after %d s" % (self.received().count(b"\n"), count, PATIENCE))
            time.sleep(0.02)

    def test_durable(self):
        again = ("-X", "reconnect_max=500ms")
        with open(self.path("got"), "wb") as out:
            sub = self.subscriber("--durable", "killed", "-F", "%v\\n", *again, "killed/t", stdout=out)
        lines = self.path("lines", b"".join(b"%d\n" % i for i in range(COUNT)))
        with open(lines, "rb") as file:
            pub = self.start("pub", "-l", "--timeout", "%ds" % PATIENCE, *again, "killed/t", stdin=file)
        for kill in range(KILLS):
            self.until((kill + 1) * COUNT // (KILLS + 2))
            self.assertIsNone(pub.process.poll(), "all was published before the broker was killed")
            tool("kill", BROKER["dir"])
            tool("restart", BROKER["dir"])
        self.assertEqual(pub.end()[0], 0)
        end = time.monotonic() + PATIENCE
        while len(set(self.received().split())) < COUNT and time.monotonic() < end:
            time.sleep(0.1)
        got = self.received().split()
        print("%d confirmed, %d kills, %d lost, %d came twice" %
              (COUNT, KILLS, COUNT - len(set(got)), len(got) - len(set(got))))
        self.assertEqual(len(set(got)), COUNT)
        self.assertIsNone(sub.process.poll())


if __name__ == "__main__":
    try:
        BROKER.update(interop.start_broker("rabbitmq"))
    except Missing as why:
        print("skipped: %s" % why)
        sys.exit(1 if interop.REQUIRED and interop.is_asked("rabbitmq") else 77)
    interop.support.main()

# SPDX-License-Identifier: MIT
"""RabbitMQ with an alarm that is lifted: what was held back is published then, in order and once, over the
connection that stood all the time."""
import sys

import amqp_interop
import interop
from interop import Missing

COUNT = 2000
BROKER = {}


class Alarm(interop.support.Case):
    def setUp(self):
        super().setUp()
        self.env["PUBSUB_BROKER"] = BROKER["url"]

    def test_lifted(self):
        sub = self.subscriber("-c", str(COUNT), "-F", "%v\\n", "-W", "%ds" % (3 * interop.DEADLINE), "alarm/t")
        lines = self.path("lines", b"".join(b"%d\n" % i for i in range(COUNT)))
        with open(lines, "rb") as file:
            pub = self.start("pub", "-v", "-l", "-X", "amqp.heartbeat=1s", "--timeout",
                             "%ds" % (3 * interop.DEADLINE), "alarm/t", stdin=file)
        pub.wait_for("disk")
        self.assertIsNone(pub.process.poll())
        amqp_interop.rabbitmqctl(BROKER, "set_disk_free_limit", "1MB")
        code, _, err = pub.end()
        self.assertEqual(code, 0, err)
        self.assertNotIn("reconnect", err)
        code, out, err = sub.end()
        self.assertEqual(code, 0, err)
        self.assertEqual(out.split(), [b"%d" % i for i in range(COUNT)])


if __name__ == "__main__":
    try:
        BROKER.update(interop.start_broker("rabbitmq", "blocked"))
    except Missing as why:
        print("skipped: %s" % why)
        sys.exit(1 if interop.REQUIRED and interop.is_asked("rabbitmq") else 77)
    interop.support.main()

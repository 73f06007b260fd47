# SPDX-License-Identifier: MIT
"""examples/event-publisher/run, as a reader of the README runs it. The first argument chooses a group."""
import os
import re
import subprocess
import sys

import bridging
from bridging import interop

RUN = os.path.join(bridging.HERE, "..", "..", "examples", "event-publisher", "run")
GROUP = sys.argv.pop(1) if len(sys.argv) > 1 and not sys.argv[1].startswith(("-", "Example")) else None
# What the article's server printed for a document that was created; the revision is the server's.
CREATED = ('{"model":"accounts","message":{"_id":"007","_rev":"%s","name":"James Bond","type":"Demo",'
           '"region":"Bangalore"}}')
REV = r"1-[0-9a-f]{32}"


def url_of(kind, env):
    return os.environ.get(env) or interop.start_broker(kind)["url"]


class Example(bridging.Case):
    def run_example(self, *args, database="couchdb3"):
        env = dict(os.environ, DATABASE=database, PUBSUB_BUILD=os.path.dirname(os.path.dirname(bridging.BRIDGE)),
                   PUBSUB_TEST_SLOW=str(max(1, round(bridging.SLOW))))
        run = subprocess.run([RUN, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env=env, timeout=4 * bridging.DEADLINE, check=False)
        return run.returncode, run.stdout.decode(), run.stderr.decode()

    def shown(self, *args, database="couchdb3"):
        code, out, err = self.run_example(*args, database=database)
        if database == "pouchdb" and "cannot be had" in err and not interop.REQUIRED:
            self.skipTest("pouchdb-server cannot be had")
        self.assertEqual(code, 0, err)
        lines = out.splitlines()
        self.assertEqual(lines[0], "pubsub sub /v1/subutest")
        events = lines[1:4]
        self.assertRegex(events[1], r'"_rev":"2-[0-9a-f]{32}"')
        self.assertIn('"agent":true', events[1])
        self.assertRegex(events[2], r'"_rev":"3-[0-9a-f]{32}"')
        self.assertIn('"_deleted":true', events[2])
        return lines, events

    def own_mosquitto(self, database):
        if interop.shutil.which("mosquitto") is None or interop.shutil.which("mosquitto_sub") is None:
            self.skipTest("mosquitto is not installed")
        lines, events = self.shown(database=database)
        self.assertEqual(lines[4:], ["mosquitto_sub -t /v1/subutest", *events])
        return events

    def test_mosquitto_couchdb3(self):
        """Byte for byte the line of the article."""
        created = self.own_mosquitto("couchdb3")[0]
        rev = re.search(REV, created)
        self.assertEqual(created, CREATED % (rev and rev.group()))

    def test_mosquitto_pouchdb(self):
        created = self.own_mosquitto("pouchdb")[0]
        for member in ('"_id":"007"', '"name":"James Bond"', '"type":"Demo"', '"region":"Bangalore"'):
            self.assertIn(member, created)

    def test_local(self):
        lines, events = self.shown("--broker", "local:" + self.path("bus"))
        self.assertEqual(len(lines), 4)
        self.assertRegex(events[0], "^" + re.escape(CREATED).replace("%s", REV) + "$")

    def test_redis(self):
        rest = url_of("redis", "PUBSUB_TEST_REDIS_URL").split("://", 1)[1]
        self.assertEqual(len(self.shown("--broker", "redis+streams://" + rest)[0]), 4)
        code, _, err = self.run_example("--broker", "redis://" + rest)
        self.assertNotEqual(code, 0)
        self.assertIn("degrade", err)
        self.assertIn("qos", err)
        self.assertEqual(len(self.shown("--broker", "redis://" + rest, "--set", "routes.accounts.degrade=allow")[0]), 4)

    def test_amqp(self):
        self.assertEqual(len(self.shown("--broker", url_of("rabbitmq", "PUBSUB_TEST_AMQP_URL"))[0]), 4)

    def test_kafka(self):
        self.assertEqual(len(self.shown("--broker", url_of("kafka", "PUBSUB_TEST_KAFKA_URL"))[0]), 4)


for name in [name for name in vars(Example) if name.startswith("test_")]:
    if GROUP is not None and not name.startswith("test_" + GROUP):
        delattr(Example, name)
        continue

    def guarded(self, test=getattr(Example, name)):
        try:
            test(self)
        except interop.Missing as missing:
            self.skipTest(str(missing))

    guarded.__doc__ = getattr(Example, name).__doc__
    setattr(Example, name, guarded)

if __name__ == "__main__":
    bridging.main()

# SPDX-License-Identifier: MIT
"""The same arguments on every scheme: only $PUBSUB_BROKER differs, with the authority of a TLS broker in its
query. What a broker's table refuses has to be refused here, with exit code 7, and nothing else.

The first argument says whose schemes: local, mqtt, redis, amqp or kafka."""
import json
import os
import sys
import unittest
import urllib.parse

import interop
import support  # interop has put it on the path

DEADLINE = "%ds" % interop.DEADLINE
KINDS = {"local": None, "mqtt": "mosquitto", "redis": "redis", "amqp": "rabbitmq", "kafka": "kafka"}
# Which address of the broker, as its tool names them.
SCHEMES = {
    "local": {"local": None},
    "mqtt": {"mqtt": "plain", "mqtts": "tls"},
    "redis": {"redis": "plain", "rediss": "tls", "redis+streams": "streams", "rediss+streams": "streams_tls"},
    "amqp": {"amqp": "plain", "amqps": "tls"},
    "kafka": {"kafka": "plain", "kafka+ssl": "tls"},
}
REFUSED = 7


class Same(support.Case):
    scheme = None
    url = None

    def setUp(self):
        super().setUp()
        self.env["PUBSUB_BROKER"] = self.url
        self.root = "schemes/%d-%s" % (os.getpid(), self._testMethodName[5:])
        caps = json.loads(self.ok("caps", "-j", self.url))
        self.refused = {name for name, one in caps["features"].items() if one["server"] == "refused"}

    def topic(self, rest):
        return "%s/%s" % (self.root, rest)

    def test_scheme(self):
        self.assertEqual(urllib.parse.urlsplit(self.url).scheme, self.scheme)

    def test_pub_and_sub(self):
        sub = self.subscriber("-c", "4", "-W", DEADLINE, "-F", "%t %v\\n", self.topic("#"))
        self.ok("pub", self.topic("a"), "one")
        self.ok("pub", "-t", self.topic("b/c"), "-m", "two words")
        self.ok("pub", "-l", self.topic("d"), input=b"first\nsecond\n")
        code, out, err = sub.end()
        self.assertEqual(code, 0, err)
        want = ["%s one" % self.topic("a"), "%s two words" % self.topic("b/c"), "%s first" % self.topic("d"),
                "%s second" % self.topic("d")]
        self.assertEqual(sorted(out.decode().splitlines()), want)

    def test_request_and_reply(self):
        asked = ("-W", DEADLINE, self.topic("ask"), "hello")
        service = ("-v", "--echo", "-c", "1", self.topic("ask"))
        if "request-reply" in self.refused:
            self.fails(REFUSED, "request", *asked, says="request-reply")
            return
        running = self.start("reply", *service).wait_for("subscribed to")
        self.assertEqual(self.ok("request", *asked), b"hello\n")
        self.assertEqual(running.end()[0], 0)

    def bench(self, what, *args):
        return self.ok("bench", "--one-process", "-c", "300", "--warmup", "20ms", "--backlog", "100", *args, what,
                       self.topic(what))

    def test_bench(self):
        self.bench("pub")
        self.bench("e2e")

    def test_refusals(self):
        for feature, args in (("headers", ("-H", "a: b")), ("key", ("--key", "k")), ("retain", ("--retain",)),
                              ("expiry", ("--expiry", "1h")), ("qos2", ("-Q", "2"))):
            with self.subTest(feature):
                command = ("pub", *args, self.topic("r"), "x")
                if feature in self.refused:
                    self.fails(REFUSED, *command, says=feature)
                else:
                    self.ok(*command)


def address(state, which):
    """The broker's URL, and whom to trust."""
    url = state["urls"][which]
    return "%s/?tls_ca=%s" % (url, urllib.parse.quote(state["ca"])) if which.endswith("tls") else url


def load(adapter):
    state = None if KINDS[adapter] is None else interop.start_broker(KINDS[adapter], "tls,generous")
    suite = unittest.TestSuite()
    for scheme, which in SCHEMES[adapter].items():
        url = "local:" if which is None else address(state, which)
        case = type(scheme.replace("+", "_"), (Same,), {"scheme": scheme, "url": url})
        suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(case))
    return suite


if __name__ == "__main__":
    try:
        tests = load(sys.argv[1])
    except interop.Missing as why:
        print("skipped: %s" % why)
        sys.exit(1 if interop.REQUIRED and interop.is_asked(KINDS[sys.argv[1]]) else 77)
    sys.exit(0 if unittest.TextTestRunner(verbosity=2).run(tests).wasSuccessful() else 1)

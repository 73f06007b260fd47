# SPDX-License-Identifier: MIT
"""pubsub beside redis-cli, both ways: pub/sub and streams."""
import json
import os
import shutil
import subprocess
import sys
import urllib.parse

import interop
import support  # interop has put it on the path

_shared = None


def shared_url():
    global _shared
    if _shared is None:
        _shared = os.environ.get("PUBSUB_TEST_REDIS_URL") or interop.start_broker("redis", "generous")["url"]
    return _shared


class Redis(support.Case):
    scheme = "redis"

    def setUp(self):
        super().setUp()
        rest = shared_url().split("://", 1)[1]
        self.at = urllib.parse.urlsplit("redis://" + rest)
        self.env["PUBSUB_BROKER"] = "%s://%s" % (self.scheme, rest)
        self.root = "interop/%d-%s" % (os.getpid(), self._testMethodName)

    def topic(self, rest="t"):
        return "%s/%s" % (self.root, rest)

    def cli(self, *words, input=None):
        """What redis-cli prints, which must succeed."""
        command = ["redis-cli", "-h", self.at.hostname, "-p", str(self.at.port or 6379), *words]
        run = subprocess.run(command, input=input, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             timeout=interop.DEADLINE)
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertFalse(run.stdout.startswith((b"ERR", b"WRONG", b"NO")), run.stdout)
        return run.stdout.decode("utf-8", "surrogateescape").rstrip("\n")

    def sub(self, *args, count):
        return self.subscriber("-j", "-W", "%ds" % interop.DEADLINE, "-c", str(count), *args)

    def messages(self, running):
        code, out, err = running.end()
        self.assertEqual(code, 0, err)
        return [json.loads(line) for line in out.splitlines()]

    def pub(self, *args):
        self.messages(self.start("pub", *args))


class PubSub(Redis):
    def test_in(self):
        running = self.sub(self.topic("#"), count=2)
        self.assertEqual(self.cli("PUBLISH", self.topic("a"), "hello"), "1")
        self.cli("-x", "PUBLISH", self.topic("b/c"), input="é\n".encode())
        got = self.messages(running)
        self.assertEqual([one["topic"] for one in got], [self.topic("a"), self.topic("b/c")])
        self.assertEqual(got[0]["payload"], "hello")

    def test_out(self):
        command = ["redis-cli", "-h", self.at.hostname, "-p", str(self.at.port or 6379), "PSUBSCRIBE",
                   self.topic("*")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        while process.stdout.readline() != b"1\n" and process.poll() is None:
            pass  # its subscription is counted
        self.pub(self.topic("x"), "to redis-cli")
        lines = [process.stdout.readline().decode().strip() for _ in range(4)]
        self.assertEqual(lines, ["pmessage", self.topic("*"), self.topic("x"), "to redis-cli"])

    def test_retained(self):
        self.pub("--retain", self.topic(), "kept")
        self.assertEqual(self.cli("HGET", "pubsub.retained", self.topic()), "kept")
        got = self.messages(self.start("sub", "-j", "-W", "%ds" % interop.DEADLINE, "-c", "1", "--from",
                                       "last", self.topic("+")))
        self.assertEqual(got[0]["payload"], "kept")


class Streams(Redis):
    scheme = "redis+streams"

    def test_in(self):
        running = self.sub(self.topic(), count=3)
        self.cli("XADD", self.topic(), "*", "payload", "hello", "tenant", "acme", "pubsub-key", "k")
        self.cli("XADD", self.topic(), "*", "temperature", "21")
        self.cli("XADD", self.topic(), "7000000000000-1", "a", "1", "b", "2")
        got = self.messages(running)
        self.assertEqual(got[0]["payload"], "hello")
        self.assertEqual(got[0]["key"], "k")
        self.assertIn("acme", json.dumps(got[0]["headers"]))
        self.assertEqual(got[1]["payload"], "21")
        self.assertIn("temperature", json.dumps(got[1]["headers"]))
        self.assertIn("7000000000000-1", json.dumps(got[2]))

    def test_out(self):
        self.pub("-H", "tenant=acme", "-k", "k", self.topic(), "hello")
        lines = self.cli("XRANGE", self.topic(), "-", "+").split("\n")
        self.assertEqual(lines[1:], ["payload", "hello", "pubsub-key", "k", "tenant", "acme"])
        self.assertEqual(self.cli("SISMEMBER", "pubsub.topics", self.topic()), "1")

    def test_a_group_that_others_made(self):
        self.cli("XADD", self.topic(), "*", "payload", "before")
        workers = "workers-%d" % os.getpid()
        self.cli("XGROUP", "CREATE", self.topic(), workers, "0")
        got = self.messages(self.start("sub", "-j", "-W", "%ds" % interop.DEADLINE, "-c", "1", "--group",
                                       workers, "--durable", workers, self.topic()))
        self.assertEqual(got[0]["payload"], "before")
        self.assertEqual(self.cli("XPENDING", self.topic(), workers).split("\n")[0], "0")

    def test_announced_by_others(self):
        running = self.sub(self.topic("#"), count=1)
        self.cli("XADD", self.topic("new"), "*", "payload", "x")
        self.cli("SADD", "pubsub.topics", self.topic("new"))
        self.cli("PUBLISH", "pubsub.topics", self.topic("new"))
        self.assertEqual(self.messages(running)[0]["topic"], self.topic("new"))


if __name__ == "__main__":
    try:
        shared_url()
        if shutil.which("redis-cli") is None:
            raise interop.Missing("redis-cli is not installed (package redis-tools)")
    except interop.Missing as why:
        print("skipped: %s" % why)
        sys.exit(1 if interop.REQUIRED and interop.is_asked("redis") else 77)
    support.main()

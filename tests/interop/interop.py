# SPDX-License-Identifier: MIT
"""What the tests against other people's programs share: a broker, mosquitto_pub and mosquitto_sub.

PUBSUB_TEST_MQTT_URL names a broker to test with; else one of our own is started, and ends with this
process. Each test has topics of its own."""
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "cli"))
import support  # noqa: E402

TOOL = os.path.join(HERE, "..", "brokers", "broker.py")
REQUIRED = os.environ.get("PUBSUB_TEST_REQUIRE_BROKERS") == "1"
DEADLINE = support.DEADLINE


class Missing(Exception):
    pass


def is_asked(kind):
    asked = os.environ.get("PUBSUB_TEST_BROKERS", "").replace(",", " ").split()
    return not asked or kind in asked


def start_broker(kind, variants=None, *settings):
    """What the tool tells of a broker that ends with this process."""
    if not is_asked(kind):
        raise Missing("this run is not about %s" % kind)
    command = [sys.executable, "-B", TOOL, "start", kind, "--owner", str(os.getpid()), "--remove",
               "--format", "json"]
    if variants:
        command += ["--variant", variants]
    for line in settings:
        command += ["--set", line]
    run = subprocess.run(command, stdout=subprocess.PIPE)
    if run.returncode == 77 and not REQUIRED:
        raise Missing("%s is not installed" % kind)
    if run.returncode != 0:
        raise AssertionError("%s does not start: %d" % (kind, run.returncode))
    return json.loads(run.stdout)


_shared = None


def shared_url():
    """The broker of most tests."""
    global _shared
    if _shared is None:
        _shared = os.environ.get("PUBSUB_TEST_MQTT_URL") or start_broker("mosquitto", "generous")["url"]
    return _shared


class Foreign:
    """mosquitto_sub in the background. Its lines begin with the topic and a tab."""

    def __init__(self, process):
        self.process = process
        self.rest = b""
        self.early = []

    def _read(self):
        deadline = time.monotonic() + DEADLINE
        while b"\n" not in self.rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise AssertionError("no line in time: %r" % self.rest[:200])
            more = os.read(self.process.stdout.fileno(), 1 << 20)
            if not more:
                raise AssertionError("mosquitto_sub ended: %r" % self.rest[:200])
            self.rest += more
        line, _, self.rest = self.rest.partition(b"\n")
        return line.decode("utf-8", "surrogateescape").partition("\t")

    def until(self, topic):
        """Its subscriptions stand when this topic comes."""
        while True:
            got, _, line = self._read()
            if got == topic:
                return
            self.early.append(line)

    def line(self):
        return self.early.pop(0) if self.early else self._read()[2]

    def stop(self):
        self.process.terminate()
        self.process.wait(DEADLINE)


class Case(support.Case):
    url = None  # of another broker than the shared one
    version = "mqttv5"  # of the other side

    def setUp(self):
        super().setUp()
        self.broker = self.url or shared_url()
        self.at = urllib.parse.urlsplit(self.broker)
        self.root = "interop/%d-%s" % (os.getpid(), self._testMethodName)
        self.env["PUBSUB_BROKER"] = self.broker

    def topic(self, rest="t"):
        return "%s/%s" % (self.root, rest)

    def name(self, rest):
        """A name for a client or a session."""
        return "i%d-%s-%s" % (os.getpid(), self._testMethodName[5:], rest)

    # -- the other side --

    def foreign(self, program, *args):
        path = shutil.which(program)
        if path is None:
            raise Missing("%s is not installed (package mosquitto-clients)" % program)
        return [path, "-h", self.at.hostname, "-p", str(self.at.port), *args]

    def put(self, *args, version=None, topic=None, input=None):
        """mosquitto_pub, which must succeed."""
        command = self.foreign("mosquitto_pub", "-V", version or self.version, "-t", topic or self.topic(), *args)
        run = subprocess.run(command, input=input, stdin=None if input is not None else subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE)
        self.assertEqual((run.returncode, run.stdout), (0, b""), command)

    def get(self, *args, version=None, form="%t %p", topics=None):
        """mosquitto_sub that is subscribed: a stored value on a further topic of the same SUBSCRIBE says
        when."""
        ready = "interop-ready/%d-%d" % (os.getpid(), time.monotonic_ns())
        self.put("-r", "-m", "x", topic=ready)
        command = self.foreign("mosquitto_sub", "-V", version or self.version, "-F", "%t\t" + form, *args)
        for topic in topics or [self.topic("#")]:
            command += ["-t", topic]
        process = subprocess.Popen(command + ["-t", ready], stdin=subprocess.DEVNULL, bufsize=0,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        foreign = Foreign(process)

        def stop():
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()
            self.put("-r", "-n", topic=ready)

        self.addCleanup(stop)
        foreign.until(ready)
        return foreign

    # -- ours --

    def sub(self, *args, count=None, **kwargs):
        """A subscriber that prints JSON, subscribed."""
        args = ("-j", "-W", "%ds" % DEADLINE) + args + (() if count is None else ("-c", str(count)))
        return self.subscriber(*args, **kwargs)

    def held(self, *args, count):
        """What a durable name has waiting; it may come before the broker says that it is subscribed."""
        return self.messages(self.start("sub", "-j", "-W", "%ds" % DEADLINE, "-c", str(count), *args))

    def begin(self, *args):
        """Have the broker know a durable name."""
        self.messages(self.sub(*args).signal(signal.SIGTERM), 143)

    def messages(self, running, code=0):
        got, out, err = running.end()
        self.assertEqual(got, code, err)
        return [json.loads(line) for line in out.splitlines()]


def main():
    try:
        shared_url()
        for name in ("mosquitto_pub", "mosquitto_sub"):
            if shutil.which(name) is None:
                raise Missing("%s is not installed (package mosquitto-clients)" % name)
    except Missing as why:
        print("skipped: %s" % why)
        sys.exit(1 if REQUIRED and is_asked("mosquitto") else 77)
    support.main()

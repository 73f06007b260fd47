# SPDX-License-Identifier: MIT
"""What the Kafka tests share: a broker, kcat, Kafka's own client in Java, and kafka-python.

PUBSUB_TEST_KAFKA_URL names a broker to test with; else one is started and ends with this process. The Java
client is among the broker's jars, kafka-python in the cache that scripts/test fills."""
import base64
import json
import os
import queue
import select
import shutil
import subprocess
import sys
import tempfile
import threading

import interop
from interop import DEADLINE, REQUIRED, Missing

PARTITIONS = 12  # of a topic that pubsub makes
_shared = None
_classes = None


def shared_url():
    global _shared
    if _shared is None:
        _shared = os.environ.get("PUBSUB_TEST_KAFKA_URL") or interop.start_broker("kafka", "generous")["url"]
    return _shared


def cached(what):
    run = subprocess.run([sys.executable, "-B", interop.TOOL, "cached", what], stdout=subprocess.PIPE, check=False)
    return os.fsdecode(run.stdout).strip()


def need_kcat():
    if shutil.which("kcat") is None:
        raise Missing("kcat is not installed (package kcat)")


def need_java():
    for name in ("java", "javac"):
        if shutil.which(name) is None:
            raise Missing("%s is not installed (package default-jdk-headless)" % name)
    if not cached("kafka"):
        raise Missing("Kafka's jars are not there (tests/brokers/broker.py fetch kafka)")


def need_python():
    path = cached("kafka-python")
    if not path:
        raise Missing("kafka-python is not there (tests/brokers/broker.py fetch kafka-python)")
    if path not in sys.path:
        sys.path.append(path)


def java():
    """How the Java program begins; it is compiled once."""
    global _classes
    jars = os.path.join(cached("kafka"), "*")
    if _classes is None:
        _classes = tempfile.TemporaryDirectory(prefix="pubsub-java-")
        subprocess.run(["javac", "-d", _classes.name, "-cp", jars,
                        os.path.join(interop.HERE, "java", "Interop.java")], check=True, timeout=4 * DEADLINE)
    return ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", _classes.name + os.pathsep + jars, "Interop"]


class Program:
    """A foreign program in the background, its lines read as they come."""

    def __init__(self, case, command):
        self.command = command
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        case.addCleanup(self.stop)

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.decode("utf-8", "replace").rstrip("\n"))
        self.lines.put(None)

    def line(self, timeout=2 * DEADLINE):
        try:
            line = self.lines.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError("no line of %r in time" % self.command[-4:]) from None
        if line is None:
            raise AssertionError("%r ended: %r" % (self.command[-4:], self.process.stderr.read()))
        return line

    def say(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()


def bytes_of(value):
    """What sub --json printed for a text, a key or a header."""
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else value.encode()


def payload_of(message):
    if message["payload"] is None:
        return None
    return base64.b64decode(message["payload"]) if message["encoding"] == "base64" else message["payload"].encode()


def value(data):
    """The same the other way, for pub --jsonl."""
    return {"base64": base64.b64encode(data).decode()}


def headers_of(message):
    return [(bytes_of(name).decode(), bytes_of(data)) for name, data in message.get("headers", [])]


class Case(interop.support.Case):
    def setUp(self):
        super().setUp()
        self.broker = shared_url()
        self.hosts = self.broker.split("://", 1)[1].split("/")[0]
        self.root = "i%d/%s" % (os.getpid(), self._testMethodName[5:])
        self.env["PUBSUB_BROKER"] = self.broker

    def topic(self, rest="t"):
        return "%s/%s" % (self.root, rest)

    def name(self, rest="t"):
        """As Kafka has it."""
        return self.topic(rest).replace("/", ".")

    def make(self, rest="t"):
        """A topic that is there."""
        self.messages(self.sub("--idle", "1ms", self.topic(rest)))

    def sub(self, *args, count=None, **kwargs):
        args = ("-j", "-W", "%ds" % DEADLINE) + args + (() if count is None else ("-c", str(count)))
        return self.subscriber(*args, **kwargs)

    def messages(self, running, code=0):
        got, out, err = running.end()
        self.assertEqual(got, code, err)
        return [json.loads(line) for line in out.splitlines()]

    def stored_here(self, count, rest="t"):
        """The first messages of a topic."""
        return self.messages(self.sub("--from", "earliest", self.topic(rest), count=count))

    def pub_all(self, records, rest="t"):
        """records: (key, payload, headers)."""
        lines = [json.dumps({
            "topic": self.topic(rest), "key": None if key is None else value(key),
            "headers": [[name, value(data)] for name, data in headers],
            "payload": None if payload is None else base64.b64encode(payload).decode(), "encoding": "base64",
        }) + "\n" for key, payload, headers in records]
        self.ok("pub", "--jsonl", input="".join(lines).encode())

    def kcat(self, *args, input=None):
        """What it prints; it must succeed."""
        run = subprocess.run(["kcat", "-b", self.hosts, *args], input=input, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, timeout=2 * DEADLINE, check=False,
                             stdin=subprocess.DEVNULL if input is None else None)
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout

    def java(self, *args):
        return Program(self, java() + list(args))


def main(*needs):
    try:
        for need in needs:
            need()
        shared_url()
    except Missing as why:
        print("skipped: %s" % why)
        sys.exit(1 if REQUIRED and interop.is_asked("kafka") else 77)
    interop.support.main()

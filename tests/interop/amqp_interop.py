# SPDX-License-Identifier: MIT
"""What the AMQP tests share: a RabbitMQ, amqp-publish, amqp-consume and Node's amqplib.

PUBSUB_TEST_AMQP_URL names a broker to test with; else one is started and ends with this process. amqplib
is looked for where Node looks, in the cache that scripts/test fills, and in PUBSUB_TEST_NODE_MODULES."""
import json
import os
import shutil
import subprocess
import sys
import threading

import interop
from interop import DEADLINE, REQUIRED, Missing

_shared = None


def shared_url():
    global _shared
    if _shared is None:
        _shared = os.environ.get("PUBSUB_TEST_AMQP_URL") or interop.start_broker("rabbitmq", "generous")["url"]
    return _shared


def rabbitmqctl(broker, *args):
    """RabbitMQ's own tool, with the environment of the node of a broker of our own. What it prints."""
    with open(os.path.join(broker["dir"], "state.json"), encoding="utf-8") as file:
        (node,) = [node for node in json.load(file)["nodes"] if node["name"] == "rabbitmq"]
    program = os.path.join(os.path.dirname(node["argv"][0]), "rabbitmqctl")
    run = subprocess.run([program, "-q", *args], check=True, env={**os.environ, **node["env"]}, cwd=broker["dir"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=2 * DEADLINE)
    return run.stdout


def node_environment():
    env = dict(os.environ)
    extra = os.environ.get("PUBSUB_TEST_NODE_MODULES") or cached_modules()
    if extra:
        env["NODE_PATH"] = extra
    return env


def cached_modules():
    run = subprocess.run([sys.executable, "-B", interop.TOOL, "cached", "amqplib"], stdout=subprocess.PIPE)
    return os.fsdecode(run.stdout).strip()


def need_amqplib():
    if shutil.which("node") is None:
        raise Missing("Node is not installed (package nodejs)")
    run = subprocess.run(["node", "-e", "require('amqplib')"], env=node_environment(),
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if run.returncode != 0:
        raise Missing("Node's amqplib is not there (tests/brokers/broker.py fetch amqplib)")


def need_tools():
    for name in ("amqp-publish", "amqp-consume"):
        if shutil.which(name) is None:
            raise Missing("%s is not installed (package amqp-tools)" % name)


class Program:
    """A foreign program in the background, whose standard output is read line by line."""

    def __init__(self, case, command, env=None):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=env)
        self.command = command
        case.addCleanup(self.stop)

    def line(self):
        timer = threading.Timer(DEADLINE, self.process.kill)
        timer.start()
        try:
            line = self.process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            raise AssertionError("%r ended: %r" % (self.command, self.process.stderr.read()))
        return line.rstrip(b"\n").decode("utf-8", "replace")

    def end(self):
        out, err = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, out, err

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


class Case(interop.support.Case):
    def setUp(self):
        super().setUp()
        self.broker = shared_url()
        self.root = "i%d/%s" % (os.getpid(), self._testMethodName[5:])
        self.env["PUBSUB_BROKER"] = self.broker

    def topic(self, rest="t"):
        return "%s/%s" % (self.root, rest)

    def key(self, rest="t"):
        return self.topic(rest).replace("/", ".")

    def queue(self, rest="q"):
        return "i%d-%s-%s" % (os.getpid(), self._testMethodName[5:], rest)

    def put(self, *args, body="x", exchange="amq.topic", key=None):
        """amqp-publish, which must succeed."""
        command = ["amqp-publish", "-u", self.broker, "-e", exchange, "-r", key or self.key(), "-b", body, *args]
        run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, timeout=DEADLINE)
        self.assertEqual((run.returncode, run.stdout), (0, b""), command)

    def get(self, *args):
        """amqp-consume of a queue that is there; what it gets goes to cat."""
        return Program(self, ["amqp-consume", "-u", self.broker, *args])

    def node(self, program, *args):
        path = os.path.join(interop.HERE, "node", program)
        return Program(self, ["node", path, self.broker, *args], node_environment())

    def sub(self, *args, count=None, **kwargs):
        args = ("-j", "-W", "%ds" % DEADLINE) + args + (() if count is None else ("-c", str(count)))
        return self.subscriber(*args, **kwargs)

    def messages(self, running, code=0):
        got, out, err = running.end()
        self.assertEqual(got, code, err)
        return [json.loads(line) for line in out.splitlines()]


def main(need=need_tools):
    try:
        need()
        shared_url()
    except Missing as why:
        print("skipped: %s" % why)
        sys.exit(1 if REQUIRED and interop.is_asked("rabbitmq") else 77)
    interop.support.main()

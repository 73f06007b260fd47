# SPDX-License-Identifier: MIT
"""What the tests of the bridge as a process share: a directory, a bus and a bridge of their own, sources
to feed it, and a look at everything it wrote for the secrets it was given.

Nothing is slept for: until() waits for a condition, with a deadline."""
import base64
import errno
import http.client
import json
import os
import shutil
import signal
import socket  # noqa: F401 (for the tests)
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "interop"))
sys.path.insert(0, os.path.join(HERE, "..", "brokers"))
import interop  # noqa: E402
import ports  # noqa: E402

BRIDGE = os.environ["PUBSUB_BRIDGE"]
PUBSUB = os.environ["PUBSUB"]
COUCH = os.path.join(HERE, "..", "servers", "couchdb3.py")
SLOW = float(os.environ.get("PUBSUB_TEST_SLOW", "1"))
DEADLINE = 30 * SLOW
SECRET = "s3cr3t-Wh4le"  # in every secret that a test hands out


def until(what, condition, deadline=DEADLINE, detail=lambda: ""):
    """The condition's first true value."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("waited in vain for %s %s" % (what, detail()))
        time.sleep(0.02)


def request(port, path, method="GET", body=None, headers=None, timeout=DEADLINE):
    """(status, headers, body); status 0 when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    except (OSError, http.client.HTTPException):
        return 0, {}, b""
    finally:
        connection.close()


class Process:
    """A program in the background; what it writes goes to a file."""

    def __init__(self, argv, log, env=None, **options):
        self.log_path = log
        with open(log, "ab") as file:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                                            env=env, **options)

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        with open(self.log_path, "rb") as file:
            return file.read().decode("utf-8", "replace")

    def alive(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)
        return self

    def wait_for(self, text, count=1):
        until("%r" % text, lambda: self.log().count(text) >= count or not self.alive(), detail=self.log)
        if self.log().count(text) < count:
            raise AssertionError("it ended with %s before %r: %s" % (self.process.returncode, text, self.log()))
        return self

    def end(self, deadline=DEADLINE):
        """The exit code; that of a signal is negative."""
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError("it does not end: %s" % self.log()) from None

    def kill(self):
        if self.alive():
            self.process.kill()
        self.process.wait()

    def cpu_seconds(self):
        with open("/proc/%d/stat" % self.pid, encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Bridge(Process):
    """`pubsub-bridge run`, with the port of its file's `listen`."""
    port = None

    def get(self, path):
        return request(self.port, path)

    def routes(self):
        """name -> what /status says of it; {} when nobody answers."""
        status, _, body = self.get("/status")
        return {route["name"]: route for route in json.loads(body)["routes"]} if status == 200 else {}

    def until_route(self, name, what, condition):
        return until(what, lambda: (lambda route: route and condition(route) and route)(
            self.routes().get(name)), detail=lambda: "%s\n%s" % (self.routes(), self.log()))

    def until_state(self, name, *states):
        return self.until_route(name, "%s of %s" % (states, name), lambda route: route["state"] in states)


class Couch:
    """A server that speaks like CouchDB 3 and keeps its databases over a kill."""

    def __init__(self, case, *options, databases=("accounts",), store=True):
        self.case = case
        self.port = case.free_port()
        self.url = "http://127.0.0.1:%d" % self.port
        self.headers = {}
        self.argv = [sys.executable, "-B", COUCH, "--port", str(self.port), *options]
        if store:
            self.argv += ["--store", case.path("couch-%d.jsonl" % self.port)]
        for name in databases:
            self.argv += ["--database", name]
        self.start()

    def start(self):
        self.process = self.case.spawn(self.argv, "couch.log")
        until("the server", lambda: self.ask("/", check=False)[0] in (200, 401), detail=self.process.log)

    def restart(self):
        self.process.kill()
        self.start()

    def ask(self, path, method="GET", body=None, check=True):
        text = None if body is None else json.dumps(body)
        status, _, answer = request(self.port, path, method, text, self.headers)
        if check and status not in (200, 201):
            raise AssertionError("%s %s: %d %r" % (method, path, status, answer))
        return status, json.loads(answer) if answer else None

    def put(self, ident, body, database="accounts"):
        return self.ask("/%s/%s" % (database, ident), "PUT", body)[1]["rev"]

    def bulk(self, docs, database="accounts"):
        return self.ask("/%s/_bulk_docs" % database, "POST", {"docs": docs})

    def fault(self, name, **more):
        self.ask("/_fault", "POST", dict(more, fault=name))


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="pubsub-bridge-")
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.addCleanup(self.look_for_secrets)
        self.outputs = []
        self.logs = []
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("PUBSUB") and k != "STATE_DIRECTORY"}
        self.env.update(HOME=self.dir, NO_COLOR="1", LC_ALL="C.UTF-8", SECRET=SECRET)
        self.env.pop("XDG_STATE_HOME", None)
        self.env.pop("XDG_CONFIG_HOME", None)
        self.bus = "local:" + self.path("bus")
        self.state = self.path("state")

    def small_disk(self, megabytes=128):
        """The state directory on a file system of its own, which takes root; others skip the test."""
        os.mkdir(self.state, 0o700)
        mount = ["mount", "-t", "tmpfs", "-o", "size=%dm,mode=700" % megabytes, "tmpfs", self.state]
        if os.getuid() != 0 or subprocess.run(mount, stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("a small file system can be mounted by root only")
        self.addCleanup(subprocess.run, ["umount", "-l", self.state], check=True)

    def fill_disk(self):
        with open(os.path.join(self.state, "filler"), "wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def empty_disk(self):
        os.unlink(os.path.join(self.state, "filler"))

    def look_for_secrets(self):
        for log in self.logs:
            with open(log, "rb") as file:
                self.outputs.append((log, file.read()))
        for name, output in self.outputs:
            for form in (SECRET.encode(), base64.b64encode(SECRET.encode()).rstrip(b"=")):
                self.assertNotIn(form, output, "a secret was printed by %s" % name)

    def path(self, name, text=None, mode=0o600):
        path = os.path.join(self.dir, name)
        if text is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(path, mode)
        return path

    def free_port(self):
        """Ours until the directory is gone."""
        port = ports.reserve(self.dir)
        self.addCleanup(ports.release, self.dir, [port])
        return port

    # -- processes --

    def spawn(self, argv, log, kind=Process, env=None, **options):
        path = self.path(log)
        process = kind(argv, path, env or self.env, **options)
        if kind is Bridge:
            self.logs.append(path)

        def stop():
            if process.alive():
                process.signal(signal.SIGCONT)
            process.kill()

        self.addCleanup(stop)
        return process

    def command(self, *args, env=None):
        """(exit code, stdout, stderr) of pubsub-bridge."""
        run = subprocess.run([BRIDGE, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=dict(self.env, **(env or {})), timeout=2 * DEADLINE)
        self.outputs.append((" ".join(args), run.stdout + run.stderr))
        return run.returncode, run.stdout.decode(), run.stderr.decode()

    def config(self, sources, routes, more="", broker=None, name="bridge.yaml"):
        """A file with `listen`; sources and routes are YAML, as JSON or as text."""
        self.port = getattr(self, "port", None) or self.free_port()
        parts = {"state": self.state, "listen": "127.0.0.1:%d" % self.port, "sources": sources,
                 "brokers": {"main": broker or self.bus}, "routes": routes}
        text = "".join("%s: %s\n" % (key, json.dumps(value)) for key, value in parts.items())
        return self.path(name, text + more)

    def bridge(self, file, *args, log="bridge.log", env=None, wait=True, **options):
        running = self.spawn([BRIDGE, "run", *args, file], log, Bridge, env, **options)
        running.port = self.port
        if wait:
            until("/live", lambda: running.get("/live")[0] == 200 or not running.alive(), detail=running.log)
        return running

    def stopped(self, running, code=0):
        """SIGTERM, and the seconds it took."""
        begin = time.monotonic()
        running.signal(signal.SIGTERM)
        self.assertEqual(running.end(), code, running.log())
        return time.monotonic() - begin

    # -- the other end --

    def pubsub(self, *args, broker=None, input=None, check=True):
        run = subprocess.run([PUBSUB, *args, "-b", broker or self.bus], input=input, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=self.env, timeout=2 * DEADLINE,
                             stdin=subprocess.DEVNULL if input is None else None)
        if check:
            self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout

    def stored(self, topic="#", broker=None):
        """Everything that is in the bus, one JSON object a message."""
        lines = self.pubsub("sub", "--from", "earliest", "-e", "--json", topic, broker=broker).splitlines()
        return [json.loads(line) for line in lines]

    def numbers(self, topic="#", broker=None):
        """The `n` of each document that arrived, in order."""
        return [number_of(message) for message in self.stored(topic, broker)]

    # -- an exec source: its lines are what a file has, from the stored position on --

    def journal(self, name="journal", count=0):
        path = self.path(name + ".jsonl", "")
        self.append(path, range(1, count + 1))
        return path

    def append(self, path, numbers, **more):
        with open(path, "a", encoding="utf-8") as file:
            for n in numbers:
                file.write(json.dumps(dict({"position": str(n), "id": str(n), "key": "k%d" % (n % 7),
                                            "event": "create", "document": {"n": n}}, **more)) + "\n")

    def exec_source(self, journal, **more):
        command = [sys.executable, "-B", "-S", os.path.join(HERE, "follow.py"), journal]
        return dict({"connector": "exec", "command": command, "backoff": "100ms"}, **more)

    def simple(self, count=0, **route):
        """One exec source with one route, `one`, to the topic t."""
        self.file = self.journal(count=count)
        return self.config({"feed": self.exec_source(self.file)},
                           [dict({"name": "one", "model": "m", "topic": "t"}, **route)])


def number_of(message):
    """The n of an event's document, whatever is around it."""
    body = message.get("payload", message.get("body", message.get("value")))
    value = json.loads(body) if isinstance(body, str) else body
    while "n" not in value:
        value = value.get("message") or value["data"]
    return value["n"]


def main():
    """Exit code 77 when there was nothing but what cannot be tested here."""
    try:
        result = unittest.main(argv=[sys.argv[0], "-v"] + sys.argv[1:], exit=False).result
    except interop.Missing as missing:
        print(missing, file=sys.stderr)
        sys.exit(77)
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.testsRun > 0 and len(result.skipped) == result.testsRun else 0)

# SPDX-License-Identifier: MIT
"""What the end-to-end tests of the command share: a bus of its own for each test, and processes that
are waited for, never slept for."""
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PUBSUB = os.environ["PUBSUB"]
SLOW = float(os.environ.get("PUBSUB_TEST_SLOW", "1"))
DEADLINE = 30 * SLOW


class Running:
    """A command in the background."""

    def __init__(self, process):
        self.process = process
        self.stderr = b""

    def _read_stderr(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.process.stderr], [], [], left)[0]:
            raise AssertionError("nothing in time; stderr so far: %r" % self.stderr)
        chunk = os.read(self.process.stderr.fileno(), 65536)
        self.stderr += chunk
        return chunk

    def wait_for(self, text, count=1):
        """Until stderr holds text, count times."""
        deadline = time.monotonic() + DEADLINE
        while self.stderr.count(text.encode()) < count:
            if not self._read_stderr(deadline):
                raise AssertionError("%r did not come: %r" % (text, self.stderr))
        return self

    def read_line(self):
        deadline = time.monotonic() + DEADLINE
        line = b""
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise AssertionError("no line in time: %r" % line)
            byte = os.read(self.process.stdout.fileno(), 1)
            if not byte:
                raise AssertionError("end instead of a line: %r" % line)
            line += byte
        return line

    def signal(self, number):
        self.process.send_signal(number)
        return self

    def end(self):
        """(exit code, stdout, stderr)"""
        out, err = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, out, (self.stderr + (err or b"")).decode("utf-8", "replace")


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="pubsub-cli-")
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("PUBSUB_") and k != "PUBSUB"}
        self.env.update(PUBSUB_BUS=os.path.join(self.dir, "bus"), HOME=self.dir, NO_COLOR="1",
                        LC_ALL="C.UTF-8")
        self.env.pop("XDG_CONFIG_HOME", None)
        os.mkdir(self.env["PUBSUB_BUS"])

    def path(self, name, data=None):
        path = os.path.join(self.dir, name)
        if data is not None:
            with open(path, "wb") as file:
                file.write(data)
        return path

    def start(self, *args, **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        kwargs.setdefault("stdout", subprocess.PIPE)
        env = dict(self.env, **kwargs.pop("env", {}))
        process = subprocess.Popen([PUBSUB, *args], stderr=subprocess.PIPE, env=env, bufsize=0, **kwargs)
        running = Running(process)

        def stop():
            if process.poll() is None:
                process.kill()
                process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

        self.addCleanup(stop)
        return running

    def run_pubsub(self, *args, input=None, **kwargs):
        if input is not None:
            path = self.path("stdin-%d" % time.monotonic_ns(), input)
            with open(path, "rb") as file:
                return self.start(*args, stdin=file, **kwargs).end()
        return self.start(*args, **kwargs).end()

    def ok(self, *args, **kwargs):
        """Run, expect success, return stdout."""
        code, out, err = self.run_pubsub(*args, **kwargs)
        self.assertEqual(code, 0, "%r: %s" % (args, err))
        return out

    def fails(self, code, *args, says=None, **kwargs):
        """Run, expect an exit code and words on stderr, return stderr."""
        got, out, err = self.run_pubsub(*args, **kwargs)
        self.assertEqual(got, code, "%r gave %d: %s" % (args, got, err))
        if says is not None:
            self.assertIn(says, err)
        for line in err.splitlines():
            self.assertTrue(line.startswith("pubsub: "), line)
        return err

    def stored(self, *args):
        """Everything that is stored, by default in the topics t and below."""
        return self.ok("sub", "--from", "earliest", "-e", *(args or ("t/#",)))

    def subscriber(self, *args, topics=1, **kwargs):
        """A sub -v that is subscribed."""
        return self.start("sub", "-v", *args, **kwargs).wait_for("subscribed to", topics)


def main():
    unittest.main(argv=[sys.argv[0], "-v"] + sys.argv[1:])

# SPDX-License-Identifier: MIT
"""connector_probe for Python tests: commands in, JSON lines out, and no waiting without an end."""
import json
import os
import queue
import subprocess
import sys
import threading
import time

PROBE = sys.argv.pop(1)
SLOW = float(os.environ.get("PUBSUB_TEST_SLOW", "1"))
DEADLINE = 20 * SLOW


class Probe:
    def __init__(self, connector, models, *settings, load=None, instances=1, env=None):
        command = [PROBE, "-n", str(instances)] + (["-l", load] if load else [])
        self.process = subprocess.Popen(
            command + [connector, models, *settings], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, **(env or {})})
        self.lines = queue.Queue()
        self.seen = []  # taken from the queue and not asked for yet
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            try:
                self.lines.put(json.loads(line))
            except ValueError:
                self.lines.put({"what": "garbage", "text": repr(line)})
        self.lines.put({"what": "eof"})

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        if kind is not None:
            self.process.kill()
            self.process.communicate()
            return
        self.end()

    def expect(self, what, **fields):
        """The next line of a kind with these values; others are kept for later."""
        for i, line in enumerate(self.seen):
            if self._is(line, what, fields):
                return self.seen.pop(i)
        end = time.monotonic() + DEADLINE
        while True:
            try:
                line = self.lines.get(timeout=max(0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {what} {fields}; there were {self.seen[-20:]}") from None
            if self._is(line, what, fields):
                return line
            if line["what"] == "eof":
                raise AssertionError(f"ended without {what} {fields}: {self.seen[-20:]}")
            self.seen.append(line)

    @staticmethod
    def _is(line, what, fields):
        return line["what"] == what and all(line.get(k) == v for k, v in fields.items())

    def count(self, what):
        """How many of a kind came and were not asked for."""
        self.tell("files", "files")
        return sum(line["what"] == what for line in self.seen)

    def send(self, command):
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()

    def tell(self, command, answer="done"):
        self.send(command)
        return self.expect(answer)

    def end(self):
        if not self.process.stdin.closed:
            self.process.stdin.close()
            self.expect("ended")
            assert self.process.wait(DEADLINE) == 0, self.process.returncode
            self.reader.join()
            self.process.stdout.close()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The program as a person runs it, on a local: broker: test_program.py PUBSUB_BRIDGE."""
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

BRIDGE = sys.argv.pop(1)
DEADLINE = 20 * float(os.environ.get("PUBSUB_TEST_SLOW", "1"))


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.port, self.ops = free_port(), free_port()

    def run_bridge(self, sources, routes, close=()):
        """Until it says on stdout or stderr, which are one pipe here, that a feed is live."""
        name = os.path.join(self.folder, "bridge.json")
        with open(name, "w", encoding="utf-8") as file:
            json.dump({"state": "state", "listen": f"127.0.0.1:{self.ops}",
                       "brokers": {"main": "local:" + os.path.join(self.folder, "bus")},
                       "sources": sources, "routes": routes}, file)

        def close_some():
            for fd in close:
                os.close(fd)
        process = subprocess.Popen([BRIDGE, "run", "-v", name], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, preexec_fn=close_some)
        limit = threading.Timer(DEADLINE, process.kill)  # so that no line is waited for without an end
        limit.start()
        for step in (process.stdout.close, process.wait, process.kill, limit.cancel):
            self.addCleanup(step)
        return process

    def wait_for_line(self, process, part):
        for line in process.stdout:
            if part in line:
                return line
        raise AssertionError(f"ended ({process.wait(DEADLINE)}) without saying {part!r}")

    def hooks(self, models, **settings):
        source = {"connector": "webhook", "listen": f"127.0.0.1:{self.port}", **settings}
        process = self.run_bridge({"hook": source}, [
            {"name": "r%d" % i, "source": "hook", "models": [model], "topic": "/%d/{model}" % i}
            for i, model in enumerate(models)])
        for _ in models:
            self.wait_for_line(process, ": active")
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:  # the feeds are live a moment before the endpoints are
            try:
                socket.create_connection(("127.0.0.1", self.ops)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.01)
        return process

    def ask(self, port, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        connection.request(method, path, body)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def wait_until_ready(self):
        end = time.monotonic() + DEADLINE
        while self.ask(self.ops, "GET", "/ready")[0] != 200:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def end(self, process):
        process.terminate()
        self.assertEqual(process.wait(DEADLINE), 0)


class Operation(Case):
    def test_endpoints(self):
        process = self.hooks(["accounts"])
        self.assertEqual(self.ask(self.ops, "GET", "/live"), (200, "live\n"))
        self.wait_until_ready()
        self.assertEqual(json.loads(self.ask(self.ops, "GET", "/ready")[1])["routes"][0]["name"], "r0")
        self.assertEqual(self.ask(self.ops, "GET", "/metrics")[0], 200)
        self.assertEqual(self.ask(self.ops, "HEAD", "/status"), (200, ""))
        self.assertEqual(self.ask(self.ops, "POST", "/live", b"x" * 100)[0], 405)
        self.assertEqual(self.ask(self.ops, "POST", "/live", b"x" * 10000)[0], 413)
        self.assertEqual(self.ask(self.ops, "GET", "/other")[0], 404)
        with socket.create_connection(("127.0.0.1", self.ops)) as sock:  # gone in the middle
            sock.sendall(b"POST /live HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc")
        self.assertEqual(self.ask(self.ops, "GET", "/live")[0], 200)
        self.end(process)

    def test_what_is_logged_is_shown(self):
        program = ["sh", "-c", "echo from stderr >&2; echo oops; exec sleep 1000"]
        process = self.run_bridge({"s": {"connector": "exec", "command": program}},
                                  [{"name": "r", "model": "m", "topic": "/t"}])
        text = process.stdout.read()
        self.assertEqual(text.count("s: m: from stderr"), 1, text)
        self.assertEqual(text.count("line 1 of sh"), 1, text)
        self.assertEqual(text.count("route r: stopped"), 1, text)
        self.assertEqual(process.wait(DEADLINE), 1)

    def test_a_position_that_cannot_be_read_is_said(self):
        program = ["sh", "-c", "echo '{\"document\":1,\"position\":\"p\"}'; exec sleep 1000"]
        routes = [{"name": "r", "model": "m", "topic": "/t"}]
        process = self.run_bridge({"s": {"connector": "exec", "command": program}}, routes)
        self.wait_for_line(process, '"message":1')
        self.end(process)
        state = os.path.join(self.folder, "state")
        for folder, _, names in os.walk(state):
            for name in names:
                if os.path.getsize(os.path.join(folder, name)) > 0:
                    with open(os.path.join(folder, name), "r+b") as file:
                        file.write(b"broken")
        process = self.run_bridge({"s": {"connector": "exec", "command": program}}, routes)
        text = process.stdout.read()
        self.assertIn("is damaged (it is no checkpoint)", text)
        self.assertEqual(process.wait(DEADLINE), 1)

    def test_started_with_descriptors_closed(self):
        command = ["sh", "-c", "ls -l /proc/self/fd >&2; echo '{\"document\":1}'; exec sleep 1000"]
        for close in ((0,), (1,), (0, 1)):
            process = self.run_bridge({"s": {"connector": "exec", "command": command}},
                                      [{"model": "m", "topic": "/t"}], close)
            self.wait_for_line(process, "fd" if 1 in close else '"message":1')
            self.end(process)

    def test_the_manual_names_every_command(self):
        text = subprocess.run([BRIDGE, "help", "--man"], stdout=subprocess.PIPE, check=True, text=True).stdout
        for command in "run", "check", "status", "spool", "connectors", "version", "help":
            self.assertIn(f'\n.SS "{command} ', text)
        self.assertIn("\\fB\\-\\-connect\\fR", text)

    def test_settings_that_only_the_connector_understands(self):
        process = self.run_bridge({"hook": {"connector": "webhook", "listen": "*:0"}},
                                  [{"name": "r", "model": "m", "topic": "/t"}])
        self.assertIn("anybody could send events", process.stdout.read())
        self.assertEqual(process.wait(DEADLINE), 2)
        name = os.path.join(self.folder, "bridge.json")
        for more in (), ("--connect",):
            check = subprocess.run([BRIDGE, "check", *more, name], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, check=False)
            self.assertEqual(check.returncode, 2, check.stdout)
            self.assertIn("sources.hook: signature: anybody", check.stdout)

    def test_when_no_route_can_start_it_ends(self):
        process = self.run_bridge({"s": {"connector": "exec", "command": "/no/such/program"}},
                                  [{"name": "r", "model": "m", "topic": "/t"}])
        self.assertIn("cannot start /no/such/program", process.stdout.read())
        self.assertEqual(process.wait(DEADLINE), 1)


class Hooks(Case):
    def test_routes_that_share_a_path_all_get_it(self):
        process = self.hooks(["orders", "refunds"], path="/in")
        self.assertEqual(self.ask(self.port, "POST", "/in", b'{"n":1}')[0], 200)
        said = {self.wait_for_line(process, '"message":{"n":1}') for _ in range(2)}
        self.assertEqual({line.split(":")[0] for line in said}, {"orders", "refunds"})
        self.end(process)

    def test_senders_cannot_make_topics(self):
        process = self.hooks(["*", "a/b"])
        for name in ("%23", "%2B", "x%2Fy", "x%0Ay", "%7F"):
            self.assertEqual(self.ask(self.port, "POST", "/hooks/" + name, b"1")[0], 404, name)
        self.assertEqual(self.ask(self.port, "POST", "/hooks/a%2Fb", b'"written so"')[0], 200)
        self.assertTrue(self.wait_for_line(process, "written so").startswith("a/b: "))
        self.assertEqual(self.ask(self.port, "POST", "/hooks/%C3%BC", b"2")[0], 200)
        self.wait_for_line(process, '"message":2')
        self.wait_until_ready()
        self.end(process)


if __name__ == "__main__":
    unittest.main(verbosity=1)

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The exec connector: test_exec.py CONNECTOR_PROBE. The programs are small Python and shell scripts."""
import json
import os
import signal
import sys
import tempfile
import textwrap
import time
import unittest

from probe import DEADLINE, Probe

HEAD = "import json, os, sys, time, signal\ndef say(**o): print(json.dumps(o), flush=True)\n"
REST = "\nwhile True: time.sleep(60)\n"


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def python(self, text, rest=""):
        name = os.path.join(self.folder.name, f"p{time.monotonic_ns()}.py")
        with open(name, "w", encoding="utf-8") as file:
            file.write(HEAD + textwrap.dedent(text) + rest)
        # Without what a site adds, which may take longer than all the rest.
        return "command=" + sys.executable, "command=-IS", "command=" + name

    def shell(self, text):
        return "command=/bin/sh", "command=-c", "command=" + text

    def gone(self, pid):
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            try:
                with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                    if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                        return  # dead; when whoever inherited it looks is not our business
            except FileNotFoundError:
                return
            time.sleep(0.01)
        self.fail(f"{pid} is still there")


class Lines(Case):
    def test_all_that_a_line_can_say(self):
        program = self.python("""
            say(state="active")
            print('  {"model": "a", "document": {"x" : 1.50, "y":"\\u00e9"}, "id": "i1", "key": "k",'
                  ' "event": "create", "position": "p1", "time": 1700000000123, "more": 1}')
            print('{"model":"a","document":[],"position":{"lsn":7},"event":"delete","time":"2026-02-14T08:00:00.5Z"}')
            print('')
            print('{"document":1}\\r')
            say(position="p3", model="a")
            say(error="it hurts", model="a")
            say(state="waiting", model="a")
        """, REST)
        with Probe("exec", "a", *program) as probe:
            probe.expect("state", model="a", state="starting")
            probe.expect("state", model="a", state="active")
            event = probe.expect("event")
            self.assertEqual(event["document"], '{"x" : 1.50, "y":"é"}')
            self.assertEqual((event["id"], event["key"], event["change"], event["position"], event["time"]),
                             ("i1", "k", "create", "p1", 1700000000123000000))
            event = probe.expect("event")
            self.assertEqual((event["position"], event["change"], event["time"]),
                             ('{"lsn":7}', "delete", 1771056000500000000))
            event = probe.expect("event")
            self.assertEqual((event["model"], event["document"], len(event["id"])), ("a", "1", 24))
            probe.expect("position", model="a", position="p3")
            probe.expect("error", model="a", text="it hurts")
            probe.expect("state", model="a", state="waiting")

    def test_models(self):
        program = self.python("""
            for model in "a", "log-1", "other": say(model=model, document=model)
            say(document=1)
        """, REST)
        with Probe("exec", "a,log-*", *program) as probe:
            self.assertEqual([probe.expect("event")["model"] for _ in range(2)], ["a", "log-1"])
            self.assertIn('"model" is missing', probe.expect("error")["text"])
            probe.expect("state", state="stopped")
            self.assertEqual(probe.count("event"), 0)

    def test_bad_lines_stop(self):
        for line, why in (("hello", "line 2 of"), ("[]", "no object"), ("{}", "neither"),
                          ('{"document":1,"id":2}', '"id"'), ('{"document":1,"event":"x"}', '"event"'),
                          ('{"document":1,"time":-1}', '"time"'), ('{"state":"stopped"}', '"state"'),
                          ('{"document":1,"model":2}', '"model"'), ('{"document":{"a":}}', "line 2 of")):
            program = self.python(f"print('{{\"document\":0}}')\nprint({line!r}, flush=True)\nsay(document=9)", REST)
            with Probe("exec", "a", *program) as probe:
                self.assertIn(why, probe.expect("error")["text"])
                probe.expect("state", state="stopped")
                self.assertEqual(probe.expect("event")["document"], "0")
                self.assertEqual(probe.count("event"), 0)

    def test_bad_lines_are_skipped(self):
        program = self.python("""
            print('hello')
            print('{"document":"' + 'x' * 200 + '"}')
            print('x' * 300000)
            say(document="after")
        """, REST)
        with Probe("exec", "a", *program, "bad_line=skip", "max_line=128") as probe:
            for number in 1, 2, 3:
                self.assertIn(f"line {number} of", probe.expect("error")["text"])
            self.assertEqual(probe.expect("event")["document"], '"after"')

    def test_a_line_as_long_as_allowed(self):
        program = self.python("""
            for size in 1, 70000, 1000000: print('{"document":"' + 'x' * size + '"}', flush=True)
        """, REST)
        with Probe("exec", "a", *program, "max_line=1000015") as probe:
            for size in 1, 70000, 1000000:
                self.assertEqual(len(probe.expect("event")["document"]), size + 2)
            self.assertEqual(probe.count("error"), 0)

    def test_a_line_that_was_cut_is_no_event(self):
        with Probe("exec", "a", *self.python("""
            sys.stdout.write('{"document":1}\\n{"document":2}')"""), "restart=never") as probe:
            probe.expect("state", state="ended")
            self.assertEqual(probe.expect("event")["document"], "1")
            self.assertEqual(probe.count("event"), 0)

    def test_back_pressure(self):
        mark = os.path.join(self.folder.name, "mark")
        gate = os.path.join(self.folder.name, "gate")
        program = self.python("""
            while not os.path.exists(os.environ["GATE"]): time.sleep(0.01)
            for n in range(20000): print(json.dumps({"document": n, "x": "y" * 100}))
            sys.stdout.flush()
            open(os.environ["MARK"], "w").close()
        """, REST)
        with Probe("exec", "a", *program, "env=MARK=" + mark, "env=GATE=" + gate) as probe:
            probe.tell("full")
            with open(gate, "w", encoding="ascii"):
                pass
            time.sleep(0.5)  # it could write for so long, and must not get far
            self.assertFalse(os.path.exists(mark))
            probe.tell("auto")
            probe.tell("resume")
            for n in range(20000):
                self.assertEqual(probe.expect("event")["document"], str(n))

    def test_complaints_are_logged(self):
        program = self.python("""
            sys.stderr.write("one\\ntwo\\x1b[2J" + "z" * 5000 + "\\nthree")
            sys.stderr.flush()
            os.close(2)
        """, REST)
        with Probe("exec", "a", *program) as probe:
            self.assertEqual(probe.expect("log")["text"], "source: a: one")
            two = probe.expect("log")["text"]
            self.assertTrue(two.startswith("source: a: two [2Jz") and len(two) < 2500, two)
            self.assertEqual(probe.expect("log")["text"], "source: a: three")


class Life(Case):
    def test_what_it_is_given(self):
        program = self.python("""
            say(document=dict(os.environ))
            say(document=sorted(os.listdir("/proc/self/fd")))
            say(document=[os.getcwd(), os.getpgrp() == os.getpid(), sys.argv[1:]])
            say(document=[signal.getsignal(signal.SIGPIPE) is not None,
                          open("/proc/self/status").read().split("SigBlk:")[1].split()[0]])
        """, REST)
        with Probe("exec", "a,b*", *program, "command=an argument", "env=X=1=2", "dir=/tmp",
                   env={"SECRET": "s", "TZ": "UTC"}) as probe:
            probe.end()
        with Probe("exec", "a", *program, "command=an argument", "env=X=1=2", "dir=" + self.folder.name,
                   env={"SECRET": "s", "TZ": "UTC"}) as probe:
            env = json.loads(probe.expect("event")["document"])
            self.assertEqual((env["X"], env["TZ"], env.get("SECRET")), ("1=2", "UTC", None))
            self.assertEqual((env["PUBSUB_MODELS"], env["PUBSUB_POSITIONS"], env["PUBSUB_POSITION"]),
                             ('["a"]', "{}", ""))
            fds = json.loads(probe.expect("event")["document"])
            self.assertEqual(fds[:4] + fds[5:], ["0", "1", "2", "3"])  # and the one that looks
            self.assertEqual(json.loads(probe.expect("event")["document"]),
                             [os.path.realpath(self.folder.name), True, ["an argument"]])
            self.assertEqual(json.loads(probe.expect("event")["document"])[1], "0" * 16)

    def test_its_position_is_given_back(self):
        program = self.python("""
            say(document=[os.environ["PUBSUB_POSITION"], os.environ["PUBSUB_POSITIONS"]], position="next")
        """, REST)
        with Probe("exec", "a", *program) as probe:
            self.assertEqual(json.loads(probe.expect("event")["document"]), ["", "{}"])
            probe.tell('stored {"at": "\\"7\\" é"}')
            probe.send("stop")
            probe.expect("stopped")
            probe.send("start")
            position, positions = json.loads(probe.expect("event")["document"])
            self.assertEqual(position, '{"at": "\\"7\\" é"}')
            self.assertEqual(json.loads(positions), {"a": position})

    def test_positions_of_patterns_are_given_back(self):
        """In a file, and in the environment as long as they fit there."""
        program = self.python("""
            with open(os.environ["PUBSUB_POSITIONS_FILE"]) as file: first = file.read()
            given = json.loads(first)
            say(model="b", document=[given["models"], os.environ["PUBSUB_MODELS"], os.environ["PUBSUB_POSITION"]])
            say(model="b", document=sorted(given["positions"].items())[:3])
            say(model="b", document=[len(given["positions"]), len(first)])
            say(model="b", document=len(json.loads(os.environ.get("PUBSUB_POSITIONS", "[]"))))
            say(model="b", document=[os.getpid(), sys.stdin.read()])
        """)
        with Probe("exec", "b*,x", *program, "restart=never") as probe:
            probe.expect("event")
            self.assertEqual(json.loads(probe.expect("event")["document"]), [])
            probe.tell("stored p\"7")
            for models, fits in (5, True), (20000, False):
                probe.send("models %d" % models)
                probe.send("stop")
                probe.expect("stopped")
                probe.seen.clear()
                probe.send("start")
                self.assertEqual(json.loads(probe.expect("event")["document"]), [["b*", "x"], '["b*","x"]', ""])
                some = json.loads(probe.expect("event")["document"])
                self.assertEqual(some[:2], [["b0", 'p"7'], ["b10" if models > 10 else "b2", 'p"7']])
                self.assertNotIn("c", {model[0] for model, _ in some})
                count, size = json.loads(probe.expect("event")["document"])
                self.assertEqual(count, (models + 1) // 2 + 1)  # and x
                self.assertEqual(size < 65536, fits)
                self.assertEqual(json.loads(probe.expect("event")["document"]), count if fits else 0)

    def test_it_is_started_again(self):
        count = os.path.join(self.folder.name, "count")
        program = self.python("""
            n = os.path.getsize(os.environ["COUNT"]) if os.path.exists(os.environ["COUNT"]) else 0
            open(os.environ["COUNT"], "a").write("x")
            say(document=n)
            if n == 1: os.kill(os.getpid(), 9)
            sys.exit(3 if n == 0 else 0)
        """)
        with Probe("exec", "a", *program, "env=COUNT=" + count, "backoff=10ms") as probe:
            self.assertIn("ended with status 3", probe.expect("error")["text"])
            probe.expect("state", state="waiting")
            self.assertIn("ended by signal 9", probe.expect("error")["text"])
            for n in range(5):
                self.assertEqual(probe.expect("event")["document"], str(n))

    def test_when_it_is_not(self):
        for setting, status, state in (("restart=never", 0, "ended"), ("restart=never", 1, "stopped"),
                                       ("restart=on-failure", 0, "ended")):
            with Probe("exec", "a", *self.shell(f"exit {status}"), setting) as probe:
                probe.expect("state", state=state)
        with Probe("exec", "a", *self.shell("exit 1"), "restart=on-failure", "backoff=10ms") as probe:
            for _ in range(3):
                probe.expect("state", state="waiting")

    def test_the_time_before_a_start_doubles(self):
        with Probe("exec", "a", *self.shell("exit 1"), "backoff=50ms", "backoff_max=200ms") as probe:
            times = []
            for _ in range(6):
                probe.expect("state", state="waiting")
                times.append(time.monotonic())
            gaps = [b - a for a, b in zip(times, times[1:])]
            self.assertGreater(gaps[3], 0.19)
            self.assertGreater(gaps[4], 0.19)

    def test_no_such_program(self):
        probe = Probe("exec", "a", "command=/no/such/program")
        self.assertIn("cannot start /no/such/program: No such file", probe.expect("refused")["text"])
        probe.end()
        for setting, text in (("env=X", "NAME=value"), ("restart=often", "restart")):
            probe = Probe("exec", "a", "command=x", setting)
            self.assertIn(text, probe.expect("refused")["text"])
            probe.process.communicate()

    def test_stop_ends_the_whole_group(self):
        program = self.python("""
            import subprocess
            other = subprocess.Popen(["sleep", "1000"])
            say(document=[os.getpid(), other.pid])
        """, REST)
        with Probe("exec", "a", *program) as probe:
            pids = json.loads(probe.expect("event")["document"])
            probe.send("stop")
            probe.expect("stopped")
            self.assertFalse(os.path.exists(f"/proc/{pids[0]}"))  # reaped
            self.gone(pids[1])

    def test_who_does_not_listen_is_killed(self):
        program = self.python("""
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            say(document=os.getpid())
        """, REST)
        with Probe("exec", "a", *program, "stop_timeout=100ms") as probe:
            pid = json.loads(probe.expect("event")["document"])
            begin = time.monotonic()
            probe.send("stop")
            probe.expect("stopped")
            self.assertGreater(time.monotonic() - begin, 0.09)
            self.assertFalse(os.path.exists(f"/proc/{pid}"))

    def test_descendants_that_hold_the_output(self):
        program = self.python("""
            import subprocess
            subprocess.Popen(["sleep", "1000"])
            say(document=1)
        """)
        with Probe("exec", "a", *program, "restart=never") as probe:
            probe.expect("event")
            probe.expect("state", state="ended")

    def test_who_left_the_group_is_not_waited_for(self):
        program = self.python("""
            import subprocess
            other = subprocess.Popen(["sleep", "1000"], start_new_session=True)
            sys.stderr.write("last words")
            for n in range(3000): say(document=n, pid=other.pid)
            say(document=other.pid)
        """)
        with Probe("exec", "a", *program, "restart=never") as probe:
            for n in range(3000):
                self.assertEqual(probe.expect("event")["document"], str(n))
            pid = probe.expect("event")["document"]
            self.addCleanup(os.kill, int(pid), signal.SIGKILL)
            self.assertEqual(probe.expect("log")["text"], "source: a: last words")
            probe.expect("state", state="ended")

    def test_it_learns_that_nobody_reads_any_more(self):
        program = self.python("say(document=os.getpid())\nsys.stdin.read()\n")
        probe = Probe("exec", "a", *program)
        pid = json.loads(probe.expect("event")["document"])
        probe.process.kill()
        probe.process.communicate()
        self.gone(pid)

    def test_it_ends_with_who_started_it(self):
        """Killed, not asked; and the program looks at nothing."""
        program = self.python("say(document=os.getpid())", "\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)" + REST)
        probe = Probe("exec", "a", *program)
        pid = json.loads(probe.expect("event")["document"])
        probe.process.kill()
        probe.process.communicate()
        self.gone(pid)

    def test_nothing_is_left_behind(self):
        program = self.shell("echo '{\"document\":1}'")
        with Probe("exec", "a", *program, "backoff=1ms", "backoff_max=1ms") as probe:
            files = []
            for count in 1, 20:
                for _ in range(count):
                    probe.expect("event")
                probe.send("stop")
                probe.expect("stopped")
                files.append(probe.tell("files", "files")["text"])
                if count == 1:
                    probe.send("start")
            self.assertEqual(files[0], files[1])
            with open(f"/proc/{probe.process.pid}/task/{probe.process.pid}/children", encoding="ascii") as file:
                self.assertEqual(file.read(), "")


if __name__ == "__main__":
    unittest.main(verbosity=1)

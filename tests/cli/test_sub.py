# SPDX-License-Identifier: MIT
import fcntl
import json
import os
import signal
import struct
import subprocess
import termios
import time

import support


class Sub(support.Case):
    def numbers(self, first, last, topic="t"):
        self.ok("pub", "-l", topic, input=b"".join(b"%d\n" % i for i in range(first, last + 1)))

    def test_group_of_several_topics(self):
        self.ok("pub", "a", "1")
        self.ok("pub", "b", "2")
        self.ok("pub", "c", "3")
        out = self.ok("sub", "-g", "g", "-v", "--from", "earliest", "-c", "2", "a", "b")
        self.assertEqual(out, b"a 1\nb 2\n")

    def test_new_sees_only_what_comes(self):
        self.ok("pub", "t", "before")
        sub = self.subscriber("-c", "1", "t")
        self.ok("pub", "t", "after")
        self.assertEqual(sub.end()[:2], (0, b"t after\n"))

    def test_patterns_and_several_topics(self):
        sub = self.subscriber("-c", "3", "a/#", "b/+", topics=2)
        for topic in ("a", "a/b/c", "b/x"):
            self.ok("pub", topic, topic)
        self.assertEqual(sorted(sub.end()[1].splitlines()), [b"a a", b"a/b/c a/b/c", b"b/x b/x"])

    def test_count_takes_exactly_that_many(self):
        self.numbers(1, 10)
        self.assertEqual(self.ok("sub", "--from", "earliest", "-c", "3", "t"), b"1\n2\n3\n")

    def test_count_gives_the_rest_back_to_the_group(self):
        args = ("sub", "-g", "g", "--durable", "d", "--from", "earliest")
        self.numbers(1, 10)
        self.assertEqual(self.ok(*args, "-c", "3", "t"), b"1\n2\n3\n")
        self.assertEqual(self.ok(*args, "-c", "7", "-W", "20s", "t"), b"4\n5\n6\n7\n8\n9\n10\n")

    def test_durable_goes_on_where_it_stood(self):
        args = ("sub", "--durable", "d", "--from", "earliest")
        self.numbers(1, 4)
        self.assertEqual(self.ok(*args, "-c", "2", "t"), b"1\n2\n")
        self.numbers(5, 6)
        self.assertEqual(self.ok(*args, "-e", "t"), b"3\n4\n5\n6\n")
        self.assertEqual(self.ok(*args, "--reset", "-c", "1", "t"), b"1\n")

    def test_group_shares(self):
        members = [self.subscriber("-g", "g", "-F", "%v\\n", "t") for _ in range(2)]
        self.numbers(1, 200)
        got = b""
        deadline = time.monotonic() + support.DEADLINE
        check = self.start("sub", "--from", "earliest", "-c", "200", "t")
        self.assertEqual(check.end()[0], 0)
        for member in members:
            os.set_blocking(member.process.stdout.fileno(), False)
        while got.count(b"\n") < 200 and time.monotonic() < deadline:
            for member in members:
                got += member.process.stdout.read(65536) or b""
        self.assertEqual(sorted(int(n) for n in got.split()), list(range(1, 201)))
        for member in members:
            member.signal(signal.SIGTERM)

    def test_wait_and_idle(self):
        self.fails(6, "sub", "-c", "1", "-W", "200ms", "t", says="0 of 1")
        self.ok("pub", "t", "x")
        self.fails(6, "sub", "--from", "earliest", "-c", "2", "--idle", "200ms", "t", says="1 of 2")
        self.assertEqual(self.ok("sub", "--from", "earliest", "--idle", "200ms", "t"), b"x\n")
        self.assertEqual(self.ok("sub", "--from", "earliest", "-W", "500ms", "t"), b"x\n")

    def test_from_position_and_time(self):
        self.numbers(1, 3)
        first = json.loads(self.ok("sub", "--from", "earliest", "-c", "1", "-j", "t"))
        self.assertEqual(self.stored("t"), b"1\n2\n3\n")
        self.assertEqual(self.ok("sub", "-o", first["offset"], "-e", "t"), b"2\n3\n")
        self.assertEqual(self.ok("sub", "--since", "1h", "-e", "t"), b"1\n2\n3\n")
        self.assertEqual(self.ok("sub", "--from", "-1h", "-e", "t"), b"1\n2\n3\n")
        self.assertEqual(self.ok("sub", "--from", "@%d" % (time.time() + 3600), "-e", "t"), b"")

    def test_until(self):
        self.numbers(1, 3)
        self.assertEqual(self.ok("sub", "--from", "earliest", "--until", "-1h", "t"), b"")
        self.assertEqual(self.ok("sub", "--from", "earliest", "--until", "+1s", "t"), b"1\n2\n3\n")
        self.fails(2, "sub", "--until", "soon", "t", says="--until")

    def test_output_styles(self):
        self.ok("pub", "-k", "k", "-H", "h: 1", "t", "v")
        for args, expected in (((), b"v\n"), (("-x",), b"76\n"), (("-N",), b"v"), (("--raw",), b"v"),
                               (("-0",), b"v\0"), (("-v",), b"t v\n"),
                               (("-F", "%t|%k|%h{h}|%v{hex}\\n"), b"t|k|1|76\n"),
                               (("-F", "%v", "-0"), b"v\0")):
            self.assertEqual(self.ok("sub", "--from", "earliest", "-c", "1", *args, "t"), expected)
        csv = self.ok("sub", "--from", "earliest", "-c", "1", "-F", "csv", "t")
        self.assertRegex(csv, rb"^1,\d+,t,k,v\n$")

    def test_timestamps(self):
        self.ok("pub", "t", "v")
        for how, pattern in (("", rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z v\n$"),
                             ("=rel", rb"^\d+\.\d{6} v\n$"), ("=ns", rb"^\d{19} v\n$")):
            out = self.ok("sub", "--from", "earliest", "-c", "1", "--timestamps" + how, "t")
            self.assertRegex(out, pattern)

    def test_selection(self):
        self.ok("pub", "-r", "t/r", "retained")
        self.ok("pub", "t/a", "a")
        self.ok("pub", "t/b/c", "c")
        self.assertEqual(self.stored("--exclude", "t/b/#", "--exclude", "t/r", "t/#"), b"a\n")
        self.assertEqual(self.ok("sub", "--from", "last", "--no-retained", "-e", "t/#"), b"")
        self.assertEqual(self.ok("sub", "--from", "last", "-c", "1", "t/#"), b"retained\n")

    def test_sample(self):
        self.numbers(1, 2000)
        count = self.stored("--sample", "10", "t").count(b"\n")
        self.assertTrue(50 < count < 400, count)
        self.fails(2, "sub", "--sample", "0", "t", says="--sample")

    def test_dump(self):
        self.ok("pub", "-0", "t", input=b"a\nb\0\xff\0")
        target = self.path("dump")
        self.assertEqual(self.stored("--dump", target, "t"), b"")
        bodies = []
        for name in sorted(os.listdir(target)):
            with open(os.path.join(target, name), "rb") as file:
                bodies.append(file.read())
        self.assertEqual(bodies, [b"a\nb", b"\xff"])
        self.fails(1, "sub", "--from", "earliest", "-e", "--dump", target, "t", says="empty directory")

    def test_exec_gets_body_and_environment(self):
        self.ok("pub", "-k", "key", "-H", "trace-id: 7", "t", "body")
        out = self.ok("sub", "--from", "earliest", "-c", "1", "--exec",
                      'cat; echo " $PUBSUB_TOPIC $PUBSUB_KEY $PUBSUB_H_TRACE_ID $PUBSUB_N"', "t")
        self.assertEqual(out, b"body t key 7 1\n")

    def test_exec_acks_what_succeeded_only(self):
        mark = self.path("mark")
        self.ok("pub", "t", "job")
        code, out, err = self.run_pubsub("sub", "-g", "g", "--durable", "d", "--from", "earliest",
                                         "--nack-delay", "50ms", "-c", "2", "-W", "20s", "--exec",
                                         "echo try $PUBSUB_ATTEMPT; test -e %s || { touch %s; exit 3; }"
                                         % (mark, mark), "t")
        self.assertEqual((code, out), (0, b"try 1\ntry 2\n"), err)
        self.assertIn("ended with 3", err)
        self.assertEqual(self.ok("sub", "-g", "g", "--durable", "d", "--idle", "200ms", "t"), b"")

    def test_workers_run_commands_side_by_side(self):
        """Three that wait for each other, each with two lines; a fourth of a key that is taken."""
        meet = self.path("meet")
        os.mkdir(meet)
        for key, body in ((1, "a"), (2, "b"), (3, "c"), (1, "d")):
            self.ok("pub", "-k", str(key), "t", body)
        out = self.ok("sub", "--from", "earliest", "-c", "4", "-W", "30s", "--workers", "3", "--exec",
                      "read body; touch %s/$body; echo $body begins; test $body = d && test ! -e %s/x && exit 9; "
                      "while test $(ls %s | wc -l) -lt 3; do sleep 0.02; done; "
                      "test $body = a && touch %s/x; echo $body ends" % ((meet,) * 4), "t")
        lines = out.decode().split()
        for body in "abcd":
            at = lines.index(body)
            self.assertEqual(lines[at:at + 4], [body, "begins", body, "ends"], out)
        self.assertGreater(lines.index("d"), lines.index("a"))

    def test_workers_settle_each_by_its_command(self):
        mark = self.path("mark")
        for body in ("a", "b", "c"):
            self.ok("pub", "-k", "key", "t", body)
        code, out, err = self.run_pubsub("sub", "--durable", "d", "--from", "earliest", "--nack-delay", "50ms",
                                         "-c", "4", "-W", "20s", "--workers", "4", "--exec",
                                         "read body; echo $body; test $body != a || test -e %s || { touch %s; exit 3; }"
                                         % (mark, mark), "t")
        self.assertEqual((code, out), (0, b"a\na\nb\nc\n"), err)
        self.assertIn("ended with 3", err)
        self.assertEqual(self.ok("sub", "--durable", "d", "--idle", "200ms", "t"), b"")

    def test_workers_are_waited_for_at_the_end(self):
        for body in ("a", "b"):
            self.ok("pub", "t", body)
        sub = self.start("sub", "--from", "earliest", "--workers", "2", "--exec",
                         "read body; echo begun >&2; sleep 0.5; echo $body", "t")
        sub.wait_for("begun")
        code, out, err = sub.signal(signal.SIGTERM).end()
        self.assertEqual(code, 0, err)
        self.assertIn(b"a\n", out)

    def test_workers_need_a_command(self):
        self.fails(2, "sub", "--workers", "2", "t", says="--exec")
        self.fails(2, "sub", "--workers", "2", "--exec", "cat", "--ack", "none", "t", says="--ack none")
        self.fails(2, "sub", "--workers", "0", "--exec", "cat", "t", says="workers")

    def test_exec_need_not_read_its_body(self):
        self.ok("pub", "-f", self.path("big", b"x" * 1000000), "t")
        self.ok("sub", "--from", "earliest", "-c", "1", "--exec", "true", "t")

    def test_ack_none_leaves_it_for_the_next(self):
        self.ok("pub", "t", "x")
        args = ("sub", "-g", "g", "--durable", "d", "--from", "earliest", "-c", "1", "-W", "20s")
        self.assertEqual(self.ok(*args, "--ack", "none", "t"), b"x\n")
        self.assertEqual(self.ok(*args, "t"), b"x\n")

    def test_closed_stdout_is_a_quiet_end(self):
        self.numbers(1, 100000)
        sub = self.start("sub", "--from", "earliest", "t")
        self.assertEqual(sub.read_line(), b"1\n")
        sub.process.stdout.close()
        sub.process.stdout = None
        self.assertEqual(sub.end(), (0, None, ""))

    def test_closed_stdout_is_noticed_while_nothing_comes(self):
        sub = self.subscriber("t")
        sub.process.stdout.close()
        sub.process.stdout = None
        self.assertEqual(sub.end()[0], 0)

    def test_full_stdout_is_an_error_and_nothing_is_acked(self):
        self.numbers(1, 5)
        args = ("sub", "-g", "g", "--durable", "d", "--from", "earliest", "-c", "5", "-W", "20s", "t")
        with open("/dev/full", "wb") as full:
            self.fails(1, *args, says="cannot write to stdout", stdout=full)
        self.assertEqual(self.ok(*args), b"1\n2\n3\n4\n5\n")

    def test_stdout_not_open_at_all(self):
        self.ok("pub", "t", "x")
        process = subprocess.run(["sh", "-c", '"$0" sub --from earliest -c 1 t >&-', support.PUBSUB],
                                 env=self.env, stderr=subprocess.PIPE, timeout=support.DEADLINE)
        self.assertEqual(process.returncode, 1, process.stderr)

    def test_signals(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            sub = self.subscriber("t").signal(number)
            self.assertEqual(sub.end()[0], 0)
            sub = self.subscriber("-c", "5", "t").signal(number)
            self.assertEqual(sub.end()[0], code)

    def test_signal_while_the_reader_is_stuck(self):
        self.ok("pub", "-c", "1000", "t", "x" * 1000)
        sub = self.start("sub", "--from", "earliest", "t")
        deadline = time.monotonic() + support.DEADLINE
        size = fcntl.fcntl(sub.process.stdout, 1032)  # F_GETPIPE_SZ
        waiting = struct.pack("i", 0)
        while struct.unpack("i", waiting)[0] < size and time.monotonic() < deadline:
            waiting = fcntl.ioctl(sub.process.stdout, termios.FIONREAD, waiting)
        sub.signal(signal.SIGINT)
        try:
            sub.process.wait(support.DEADLINE / 10)
        except subprocess.TimeoutExpired:
            sub.signal(signal.SIGINT)  # it came before write(2) had begun to wait
        self.assertIn(sub.process.wait(support.DEADLINE), (0, 130))

    def test_second_signal_ends_at_once(self):
        self.ok("pub", "t", "x")
        sub = self.start("sub", "--from", "earliest", "--exec", "echo; exec tail -f /dev/null", "t",
                         start_new_session=True)
        self.addCleanup(os.killpg, sub.process.pid, signal.SIGKILL)  # the command goes on
        sub.read_line()
        sub.signal(signal.SIGINT)
        deadline = time.monotonic() + support.DEADLINE
        while sub.process.poll() is None and time.monotonic() < deadline:
            sub.signal(signal.SIGTERM)
            try:
                sub.process.wait(0.05)
            except subprocess.TimeoutExpired:
                pass
        self.assertIn(sub.process.returncode, (130, 143))

    def test_expect(self):
        self.numbers(1, 3)
        args = ("sub", "--from", "earliest", "--within", "300ms")
        good, less = self.path("good", b"1\n2\n3\n"), self.path("less", b"1\n2\n")
        more, other = self.path("more", b"1\n2\n3\n4\n"), self.path("other", b"3\n2\n1\n")
        self.ok(*args, "--expect", good, "t")
        self.ok(*args, "--expect", other, "--any-order", "t")
        self.fails(8, *args, "--expect", other, "t", says="not the line expected")
        self.fails(8, *args, "--expect", more, "t", says="3 of 4")
        self.fails(8, *args, "--expect", less, "--idle", "200ms", "t", says="more than expected")
        self.ok(*args, "--expect-count", "3", "t")
        self.ok("sub", "--within", "300ms", "--expect-count", "0", "t")
        self.fails(8, *args, "--expect-count", "4", "t", says="3 of 4")
        self.fails(8, *args, "--expect-count", "0", "t", says="more than expected")

    def test_usage_errors(self):
        for args, says in (((), "no topic"), (("-F", "%z", "t"), "position 1"), (("-j", "-x", "t"), "give one"),
                           (("--from", "bogus", "t"), "bogus"), (("-c", "0", "t"), "out of range"),
                           (("--cuont", "3", "t"), "did you mean --count"), (("-h", "localhost"), "-b"),
                           (("-j", "-0", "t"), "-0"), (("--ack", "exec", "t"), "--exec"),
                           (("",), "topic"), (("--exclude", "", "t"), "--exclude"),
                           (("--since", "1h", "--from", "new", "t"), "give one")):
            self.fails(2, "sub", *args, says=says)

    def test_what_the_broker_cannot_do(self):
        self.fails(7, "sub", "-Q", "2", "t", says="qos2")

    def test_second_holder_of_a_durable_name(self):
        self.subscriber("--durable", "d", "t")
        self.fails(1, "sub", "--durable", "d", "t")


if __name__ == "__main__":
    support.main()

# SPDX-License-Identifier: MIT
import json
import os
import signal
import subprocess
import time

import support


class Pub(support.Case):
    def lines(self, *args):
        return [json.loads(line) for line in self.stored("-j", *(args or ("#",))).splitlines()]

    def test_word_and_flags_give_the_same(self):
        self.ok("pub", "t", "hello")
        self.ok("pub", "-t", "t", "-m", "hello")
        self.ok("pub", "-t", "t", "hello")
        self.ok("pub", "t", "-m", "hello")
        self.assertEqual(self.stored(), b"hello\n" * 4)

    def test_several_bodies(self):
        self.ok("pub", "t", "-m", "a", "-m", "", "-m", "c")
        self.assertEqual(self.stored(), b"a\n\nc\n")

    def test_never_reads_stdin_when_a_body_is_given(self):
        read, write = os.pipe()
        try:
            code, _, _ = self.start("pub", "t", "body", stdin=read).end()
            self.assertEqual(code, 0)
        finally:
            os.close(read)
            os.close(write)
        self.assertEqual(self.stored(), b"body\n")

    def test_piped_stdin_is_one_message(self):
        self.ok("pub", "t", input=b"two\nlines\n")
        self.ok("pub", "-s", "t", input=b"")
        self.assertEqual(self.stored("-N", "t"), b"two\nlines\n")
        self.assertEqual(len(self.lines()), 2)

    def test_lines(self):
        self.ok("pub", "-l", "t", input=b"a\n\nb\r\nlast without newline")
        self.assertEqual([m["payload"] for m in self.lines()], ["a", "", "b\r", "last without newline"])

    def test_no_line_is_no_message(self):
        self.ok("pub", "-l", "t", input=b"")
        self.assertEqual(self.stored(), b"")

    def test_delimiters(self):
        self.ok("pub", "-0", "t", input=b"a\nb\0c\0")
        self.ok("pub", "-D", "\\x01--", "t", input=b"d\x01--e\x01-")
        self.assertEqual(self.stored("-0", "t"), b"a\nb\0c\0d\0e\x01-\0")

    def test_key_and_topic_delimiters(self):
        self.ok("pub", "-K", ":", "t", input=b"k:v:w\nno key\n:empty\n")
        self.ok("pub", "--topic-delim", "|", "-K", "=", input=b"t/x|k=v\nt/y|plain\n")
        self.assertEqual([(m["topic"], m.get("key"), m["payload"]) for m in self.lines()],
                         [("t", "k", "v:w"), ("t", None, "no key"), ("t", "", "empty"),
                          ("t/x", "k", "v"), ("t/y", None, "plain")])

    def test_record_without_topic_is_refused(self):
        self.fails(2, "pub", "--topic-delim", "|", says="no topic delimiter", input=b"t/a|1\nt/b 2\n")
        self.assertEqual(self.stored(), b"1\n")

    def test_files(self):
        one, two = self.path("one", b"1\n2\n"), self.path("two", b"\xff\0")
        self.ok("pub", "-f", one, "-f", two, "t")
        self.assertEqual(self.stored("-0", "t"), b"1\n2\n\0\xff\0\0")
        self.ok("pub", "-l", "-f", one, "-f", self.path("three", b"3"), "t/l")
        self.assertEqual(self.stored("t/l"), b"1\n2\n3\n")

    def test_missing_file(self):
        self.fails(1, "pub", "-f", self.path("none"), "t", says="none")

    def test_properties(self):
        self.ok("pub", "-k", "key", "-H", "a: 1", "-H", "b=2", "-H", "a:", "--content-type", "text/x",
                "--reply-to", "r", "--correlation", "c", "--expiry", "1h", "t", "x")
        message = self.lines()[0]
        self.assertEqual(message["headers"], [["a", "1"], ["b", "2"], ["a", ""]])
        self.assertEqual((message["key"], message["content_type"], message["reply_to"],
                          message["correlation"]), ("key", "text/x", "r", "c"))
        self.assertAlmostEqual(int(message["expires"]) / 1e9, time.time() + 3600, delta=60)

    def test_bad_header(self):
        self.fails(2, "pub", "-H", "novalue", "t", "x", says="-H novalue")

    def test_count_repeats(self):
        self.ok("pub", "-c", "3", "t", "x")
        self.ok("pub", "-c", "2", "t", input=b"y")
        self.ok("pub", "-c", "2", "-l", "t", input=b"1\n2\n3\n")
        self.ok("pub", "-c", "3", "t", "-m", "p", "-m", "q")
        self.assertEqual(self.stored(), b"x\nx\nx\ny\ny\n1\n2\np\nq\np\n")

    def test_rate_and_interval_pace(self):
        begin = time.monotonic()
        self.ok("pub", "-c", "5", "--interval", "50ms", "t", "x")
        self.ok("pub", "-c", "5", "--rate", "20/s", "t", "x")
        self.assertGreaterEqual(time.monotonic() - begin, 0.4)
        self.assertEqual(self.stored(), b"x\n" * 10)

    def test_duration_ends(self):
        begin = time.monotonic()
        self.ok("pub", "--duration", "300ms", "--interval", "100ms", "t", "x")
        took = time.monotonic() - begin
        self.assertGreaterEqual(took, 0.29)
        self.assertLess(took, 10 * support.SLOW)
        self.assertIn(self.stored().count(b"x"), (1, 2, 3, 4))

    def test_template_is_off_unless_asked_for(self):
        self.ok("pub", "t", "{{Count}}")
        self.ok("pub", "-c", "2", "--template", "t/{{Count}}", "n{{Count}} {{nope}}")
        self.assertEqual(self.stored("-F", "%t %v\\n", "t/#"),
                         b"t {{Count}}\nt/1 n1 {{nope}}\nt/2 n2 {{nope}}\n")

    def test_encode(self):
        self.ok("pub", "--encode", "hex", "t", "00ff")
        self.ok("pub", "--encode", "base64", "-l", "t", input=b"AP8=\nQQ==\n")
        self.assertEqual(self.stored("-x", "t"), b"00ff\n00ff\n41\n")
        self.fails(2, "pub", "--encode", "hex", "t", "0x", says="position 2")

    def test_tee(self):
        self.assertEqual(self.ok("pub", "--tee", "-l", "t", input=b"a\nb\n"), b"a\nb\n")

    def test_tee_to_a_full_device(self):
        with open("/dev/full", "wb") as full:
            self.fails(1, "pub", "--tee", "t", "x", says="cannot write to stdout", stdout=full)

    def test_retain(self):
        self.ok("pub", "-r", "t", "old")
        self.ok("pub", "-r", "t", "kept")
        self.ok("pub", "t", "not kept")
        self.assertEqual(self.ok("sub", "--only-retained", "t"), b"kept\n")
        self.ok("pub", "-r", "-n", "t")
        self.assertEqual(self.ok("sub", "--only-retained", "t"), b"")

    def test_null_is_a_tombstone(self):
        self.ok("pub", "-n", "-k", "k", "t")
        self.assertIsNone(self.lines()[0]["payload"])

    def test_no_confirm(self):
        self.ok("pub", "--no-confirm", "-l", "t", input=b"a\nb\n")
        self.assertEqual(self.stored(), b"a\nb\n")

    def test_lines_are_published_as_they_arrive(self):
        sub = self.subscriber("t")
        pub = self.start("pub", "-l", "t", stdin=subprocess.PIPE)
        for word in (b"one\n", b"two\n"):
            pub.process.stdin.write(word)
            self.assertEqual(sub.read_line(), b"t " + word)
        pub.process.stdin.close()
        self.assertEqual(pub.process.wait(support.DEADLINE), 0)

    def test_signals(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            pub = self.start("pub", "-v", "-l", "t", stdin=subprocess.PIPE).wait_for("connected")
            pub.process.stdin.write(b"before the signal\n")
            sub = self.start("sub", "--from", "earliest", "-c", "1", "t")
            self.assertEqual(sub.end()[0], 0)
            self.assertEqual(pub.signal(number).process.wait(support.DEADLINE), code)

    def test_100000_lines_give_the_same_bytes(self):
        data = b"".join(b"%d %s\n" % (i, b"x" * (i % 97)) for i in range(100000))
        self.ok("pub", "-l", "t", input=data)
        self.assertEqual(self.ok("sub", "--from", "earliest", "-c", "100000", "t"), data)

    def test_usage_errors(self):
        for args, says in ((("t", "a", "b"), "quote"), ((), "no topic"), (("a/#", "x"), "wildcard"),
                           (("", "x"), "topic"), (("-l", "t", "x"), "a body is given"),
                           (("-n", "t", "x"), "no body"), (("t", "x", "-m", "y"), "twice"),
                           (("-s", "-l", "t"), "-s"), (("-0", "-D", "x", "t"), "-D"),
                           (("-D", "\\q", "t"), "escape"), (("--rate", "x", "t", "b"), "--rate"),
                           (("--rate", "1", "--interval", "1s", "t", "b"), "give one"),
                           (("--jsonl", "-l"), "--jsonl"), (("-Q", "3", "t", "b"), "0|1|2")):
            self.fails(2, "pub", *args, says=says)

    def test_no_body_at_a_terminal_says_what_to_do(self):
        master, slave = os.openpty()
        try:
            self.fails(2, "pub", "t", says="no body", stdin=slave)
        finally:
            os.close(master)
            os.close(slave)

    def test_too_big_a_message(self):
        err = self.fails(5, "pub", "-f", self.path("big", b"x" * 20000000), "t", says="too big")
        self.assertNotIn("0 of 0", err)

    def test_max_line(self):
        self.fails(2, "pub", "-l", "--max-line", "4", "t", says="--max-line", input=b"1234\n12345\n")
        self.assertEqual(self.stored(), b"1234\n")

    def test_what_the_broker_cannot_do(self):
        err = self.fails(7, "pub", "-Q", "2", "t", "x", says="qos2")
        self.assertEqual(len(err.splitlines()), 1)


if __name__ == "__main__":
    support.main()

# SPDX-License-Identifier: MIT
import json
import os
import signal
import subprocess

import support


class Request(support.Case):
    def service(self, *args, **kwargs):
        """A reply that is subscribed."""
        return self.start("reply", "-v", *args, **kwargs).wait_for("subscribed to")

    # ---- answers ----------------------------------------------------------------------------

    def test_fixed_answer(self):
        service = self.service("-c", "2", "t", "pong")
        self.assertEqual(self.ok("request", "t", "ping"), b"pong\n")
        self.assertEqual(self.ok("request", "-N", "-t", "t", "-m", "ping"), b"pong")
        self.assertEqual(service.end()[:2], (0, b""))

    def test_answer_from_file_and_without_body(self):
        service = self.service("-c", "1", "-f", self.path("body", b"one\ntwo\n"), "t")
        self.assertEqual(self.ok("request", "-N", "t", "x"), b"one\ntwo\n")
        self.assertEqual(service.end()[0], 0)
        service = self.service("-c", "1", "-n", "t")
        self.assertEqual(self.ok("request", "-N", "t", "x"), b"")
        self.assertEqual(service.end()[0], 0)

    def test_echo_brings_all_of_it_back(self):
        service = self.service("--echo", "-c", "1", "-H", "by: me", "t/#")
        line = json.loads(self.ok("request", "-j", "-H", "trace: 1f", "--content-type", "text/plain",
                                  "t/a", "body"))
        self.assertEqual(line["payload"], "body")
        self.assertEqual(line["headers"], [["trace", "1f"], ["by", "me"]])
        self.assertEqual(line["content_type"], "text/plain")
        self.assertTrue(line["topic"].startswith("$inbox/"))
        self.assertEqual(service.end()[0], 0)

    def test_template(self):
        service = self.service("--template", "-c", "2", "t", "number {{Count}}")
        self.assertEqual(self.ok("request", "t", "x"), b"number 1\n")
        self.assertEqual(self.ok("request", "t", "x"), b"number 2\n")
        self.assertEqual(service.end()[0], 0)

    def test_exec_gets_the_request_and_gives_the_answer(self):
        command = 'printf "%s %s " "$PUBSUB_TOPIC" "$PUBSUB_H_WHO"; tr a-z A-Z'
        service = self.service("--exec", command, "-c", "2", "t/+")
        self.assertEqual(self.ok("request", "-H", "who: you", "t/a", "hello"), b"t/a you HELLO\n")
        self.assertEqual(self.ok("request", "t/b", input=b"from stdin"), b"t/b  FROM STDIN\n")
        self.assertEqual(service.end()[:2], (0, b""))

    def test_exec_big_bodies_both_ways(self):
        body = bytes(range(256)) * 4096  # more than pipes hold, so both ends have to move
        service = self.service("--exec", "cat", "-c", "1", "t")
        self.assertEqual(self.ok("request", "-N", "t", input=body), body)
        self.assertEqual(service.end()[0], 0)

    def test_exec_that_does_not_read(self):
        service = self.service("--exec", "exec 0<&-; echo done", "-c", "1", "t")
        self.assertEqual(self.ok("request", "t", input=b"x" * 300000), b"done\n\n")
        self.assertEqual(service.end()[0], 0)

    def test_exec_failure_is_an_answer(self):
        service = self.service("--exec", "echo half; exit 3", "-c", "2", "t")
        code, out, err = self.run_pubsub("request", "t", "x")
        self.assertEqual((code, out), (1, b"half\n\n"))
        self.assertIn("the command ended with 3", err)
        code, out, err = self.run_pubsub("request", "-j", "t", "x")
        self.assertEqual(json.loads(out)["headers"], [["pubsub-error", "the command ended with 3"]])
        self.assertEqual(service.end()[0], 0)

    def test_answer_too_big_is_said(self):
        service = self.service("--exec", "head -c 80000000 /dev/zero", "-c", "1", "t")
        code, out, err = self.run_pubsub("request", "--timeout", "60s", "t", "x")
        self.assertEqual((code, out), (1, b"\n"))
        self.assertIn("ended with 141", err)
        self.assertEqual(service.end()[0], 0)

    def test_body_from_file(self):
        service = self.service("--echo", "-c", "2", "t")
        self.assertEqual(self.ok("request", "-N", "-f", self.path("body", b"a\nb"), "t"), b"a\nb")
        self.assertEqual(self.ok("request", "-N", "-n", "t", input=b"not read"), b"")
        self.assertEqual(service.end()[0], 0)

    def test_output_formats(self):
        service = self.service("--echo", "-c", "5", "t")
        self.assertEqual(self.ok("request", "-x", "t", "AB"), b"4142\n")
        self.assertEqual(self.ok("request", "-0", "t", "a"), b"a\0")
        self.assertEqual(self.ok("request", "-F", "<%v>\\n", "t", "a"), b"<a>\n")
        self.assertIn(b" a\n", self.ok("request", "--timestamps", "t", "a"))
        self.assertIn(b",a\n", self.ok("request", "-F", "csv", "t", "a"))
        self.assertEqual(service.end()[0], 0)

    # ---- sharing and ending -----------------------------------------------------------------

    def test_group_shares_the_requests(self):
        workers = [self.service("-g", "g", "--exec", "cat; echo :%d" % i, "t") for i in range(2)]
        askers = [self.start("request", "t", str(i)) for i in range(12)]
        for i, asker in enumerate(askers):
            code, out, err = asker.end()
            self.assertEqual(code, 0, err)
            self.assertIn(out.split(b":")[0], (b"%d" % i,))
        answered = 0
        for worker in workers:
            code, _, err = worker.signal(signal.SIGTERM).end()
            self.assertEqual(code, 0)
            answered += err.count("answered with")
        self.assertEqual(answered, 12)

    def test_workers_answer_side_by_side(self):
        """Three commands that wait for each other, then a failure among them."""
        meet = self.path("meet")
        os.mkdir(meet)
        service = self.service("--workers", "3", "-c", "4", "--exec",
                               "read body; touch %s/$body; while test $(ls %s | wc -l) -lt 3; do sleep 0.02; done; "
                               "echo re:$body; test $body != bad" % (meet, meet), "t")
        askers = [self.start("request", "--timeout", "30s", "t", body) for body in ("a", "b", "c")]
        for body, asker in zip(("a", "b", "c"), askers):
            code, out, err = asker.end()
            self.assertEqual((code, out), (0, b"re:%s\n\n" % body.encode()), err)
        code, out, err = self.run_pubsub("request", "t", "bad")
        self.assertEqual((code, out), (1, b"re:bad\n\n"))
        self.assertIn("ended with 1", err)
        self.assertEqual(service.end()[0], 0)
        self.fails(2, "reply", "--workers", "2", "t", "x", says="--exec")

    def test_messages_that_ask_for_no_answer_do_not_count(self):
        service = self.service("-c", "1", "t", "yes")
        self.ok("pub", "t", "no request")
        service.wait_for("asks for no answer")
        self.assertEqual(self.ok("request", "t", "x"), b"yes\n")
        self.assertEqual(service.end()[0], 0)

    def test_reply_ends_in_time(self):
        self.fails(6, "reply", "-c", "1", "-W", "200ms", "t", "x", says="0 of 1")
        self.ok("reply", "-W", "100ms", "t", "x")

    def test_reply_ends_by_signal(self):
        self.assertEqual(self.service("t", "x").signal(signal.SIGINT).end()[0], 0)
        self.assertEqual(self.service("-c", "1", "t", "x").signal(signal.SIGINT).end()[0], 130)

    def test_request_ends_by_signal(self):
        asker = self.start("request", "-v", "--timeout", "60s", "t", "x").wait_for("connected to")
        self.assertEqual(asker.signal(signal.SIGINT).end()[:2], (130, b""))

    def test_closed_stdout(self):
        service = self.service("-c", "1", "t", "x")
        asker = self.start("request", "t", "x", stdout=subprocess.PIPE)
        asker.process.stdout.close()
        asker.process.stdout = None
        self.assertEqual(asker.end()[0], 0)
        self.assertEqual(service.end()[0], 0)

    # ---- what goes wrong --------------------------------------------------------------------

    def test_nobody_answers(self):
        self.fails(6, "request", "--timeout", "200ms", "t", "x", says="no answer within 200 ms")
        self.fails(6, "request", "-W", "200ms", "t", "x", says="no answer")

    def test_cannot_connect(self):
        self.fails(2, "request", "-b", "nothing://x", "t", "x")
        for verb in ("request", "reply"):
            self.fails(3, verb, "t", "x", env={"PUBSUB_BUS": "/proc/nope/bus"})

    def test_wrong_usage(self):
        self.fails(2, "request", says="no topic")
        self.fails(2, "request", "a/+", "x", says="wildcard")
        self.fails(2, "request", "t", "x", "y", says="too many words")
        self.fails(2, "request", "-m", "x", "t", "y", says="twice")
        self.fails(2, "request", "-H", "nothing", "t", "x", says="NAME: VALUE")
        self.fails(2, "request", "-j", "-x", "t", "x", says="give one")
        self.fails(2, "request", "--timeout", "0", "t", "x", says="needs time")
        self.fails(1, "request", "-f", self.path("missing"), "t", says="cannot read")
        self.fails(2, "reply", says="no topic")
        self.fails(2, "reply", "t", says="no answer")
        self.fails(2, "reply", "--echo", "t", "x", says="give one")
        self.fails(2, "reply", "--echo", "--exec", "cat", "t", says="give one")
        self.fails(2, "reply", "--echo", "--template", "t", says="--template")
        self.fails(2, "reply", "a*/#/\udcff", "x")


if __name__ == "__main__":
    support.main()

# SPDX-License-Identifier: MIT
"""Requests and answers with mosquitto_rr on one of the two sides."""
import re
import subprocess
import sys

import interop


class Request(interop.Case):
    def test_mosquitto_asks(self):
        for program in (("--echo",), ("pong",)):
            reply = self.start("reply", "-v", "-c", "1", self.topic("ask"), *program)
            reply.wait_for("subscribed to")
            run = subprocess.run(
                self.foreign("mosquitto_rr", "-V", "mqttv5", "-t", self.topic("ask"), "-e",
                             self.topic("answer"), "-m", "ping", "-W", "20", "-D", "publish",
                             "correlation-data", "c-7", "-F", "%p %D"),
                stdout=subprocess.PIPE, timeout=interop.DEADLINE)
            answer = b"ping" if program[0] == "--echo" else b"pong"
            self.assertEqual((run.returncode, run.stdout), (0, answer + b" c-7\n"))
            self.assertEqual(reply.end()[0], 0)

    def test_mosquitto_answers(self):
        """A program of two lines: what it needs of the request is in the message."""
        service = self.get("-q", "1", form="%R\t%D\t%p", topics=[self.topic("ask")])
        request = self.start("request", "-W", "20s", self.topic("ask"), "ping")
        where, what, body = service.line().split("\t")
        self.assertEqual(body, "ping")
        self.put("-q", "1", "-m", "pong", "-D", "publish", "correlation-data", what, topic=where)
        self.assertEqual(request.end()[:2], (0, b"pong\n"))

    def test_foreign_answers_are_told_apart(self):
        """Answers nobody waits for are passed over: without correlation, with another one."""
        service = self.get("-q", "1", form="%R\t%D\t%p", topics=[self.topic("ask")])
        request = self.start("request", "-W", "20s", self.topic("ask"), "ping")
        where, what, _ = service.line().split("\t")
        self.put("-q", "1", "-m", "none", topic=where)
        self.put("-q", "1", "-m", "other", "-D", "publish", "correlation-data", "x" + what, topic=where)
        self.put("-q", "1", "-m", "right", "-D", "publish", "correlation-data", what, topic=where)
        self.assertEqual(request.end()[:2], (0, b"right\n"))


if __name__ == "__main__":
    helps = subprocess.run([interop.support.PUBSUB, "--help"], stdout=subprocess.PIPE).stdout.decode()
    if not re.search(r"^\s+request\b", helps, re.M):
        print("skipped: this build has no pubsub request")
        sys.exit(77)
    interop.main()

# SPDX-License-Identifier: MIT
import json
import os
import pty
import shutil
import subprocess

import support

COMMANDS = ("pub", "sub", "request", "reply", "bench", "caps", "config", "version", "help", "completion")


class General(support.Case):
    def test_help_goes_to_stdout(self):
        for args in (("--help",), ("-h",), ("help",)) + tuple((c, "--help") for c in COMMANDS) + tuple(
                ("help", c) for c in COMMANDS):
            code, out, err = self.run_pubsub(*args)
            self.assertEqual((code, err), (0, ""), args)
            self.assertIn(b"Usage: pubsub", out)
            self.assertIn(b"EXAMPLES", out)

    def test_nothing_and_nonsense(self):
        code, out, err = self.run_pubsub()
        self.assertEqual((code, out), (2, b""))
        self.assertIn("Usage", err)
        self.fails(2, "pbu", says="did you mean pub")
        self.fails(2, "-c", "3", "sub", "t", says="before the command stand only")
        self.fails(2, "help", "nothing", says="no command")
        self.fails(2, "completion", "tcsh", says="bash, zsh or fish")

    def test_version(self):
        self.assertRegex(self.ok("version"), rb"^pubsub \d+\.\d+\.\d+\nadapters:.* local")
        self.assertEqual(self.ok("--version"), self.ok("version"))
        self.assertTrue(json.loads(self.ok("version", "--json"))["adapters"]["local"])

    def test_caps(self):
        self.assertRegex(self.ok("caps"), rb"(?m)^local +built in")
        self.assertRegex(self.ok("caps", "local:"), rb"(?m)^qos1 +native +native")
        self.assertRegex(self.ok("caps", "--offline", "-b", "local:"), rb"(?m)^qos2 +refused +-")
        caps = json.loads(self.ok("caps", "--json", "local:"))
        self.assertEqual(caps["features"]["qos1"]["server"], "native")
        self.assertIsInstance(json.loads(self.ok("caps", "--json")), list)
        self.fails(2, "caps", "nope:", says="unknown scheme")

    def test_manual_pages_are_clean(self):
        mandoc = shutil.which("mandoc")
        for name in COMMANDS + ("pubsub",):
            page = self.ok("help", "--man", name)
            self.assertIn(b".Sh EXIT STATUS", page)
            if mandoc:
                path = self.path("page.1", page)
                lint = subprocess.run([mandoc, "-T", "lint", "-W", "warning", path],
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                self.assertEqual(lint.stdout, b"", name)

    def test_completion_is_valid_shell(self):
        for shell, check in (("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]),
                             ("fish", ["fish", "--no-execute"])):
            script = self.path("script", self.ok("completion", shell))
            if shutil.which(shell):
                subprocess.run(check + [script], check=True)

    def test_completion_completes_in_bash(self):
        script = self.path("script", self.ok("completion", "bash"))
        code = ('. %s; COMP_WORDS=(pubsub sub --qo); COMP_CWORD=2; _pubsub; echo "${COMPREPLY[*]}";'
                'COMP_WORDS=(pubsub s); COMP_CWORD=1; _pubsub; echo "${COMPREPLY[*]}";'
                'COMP_WORDS=(pubsub sub --ack ""); COMP_CWORD=3; _pubsub; echo "${COMPREPLY[*]}"'
                % script)
        out = subprocess.run(["bash", "-c", code], stdout=subprocess.PIPE, check=True).stdout
        self.assertEqual(out, b"--qos\nsub\nauto exec none\n")

    def test_output_that_cannot_be_written(self):
        for args in (("help",), ("version",), ("caps",), ("-X", "list")):
            words = args if args[0] != "-X" else ("pub", "-X", "list", "t")
            with open("/dev/full", "wb") as full:
                self.assertEqual(self.start(*words, stdout=full).end()[0], 1, words)

    def test_option_list_and_dump(self):
        self.assertRegex(self.ok("pub", "-X", "list"), rb"(?m)^prefetch +messages")
        dump = self.ok("sub", "-X", "prefetch=5", "-X", "from=earliest", "-X", "dump", "t",
                       env={"PUBSUB_USER": "me", "PUBSUB_PASSWORD": "hidden"})
        for part in (b"broker = local:\n", b"prefetch = 5\n", b"subscribe: from = earliest\n",
                     b"user = me\n", b"password = ***\n"):
            self.assertIn(part, dump)
        self.assertNotIn(b"hidden", dump)

    def test_unknown_option(self):
        self.fails(2, "pub", "-X", "prefetsch=5", "t", "x", says="prefetch")
        self.fails(2, "pub", "-X", "prefetch", "t", "x", says="NAME=VALUE")

    def test_where_the_broker_comes_from(self):
        config = self.path("config", b"broker = local:%(d)s/file\nprefetch = 7\n[profile p]\n"
                           b"broker = local:%(d)s/profile\nprefetch = 8\n"
                           b"[profile default]\nprefetch = 9\n" % {b"d": self.dir.encode()})
        base = ("sub", "--config", config, "-X", "dump", "t")

        def broker(*args, **env):
            dump = self.ok(*base, *args, env=env).decode().splitlines()
            values = dict(line.split(" = ", 1) for line in dump)
            return values["broker"].replace(self.dir, ""), values["prefetch"]

        self.assertEqual(broker(), ("local:/file", "9"))
        self.assertEqual(broker(PUBSUB_PROFILE="p"), ("local:/profile", "8"))
        self.assertEqual(broker("--profile", "p"), ("local:/profile", "8"))
        self.assertEqual(broker("-b", "p"), ("local:/profile", "8"))
        self.assertEqual(broker(PUBSUB_BROKER="p"), ("local:/profile", "8"))
        self.assertEqual(broker(PUBSUB_BROKER="local:/env"), ("local:/env", "9"))
        self.assertEqual(broker("-b", "local:/flag", PUBSUB_BROKER="local:/env"), ("local:/flag", "9"))
        self.assertEqual(broker("--profile", "p", PUBSUB_BROKER="local:/env"), ("local:/profile", "8"))
        self.assertEqual(broker("--profile", "p", "-X", "prefetch=3"), ("local:/profile", "3"))
        self.fails(2, *base, "-b", "nope", says="no profile nope")
        self.fails(2, *base, "-b", "p", "--profile", "default", says="two profiles")

    def test_default_configuration_file(self):
        os.makedirs(self.path(".config/pubsub"))
        self.path(".config/pubsub/config", b"broker = local:/of/the/file\n")
        self.assertIn(b"broker = local:/of/the/file\n", self.ok("sub", "-X", "dump", "t"))
        self.path(".config/pubsub/config", b"broken\n")
        self.fails(2, "pub", "t", "x", says="config:1: ")

    def test_askpass_does_not_show_the_password(self):
        pid, fd = pty.fork()
        if pid == 0:
            os.execvpe(support.PUBSUB, [support.PUBSUB, "pub", "-b", "mqtt://h", "--askpass", "-X", "dump",
                                         "t"], self.env)
        out = b""
        asked = False
        while True:
            try:
                chunk = os.read(fd, 4096)
            except OSError:
                break
            if not chunk:
                break
            out += chunk
            if b"Password: " in out and not asked:
                asked = True
                os.write(fd, b"mysecret\n")
        os.close(fd)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        self.assertIn(b"password = ***", out)
        self.assertNotIn(b"mysecret", out)

    def test_wrong_brokers(self):
        self.fails(2, "pub", "-b", "nope:x", "t", "x", says="unknown scheme")
        self.fails(2, "pub", "-b", "local:/a%zz", "t", "x")
        for verb in (("pub", "t", "x"), ("sub", "t")):
            err = self.fails(2, *verb, env={"PUBSUB_BUS": self.path("file", b"")}, says="not a directory")
            self.assertEqual(len(err.splitlines()), 1)

    def test_bus_that_cannot_be_made(self):
        for verb in (("pub", "t", "x"), ("sub", "t"), ("caps", "local:")):
            self.fails(3, *verb, "-q", env={"PUBSUB_BUS": "/proc/nope/bus"})

    def test_damaged_log(self):
        """A segment that is lost or has a damaged head is told, and what follows it is still read."""
        numbers = b"".join(b"%d\n" % n for n in range(20000))
        limits = ("-X", "local.max_bytes=4M", "-X", "local.segment_bytes=65536")
        for at, damage in ((0, os.remove), (4, os.remove), (4, lambda path: self.overwrite(path, 64))):
            bus = {"PUBSUB_BUS": self.path("bus-%d-%s" % (at, damage.__name__))}
            self.ok("pub", "-l", *limits, "t", input=numbers, env=bus)
            log = os.path.join(bus["PUBSUB_BUS"], "log")
            damage(os.path.join(log, sorted(os.listdir(log))[at]))
            code, out, err = self.run_pubsub("sub", "--from", "earliest", "-e", "t", env=bus)
            self.assertEqual(code, 0, err)
            self.assertIn("damaged on disk", err)
            read = [int(line) for line in out.splitlines()]
            self.assertEqual(read[-1], 19999)
            self.assertLess(len(read), 20000)
            self.assertGreater(len(read), 15000)
            self.assertEqual(read, sorted(read))

    def test_lost_format(self):
        """Starting anew would hide what is stored."""
        self.ok("pub", "t", "x")
        os.remove(os.path.join(self.env["PUBSUB_BUS"], "FORMAT"))
        self.fails(3, "sub", "--from", "earliest", "-e", "t", says="FORMAT is missing")

    def test_damaged_retained_values(self):
        self.ok("pub", "-r", "t", "value")
        ret = os.path.join(self.env["PUBSUB_BUS"], "ret")
        path = os.path.join(ret, sorted(os.listdir(ret))[-1])
        with open(path, "r+b") as file:
            at = file.read().index(b"value")
            file.seek(at)
            file.write(b"v@lue")
        err = self.fails(1, "sub", "--from", "last", "-e", "t", says="retained values")
        self.assertIn("damaged", err)

    @staticmethod
    def overwrite(path, count):
        with open(path, "r+b") as file:
            file.write(b"\xa5" * count)

    def test_denied(self):
        if os.geteuid() == 0:
            self.skipTest("root is denied nothing")
        os.chmod(self.env["PUBSUB_BUS"], 0)
        self.addCleanup(os.chmod, self.env["PUBSUB_BUS"], 0o700)
        self.fails(4, "pub", "t", "x")

    def test_colors(self):
        env = {"NO_COLOR": "", "TERM": "xterm"}
        self.assertNotIn("\033", self.run_pubsub("pub", "t", env=dict(env), input=b"")[2])
        self.assertIn("\033[", self.run_pubsub("sub", "--color", "always", env=env)[2])
        self.assertNotIn("\033", self.run_pubsub("sub", "--color", "never", env=env)[2])

    def test_quiet_and_debug(self):
        self.assertEqual(self.run_pubsub("pub", "-q", "t", "x")[2], "")
        self.assertEqual(self.run_pubsub("pub", "t", "x")[2], "")
        self.assertIn("connected to local:", self.run_pubsub("pub", "-v", "t", "x")[2])


class RoundTrip(support.Case):
    def all_of(self, topic="#", **kwargs):
        out = self.ok("sub", "--from", "earliest", "-e", "-j", topic, **kwargs)
        messages = [json.loads(line) for line in out.splitlines()]
        for message in messages:
            for name in ("n", "recv", "ts", "offset"):
                message.pop(name)
        return out, messages

    def test_json_lines_give_back_the_same_messages(self):
        body = bytes(range(256))
        other = {"PUBSUB_BUS": self.path("other")}
        os.mkdir(other["PUBSUB_BUS"])
        self.ok("pub", "-f", self.path("body", body), "-k", "key", "-H", "a: 1", "-H", "a: 2",
                "--content-type", "x/y", "--reply-to", "r", "--correlation", "c", "t/é")
        self.ok("pub", "-n", "-k", "gone", "t/n")
        self.ok("pub", "-0l", "t/0", input=b"\xff\xfe\0plain\0\"quoted\" \\ \n\x01\0\0")
        text, first = self.all_of()
        self.assertEqual(len(first), 6)
        self.ok("pub", "--jsonl", input=text, env=other)
        _, second = self.all_of(env=other)
        self.assertEqual(first, second)
        self.assertEqual(self.ok("sub", "--from", "earliest", "-c", "1", "-N", "t/é", env=other), body)

    def test_topic_and_flags_override_the_lines(self):
        line = b'{"topic":"a","key":"k","payload":"x","retain":false}\n\n{"payload":"y"}\n'
        self.ok("pub", "--jsonl", "-k", "other", "t", input=line)
        self.assertEqual(self.stored("-F", "%t %k %v\\n", "#"), b"t other x\nt other y\n")

    def test_retained_values_are_copied_as_such(self):
        self.ok("pub", "-r", "t", "kept")
        text = self.ok("sub", "--only-retained", "-j", "t")
        other = {"PUBSUB_BUS": self.path("other")}
        os.mkdir(other["PUBSUB_BUS"])
        self.ok("pub", "--jsonl", input=text, env=other)
        self.assertEqual(self.ok("sub", "--only-retained", "t", env=other), b"kept\n")

    def test_wrong_lines_name_line_and_column(self):
        good = b'{"topic":"t","payload":"good"}\n'
        self.fails(2, "pub", "--jsonl", input=good + b'{"topic":"t",}\n', says="line 2, column")
        self.fails(2, "pub", "--jsonl", input=good + b'{"topic":5,"payload":""}\n', says='line 2: "topic"')
        self.fails(2, "pub", "--jsonl", input=b'{"payload":""}\n', says='"topic" is missing')
        self.assertEqual(self.stored("t"), b"good\ngood\n")


if __name__ == "__main__":
    support.main()

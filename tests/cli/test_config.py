# SPDX-License-Identifier: MIT
"""Settings: where they come from, which one counts, and that passwords stay secret."""
import json
import os
import pty
import subprocess

import support

SECRET = "hush-hush-9"
CONFIG = b"""# comment
profile = dev
prefetch = 7
[profile dev]
broker = local:
[profile prod]
broker = mqtts://me@broker.example:8883?client_id=cat
password_file = prod.pw
connect_timeout = 9s
[profile own]
broker = redis://:%s@host
""" % SECRET.encode()


class Config(support.Case):
    def setUp(self):
        super().setUp()
        os.makedirs(self.path(".config/pubsub"))
        self.file = self.path(".config/pubsub/config", CONFIG)
        self.path(".config/pubsub/prod.pw", SECRET.encode() + b"\n")

    def rewrite(self, text):
        self.path(".config/pubsub/config", text)

    def settings(self, *args, **kwargs):
        """name -> (value, origin, detail)"""
        shown = json.loads(self.ok("config", "show", "--json", "-q", *args, **kwargs))
        return {s["name"]: (s["value"], s["origin"], s["detail"].replace(self.file, "FILE"))
                for s in shown["settings"]}

    def both(self, *args, **kwargs):
        """stdout and stderr, whatever the exit code."""
        _, out, err = self.run_pubsub(*args, **kwargs)
        return out.decode() + err

    # ---- show, list, path

    def test_show_names_every_origin(self):
        got = self.settings("-b", "prod", "-X", "ack=manual", env={"PUBSUB_USER": "me"})
        self.assertEqual(got["broker"], ("mqtts://me@broker.example:8883?client_id=cat", "profile", "FILE:7"))
        self.assertEqual(got["profile"], ("prod", "flag", "--broker"))
        self.assertEqual(got["prefetch"], ("7", "file", "FILE:3"))
        self.assertEqual(got["connect_timeout"], ("9s", "profile", "FILE:9"))
        self.assertEqual(got["client_id"], ("cat", "URL", "URL"))
        self.assertEqual(got["tls"], ("yes", "URL", "URL"))
        self.assertEqual(got["port"], ("8883", "URL", "URL"))
        self.assertEqual(got["ack"], ("manual", "flag", "--option"))
        self.assertEqual(got["linger"], ("0", "default", ""))
        self.assertEqual(got["password"], ("***", "profile", "FILE:8"))
        got = self.settings("-b", "mqtt://h", env={"PUBSUB_USER": "you"})
        self.assertEqual(got["broker"], ("mqtt://h", "flag", "--broker"))
        self.assertEqual(got["user"], ("you", "environment", "PUBSUB_USER"))
        self.assertEqual(self.settings()["local.dir"],
                         (self.env["PUBSUB_BUS"], "environment", "PUBSUB_BUS"))

    def test_show_for_people(self):
        plain = self.ok("config", "show").decode()
        self.assertIn("broker = local:\n", plain)
        self.assertIn("linger = 0\n", plain)
        self.assertNotIn("#", plain)
        self.assertEqual(self.ok("config").decode(), plain)
        origin = self.ok("config", "show", "--origin", "--no-defaults").decode()
        self.assertRegex(origin, r"(?m)^prefetch = 7 +# file .*/config:3$")
        self.assertRegex(origin, r"(?m)^profile = dev +# file .*/config:2$")
        self.assertNotIn("linger", origin)
        self.fails(2, "config", "nothing", says="show, path or list")
        self.fails(2, "config", "show", "list", says="one word")

    def test_show_refuses_what_the_broker_would_refuse(self):
        self.fails(2, "config", "show", "-b", "local:?no_such=1", says="no_such")

    def test_list(self):
        out = self.ok("config", "list").decode()
        self.assertRegex(out, r"(?m)^\* dev +local:$")
        self.assertRegex(out, r"(?m)^  own +redis://:\*\*\*@host$")
        self.assertNotIn(SECRET, out)
        rows = json.loads(self.ok("config", "list", "--json", env={"PUBSUB_PROFILE": "prod"}))
        self.assertEqual([(r["profile"], r["default"]) for r in rows],
                         [("dev", False), ("prod", True), ("own", False)])
        # A profile that does not exist must not keep anybody from looking.
        self.assertNotIn("*", self.ok("config", "list", env={"PUBSUB_PROFILE": "gone"}).decode()
                         .replace("***", ""))
        os.remove(self.file)
        code, out, err = self.run_pubsub("config", "list")
        self.assertEqual((code, out), (0, b""))
        self.assertIn("no configuration file", err)

    def test_path(self):
        def rows(*args, **env):
            return [(r["path"], r["state"], r["named_by"])
                    for r in json.loads(self.ok("config", "path", "--json", *args, env=env))]

        self.assertEqual(rows()[0], (self.file, "used", "HOME"))
        self.assertEqual(rows()[1][0], "/etc/pubsub/config")
        self.assertEqual(rows(XDG_CONFIG_HOME=self.dir)[0],
                         (self.dir + "/pubsub/config", "missing", "XDG_CONFIG_HOME"))
        self.assertEqual(rows(XDG_CONFIG_HOME="relative")[0][0], self.file)
        self.assertEqual(rows(PUBSUB_CONFIG="/x/y"), [("/x/y", "missing", "PUBSUB_CONFIG")])
        self.assertEqual(rows("--config", "/x/z", PUBSUB_CONFIG="/x/y"), [("/x/z", "missing", "--config")])
        self.assertRegex(self.ok("config", "path"), rb"(?m)^used +/")

    # ---- which file, which profile

    def test_file_by_environment(self):
        other = self.path("other", b"prefetch = 99\n")
        self.assertEqual(self.settings(env={"PUBSUB_CONFIG": other})["prefetch"][0], "99")
        self.assertEqual(self.settings("--config", other)["prefetch"][0], "99")
        self.fails(2, "pub", "t", "x", says="PUBSUB_CONFIG", env={"PUBSUB_CONFIG": "/none/such"})
        self.fails(2, "pub", "--config", "/none/such", "t", "x", says="/none/such")
        self.ok("pub", "t", "x", env={"HOME": "/dev/null"})

    def test_byte_order_mark(self):
        self.rewrite(b"\xef\xbb\xbfprefetch = 8\r\n")
        self.assertEqual(self.settings()["prefetch"][0], "8")

    def test_errors_name_file_and_line(self):
        for text, words in ((b"\nprefetsch = 5\n", "did you mean 'prefetch'?"),
                            (b"\nbrokr = local:\n", "did you mean 'broker'?"),
                            (b"\npassword-file = x\n", "did you mean 'password_file'?"),
                            (b"\nprefetch = many\n", "many"),
                            (b"\nbroker = nope:x\n", None),
                            (b"\nbroker = mqtt://u:%s@h:99999\n" % SECRET.encode(), "port"),
                            (b"\npassword_file = gone\n", "gone"),
                            (b"\nprefetch\n", "key = value"),
                            (b"[profile default]\nprofile = x\n", "before the first part")):
            self.rewrite(text)
            err = self.fails(2, "pub", "t", "x", says=words)
            self.assertEqual(len(err.splitlines()), 1, err)
            self.assertNotIn(SECRET, err)
            if words is not None:
                self.assertIn("%s:2: " % self.file, err)

    def test_unknown_profiles(self):
        self.fails(2, "pub", "-b", "prdo", "t", "x", says="did you mean prod?")
        self.fails(2, "pub", "t", "x", says="PUBSUB_PROFILE: no profile zzzz", env={"PUBSUB_PROFILE": "zzzz"})
        os.remove(self.file)
        self.fails(2, "pub", "-b", "prod", "t", "x", says="config path")

    # ---- what counts

    def test_precedence(self):
        text = b"connect_timeout = 1s\n[profile p]\nconnect_timeout = 2s\nbroker = mqtt://h%s\n[profile q]\n"
        self.rewrite(text % b"")
        self.assertEqual(self.settings("-b", "q")["connect_timeout"][:2], ("1s", "file"))
        self.assertEqual(self.settings("-b", "p")["connect_timeout"][:2], ("2s", "profile"))
        self.rewrite(text % b"?connect_timeout=3s")
        self.assertEqual(self.settings("-b", "p")["connect_timeout"][:2], ("3s", "URL"))
        got = self.settings("-b", "p", "--timeout", "4s")
        self.assertEqual(got["connect_timeout"], ("4000", "flag", "--timeout"))

    def test_users(self):
        def user(*args, **env):
            return self.settings("-b", "mqtt://a@h", *args, env=env)["user"][:2]

        self.assertEqual(user(PUBSUB_USER="b"), ("a", "URL"))
        self.assertEqual(user("-u", "b"), ("b", "flag"))
        self.assertEqual(self.settings("-b", "mqtt://a@h", "-u", "b")["broker"][0], "mqtt://h")
        self.assertEqual(self.settings("-b", "mqtt://a@h")["broker"][0], "mqtt://a@h")
        self.assertEqual(self.settings("-b", "prod")["user"], ("me", "URL", "URL"))

    def test_a_password_goes_only_where_it_belongs(self):
        def origin(*args, **env):
            return self.settings(*args, env=env).get("password", (None, None))[1]

        self.assertEqual(origin("-b", "prod"), "profile")
        self.assertEqual(origin("-b", "prod", PUBSUB_PASSWORD="x"), "environment")
        self.assertEqual(origin("-b", "prod", PUBSUB_USER="other", PUBSUB_PASSWORD="x"), "profile")
        self.assertIsNone(origin("-b", "prod", "-u", "other"))
        self.assertIsNone(origin("-b", "mqtt://elsewhere", PUBSUB_PROFILE="prod"))
        self.assertEqual(origin("-b", "mqtt://elsewhere", "--profile", "prod"), None)  # it is for me
        self.assertEqual(origin("-b", "mqtt://me@elsewhere", "--profile", "prod"), "profile")
        self.assertEqual(origin("-b", "mqtt://a@h", PUBSUB_PASSWORD="x"), "environment")
        err = self.run_pubsub("config", "show", "-v", "-b", "prod", "-u", "other")[2]
        self.assertIn("it is for another user", err)

    # ---- options before the command

    def test_options_before_the_command(self):
        self.ok("-b", "local:", "-q", "pub", "t", "x")
        self.assertEqual(self.stored("t"), b"x\n")
        self.assertEqual(self.ok("-b", "prod", "-q", "config", "show"),
                         self.ok("config", "show", "-b", "prod", "-q"))
        self.assertEqual(self.ok("--broker=prod", "-Xprefetch=3", "-q", "config", "show"),
                         self.ok("config", "show", "-b", "prod", "-X", "prefetch=3", "-q"))
        # What comes later counts, and the letter keeps its meaning.
        self.assertIn(b"broker = local:\n", self.ok("-b", "prod", "config", "show", "-b", "local:"))
        self.assertIn(b"client_id = c\n", self.ok("-b", "mqtt://h", "-i", "c", "bench", "-X", "dump"))
        self.assertEqual(self.ok("-b", "prod", "version"), self.ok("version"))
        self.assertEqual(self.ok("-b", "prod", "--help"), self.ok("--help"))
        self.assertEqual(self.ok("-q", "--version"), self.ok("version"))
        self.fails(2, "-t", "a", "pub", says="before the command")
        self.fails(2, "-b", says="needs a value")
        self.assertEqual(self.run_pubsub("-b", "local:")[0], 2)

    def test_completion_before_and_after(self):
        script = self.path("script", self.ok("completion", "bash"))
        code = ('. %s; try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _pubsub; echo "${COMPREPLY[*]}"; };'
                'try pubsub -b x conf; try pubsub -b x -q sub --qo; try pubsub config ""; try pubsub --prof'
                % script)
        out = subprocess.run(["bash", "-c", code], stdout=subprocess.PIPE, check=True).stdout
        self.assertEqual(out, b"config\n--qos\nshow path list\n--profile\n")

    # ---- nothing is ignored silently

    def test_flags_that_local_cannot_heed(self):
        secret = self.path("secret", b"x\n")
        for flags in (("--tls",), ("-u", "me"), ("--password", "x"), ("--password-file", secret),
                      ("--tls-ca", secret), ("--tls-insecure",), ("-X", "user=me"), ("-X", "tls=yes"),
                      ("-X", "host=h")):
            err = self.fails(7, "pub", *flags, "t", "x", says="local:")
            self.assertIn(flags[0] if flags[0] != "-u" else "--user", err)
        for url in ("local://u:%s@h" % SECRET, "local://host", "local:?user=x", "local:?tls=yes"):
            self.assertNotIn(SECRET, self.fails(7, "pub", "-b", url, "t", "x"))
        for flags in (("--no-tls",), ("-X", "tls=no"), ("-X", "mqtt.keep_alive=5")):
            self.ok("pub", *flags, "t", "x")
        # What a profile or the environment says is for whichever broker it suits.
        self.rewrite(b"user = me\ntls = yes\n")
        self.assertEqual(self.run_pubsub("pub", "t", "x", env={"PUBSUB_PASSWORD": "p"})[2], "")

    # ---- passwords

    def test_password_files(self):
        path = self.path("secret", b"from file\r\nsecond line\n")
        empty = self.path("empty", b"\n")
        got = self.settings("-b", "mqtt://h", env={"PUBSUB_PASSWORD_FILE": path})
        self.assertEqual(got["password"], ("***", "environment", "PUBSUB_PASSWORD_FILE"))
        got = self.settings("-b", "mqtt://h", "--password-file", path)
        self.assertEqual(got["password"], ("***", "flag", "--password-file"))
        for name in (empty, "/none/such"):
            self.fails(2, "pub", "-b", "mqtt://h", "--password-file", name, "t", "x", says="--password-file")
        self.path("home.pw", b"x\n")
        self.rewrite(b"[profile p]\nbroker = mqtt://h\npassword_file = ~/home.pw\n")
        self.assertEqual(self.settings("-b", "p")["password"][2], "FILE:3")

    def test_password_in_a_file_others_can_read(self):
        self.rewrite(b"broker = mqtt://h\npassword = %s\n" % SECRET.encode())
        os.chmod(self.file, 0o644)
        _, out, err = self.run_pubsub("config", "show")
        self.assertIn("chmod 600", err)
        self.assertNotIn(SECRET, out.decode() + err)
        os.chmod(self.file, 0o600)
        self.assertNotIn("chmod", self.run_pubsub("config", "show")[2])

    def ask(self, typed):
        """What --askpass shows on a terminal, and the exit code."""
        pid, fd = pty.fork()
        if pid == 0:
            os.execvpe(support.PUBSUB, [support.PUBSUB, "config", "show", "-b", "mqtt://h", "--askpass",
                                        "--origin"], self.env)
        out = b""
        typed_at = None
        while True:
            try:
                chunk = os.read(fd, 4096)
            except OSError:
                break
            if not chunk:
                break
            out += chunk
            if b"Password: " in out and typed_at is None:
                typed_at = os.write(fd, typed)
        os.close(fd)
        return out.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def test_askpass(self):
        out, code = self.ask(SECRET.encode() + b"\n")
        self.assertEqual(code, 0, out)
        self.assertRegex(out, r"password = \*\*\* +# flag --askpass")
        self.assertNotIn(SECRET, out)
        for typed in (b"\n", b"\x04"):
            out, code = self.ask(typed)
            self.assertEqual(code, 2, out)
            self.assertIn("no password was given", out)
        for _ in range(10):  # wherever the command is between asking and reading
            self.assertEqual(self.ask(b"\x03")[1], 130)
        self.fails(2, "pub", "-b", "mqtt://h", "--askpass", "t", "x", says="terminal", start_new_session=True)

    def test_passwords_are_never_printed(self):
        url = "mqtt://u:%s@127.0.0.1:1" % SECRET
        env = {"PUBSUB_PASSWORD": SECRET}
        tries = [
            ("pub", "-b", url, "-d", "--timeout", "2s", "t", "x"),
            ("sub", "-b", url, "-vd", "--reconnect", "never", "-W", "1s", "t"),
            ("config", "show", "--origin", "-b", url), ("config", "show", "-j", "-b", url),
            ("pub", "-b", url, "-X", "dump", "t"), ("caps", url), ("caps", "--offline", "-j", url),
            ("pub", "-b", "u:%s@host" % SECRET, "t", "x"), ("config", "-b", "mqtt://h?password=" + SECRET),
            ("pub", "-b", "mqtt://u:%s@@h" % SECRET, "t", "x"), ("pub", "-b", url + ":99999", "t", "x"),
            (url,), ("bench", "t", url), ("help", url), ("pub", "--askpass=" + SECRET, "t", "x"),
            ("pub", "-b", "mqtt://h", "-X", "pasword=" + SECRET, "t", "x"),
            ("pub", "-b", "mqtt://h", "--pasword=" + SECRET, "t", "x"),
            ("config", "-b", "mqtt://h", "--password", SECRET), ("config", "-b", "own"),
            ("config", "-b", "kafka://h", "-X", "kafka.ssl.key.password=" + SECRET),
            ("bench", "-b", url, "--report", "json", "-z", "100ms", "--timeout", "2s"),
        ]
        for words in tries:
            self.assertNotIn(SECRET, self.both(*words), words)
            self.assertNotIn(SECRET, self.both(*words, env=env), words)
        warned = self.run_pubsub("config", "-b", "mqtt://h", "--password", SECRET)[2]
        self.assertIn("--password-file", warned)

    def command_line(self, *words):
        """What the list of processes shows of a command while it reads its configuration."""
        fifo = self.path("fifo")
        os.mkfifo(fifo)
        running = self.start(*words, "--config", fifo, "-X", "dump", "t")
        with open(fifo, "wb") as file:  # returns when the command opens the other end
            with open("/proc/%d/cmdline" % running.process.pid, "rb") as proc:
                line = proc.read()
            file.write(b"")
        os.remove(fifo)
        code, out, err = running.end()
        self.assertEqual(code, 0, err)
        self.assertNotIn(SECRET, out.decode() + err)
        return line.split(b"\0"), out

    def test_passwords_are_not_in_the_process_list(self):
        for words in (("pub", "-b", "mqtt://u:%s@h"), ("sub", "--broker=mqtt://u:%s@h/p?a=b"),
                      ("-b", "mqtt://u:%s@h", "pub"),
                      ("pub", "-b", "mqtt://h?password=%s&client_id=x"),
                      ("pub", "-b", "mqtt://h", "--password", "%s"),
                      ("sub", "-b", "mqtt://h", "--password=%s"),
                      ("pub", "-b", "mqtt://h", "-X", "password=%s"), ("pub", "-b", "mqtt://h", "-Xpassword=%s"),
                      ("pub", "-b", "kafka://h", "-X", "kafka.ssl.key.password=%s")):
            line, out = self.command_line(*(w.replace("%s", SECRET) for w in words))
            self.assertNotIn(SECRET.encode(), b" ".join(line), words)
            stars = [w.replace("%s", "*" * len(SECRET)).encode() for w in words]
            self.assertEqual(line[1:1 + len(words)], stars)
            self.assertIn(b"***", out)  # the command itself has it


if __name__ == "__main__":
    support.main()

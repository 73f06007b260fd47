# SPDX-License-Identifier: MIT
"""Nothing that is printed or answered has a secret in it, however a secret was given and whatever fails.
Every test of this folder looks at what its commands and bridges wrote; here it is what is looked for."""
import bridging


class Secrets(bridging.Case):
    def everything(self, running):
        """All that it answers, too; and what the other commands make of the same file."""
        for path in ("/live", "/ready", "/status", "/metrics", "/" + bridging.SECRET[:4]):
            _, headers, body = running.get(path)
            self.outputs.append((path, repr(headers).encode() + body))

    def go_through(self, source, model, broker=None, more=""):
        file = self.config({"s": source, "feed": self.exec_source(self.journal())},
                           [{"name": "one", "source": "s", "model": model, "topic": "t"},
                            {"name": "two", "source": "feed", "model": "m", "topic": "u"}],
                           "drain: 100ms\n" + more, broker=broker)
        for words in (("check", file), ("check", "--json", file), ("check", "--connect", file),
                      ("check", "--connect", "--json", file), ("spool", "check", file),
                      ("check", "--set", "routes.one.nothing=" + bridging.SECRET, file),
                      ("check", "--set", "sources.s.url=mqtt://u:%s@127.0.0.1:1/%%zz" % bridging.SECRET, file)):
            code = self.command(*words)[0]
            self.assertIn(code, range(0, 9), words)
        running = self.bridge(file, "-vv")
        running.until_route("one", "an error", lambda route: route["error"] != "" or route["state"] == "active")
        self.everything(running)
        self.command("status", file)
        self.command("status", "--json", file)
        running.signal(bridging.signal.SIGHUP).wait_for("is in force")
        self.path("bridge.yaml", "brokers: {main: 'mqtt://u:%s@h:x'}\n" % bridging.SECRET)
        running.signal(bridging.signal.SIGHUP).wait_for("goes on as before")
        running.signal(bridging.signal.SIGTERM)
        self.assertIn(running.end(), (0, 1, 6), running.log())
        self.assertGreater(len(running.log()), 100)

    def test_couchdb(self):
        for auth in ({"auth": "basic", "password": bridging.SECRET}, {"auth": "session", "password": {"env": "SECRET"}},
                     {"auth": "bearer", "token": "${SECRET}"},
                     {"auth": "iam", "iam_key": bridging.SECRET, "iam_url": "http://127.0.0.1:1/identity/token"}):
            couch = bridging.Couch(self, "--user", "u", "--password-file", self.path("p", "other"))
            user = {"user": "u"} if "password" in auth else {}
            self.go_through(dict({"connector": "couchdb", "url": couch.url}, **auth, **user), "accounts")

    def test_password_in_a_url(self):
        self.go_through({"connector": "couchdb", "url": "http://u:%s@127.0.0.1:1" % bridging.SECRET}, "accounts") \
            if self.accepts("http://u:%s@127.0.0.1:1" % bridging.SECRET) else None

    def accepts(self, url):
        """Whether the file is right so; a finding is looked through like all output."""
        file = self.config({"s": {"connector": "couchdb", "url": url}}, [{"model": "a", "topic": "t"}])
        running = self.bridge(file, "-vv", wait=False)
        bridging.until("something", lambda: running.log() or not running.alive())
        return running.kill() or running.process.returncode == -bridging.signal.SIGKILL

    def test_brokers(self):
        for scheme in ("mqtt", "amqp", "redis+streams"):
            url = "%s://u:%s@127.0.0.1:1" % (scheme, bridging.SECRET)
            self.go_through({"connector": "broker", "url": url}, "in", url)

    def test_webhook(self):
        for kind in ("github", "stripe", "standard", "hmac"):
            secret = "whsec_" + bridging.base64.b64encode(bridging.SECRET.encode()).decode()
            self.go_through({"connector": "webhook", "listen": "127.0.0.1:%d" % self.free_port(), "signature": kind,
                             "secret": secret if kind == "standard" else [bridging.SECRET, "b" + bridging.SECRET]},
                            "m", more="log: {format: json, level: trace}\n")

    def test_exec(self):
        self.go_through({"connector": "exec", "command": ["/bin/false"], "env": ["KEY=" + bridging.SECRET]}, "m")


if __name__ == "__main__":
    bridging.main()

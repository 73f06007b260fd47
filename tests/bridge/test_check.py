# SPDX-License-Identifier: MIT
"""check, connectors, and how the command is spoken to."""
import json
import subprocess

import bridging

WRONG = """\
state: ./state
brokers:
  main: local:bus
sources:
  crm:
    connector: cuchdb
routes:
  - model: accounts
    topic: /v1/{modle}
    qos: 3
"""


class Check(bridging.Case):
    def couch_file(self, url, broker=None, **more):
        return self.config({"crm": dict({"connector": "couchdb", "url": url}, **more)},
                           [{"model": "accounts", "topic": "t"}], broker=broker)

    def test_right_file(self):
        file = self.couch_file("http://127.0.0.1:1")
        code, out, err = self.command("check", file)
        self.assertEqual((code, out, err), (0, "%s: 1 route, nothing wrong\n" % file, ""))
        self.assertEqual(json.loads(self.command("check", "--json", file)[1]),
                         {"file": file, "ok": True, "more": 0, "findings": []})

    def test_all_findings_at_once(self):
        file = self.path("wrong.yaml", WRONG)
        code, out, err = self.command("check", file)
        self.assertEqual((code, out), (2, ""))
        lines = err.splitlines()
        self.assertEqual([line.split(" ")[0] for line in lines],
                         ["%s:%s:" % (file, at) for at in ("6:16", "9:12", "10:10")])
        self.assertIn("did you mean 'couchdb'?", lines[0])
        self.assertIn("did you mean {model}?", lines[1])
        self.assertIn("routes[0].qos", lines[2])

    def test_findings_as_json(self):
        file = self.path("wrong.yaml", WRONG)
        code, out, err = self.command("check", "--json", file)
        self.assertEqual((code, err), (2, ""))
        told = json.loads(out)
        self.assertFalse(told["ok"])
        self.assertEqual([(f["line"], f["column"], f["path"]) for f in told["findings"]],
                         [(6, 16, "sources.crm.connector"), (9, 12, "routes[0].topic"), (10, 10, "routes[0].qos")])

    def test_files_that_are_none(self):
        for name, text, says in (("absent.yaml", None, "No such file"), ("empty.yaml", "", ""),
                                 ("tab.yaml", "brokers:\n\tmain: x\n", ":2:1"),
                                 ("list.yaml", "- a\n", ":1:1"), ("twice.yaml", "state: a\nstate: b\n", ":2:1"),
                                 ("bomb.yaml", "a: &a [x,x]\nb: &b [*a,*a,*a]\nc: <<\n", "")):
            path = self.path(name, text)
            code, out, err = self.command("check", path)
            self.assertEqual((name, code, out), (name, 2, ""))
            self.assertIn(path, err)
            self.assertIn(says, err)
            self.assertEqual(self.command("run", path)[0], 2)
        self.assertEqual(self.command("check", self.dir)[0], 2)

    def test_many_findings(self):
        file = self.path("many.yaml", "".join("x%d: 1\n" % n for n in range(5000)))
        code, _, err = self.command("check", file)
        self.assertEqual(code, 2)
        self.assertIn("more\n", err)
        self.assertLess(len(err), 200000)

    def test_what_a_broker_cannot_do(self):
        file = self.couch_file("http://127.0.0.1:1", broker="redis://127.0.0.1:1")
        code, _, err = self.command("check", file)
        self.assertEqual(code, 7)
        for word in ("redis", "qos", "degrade: allow"):
            self.assertIn(word, err)
        self.assertEqual(self.command("check", "--set", "routes[0].degrade=allow", file)[0], 0)
        code, _, err = self.command("check", "--broker", "nats://x", file)
        self.assertEqual(code, 2)
        self.assertIn("nats", err)

    def test_limits_of_a_shared_address(self):
        """An address has one limit of connections: a second source on it cannot have another."""
        def file(other):
            settings = {"connector": "webhook", "listen": "127.0.0.1:%d" % port}
            return self.config({"one": dict(settings, path="/one"), "two": dict(settings, path="/two") | other}, [
                {"name": name, "source": name, "model": "m", "topic": "t"} for name in ("one", "two")])

        port = self.free_port()
        for setting, here, there in (("max_connections", 100, 2000), ("max_connections_per_address", 10, 500)):
            wrong = file({setting: here})
            code, _, err = self.command("check", wrong)
            self.assertEqual(code, 2, err)
            self.assertIn("two: %s: source 'one' listens on the same address and has %d" % (setting, there), err)
            self.assertEqual(self.command("run", wrong)[0], 2)
        elsewhere = {"max_connections": 100, "listen": "127.0.0.1:%d" % self.free_port()}
        for other in ({}, {"max_connections": 2000}, elsewhere):
            code, _, err = self.command("check", file(other))
            self.assertEqual(code, 0, err)

    def test_connect(self):
        couch = bridging.Couch(self)
        file = self.couch_file(couch.url)
        code, out, err = self.command("check", "--connect", file)
        self.assertEqual(code, 0, err)
        self.assertIn("sources and brokers reached", out)
        code, _, err = self.command("check", "--connect", "--set", "routes[0].model=nobody", file)
        self.assertNotEqual(code, 0)
        self.assertIn("nobody", err)
        couch.process.kill()
        code, _, err = self.command("check", "--connect", file)
        self.assertEqual(code, 3, err)
        code, _, err = self.command("check", "--connect", "--broker", "mqtt://127.0.0.1:1", file)
        self.assertEqual(code, 3)
        self.assertIn("brokers.", err)

    def test_connect_denied(self):
        password = self.path("password", bridging.SECRET)
        couch = bridging.Couch(self, "--user", "reader", "--password-file", password)
        wrong = self.path("wrong", "wrong-" + bridging.SECRET)
        for auth in ("basic", "session"):
            file = self.couch_file(couch.url, user="reader", password={"file": password}, auth=auth)
            self.assertEqual(self.command("check", "--connect", file)[0], 0)
            file = self.couch_file(couch.url, user="reader", password={"file": wrong}, auth=auth)
            code, _, err = self.command("check", "--connect", file)
            self.assertEqual((auth, code), (auth, 4), err)
            code, out, _ = self.command("check", "--connect", "--json", file)
            self.assertFalse(json.loads(out)["ok"])

    def test_secrets_are_not_shown(self):
        open_to_all = self.path("open", bridging.SECRET, 0o644)
        file = self.couch_file("http://127.0.0.1:1", user="u", password={"file": open_to_all})
        code, _, err = self.command("check", file)
        self.assertEqual(code, 2)
        self.assertIn("open", err)
        for text in ("${SECRET}x: 1\n", "state: ${SECRET}\nlisten: ${SECRET}\n", "log: {level: ${SECRET}}\n",
                     "brokers: {a: 'mqtt://u:%s@h:p'}\n" % bridging.SECRET,
                     "brokers: {a: 'mqtt://u:%s@h?x=1'}\n" % bridging.SECRET,
                     "brokers: {a: {url: local:x, password: {env: SECRET}, qos: 7}}\n",
                     "sources: {a: {connector: couchdb, url: u, password: [%s]}}\n" % bridging.SECRET,
                     "sources: {a: {connector: webhook, secret: %s, tolerance: ${SECRET}}}\n" % bridging.SECRET):
            path = self.path("s.yaml", text)
            self.assertEqual(self.command("check", path)[0], 2)
            self.assertEqual(self.command("run", path)[0], 2)
            self.command("check", "--json", path)


class Speaking(bridging.Case):
    def test_usage(self):
        for words, says in (((), "which command"), (("chek", "x"), 'did you mean "check"'),
                            (("check",), "usage"), (("check", "a", "b"), "usage"),
                            (("check", "--jsn", "x"), 'did you mean "--json"'), (("run", "--json", "x"), "--json"),
                            (("check", "--set"), "PATH=VALUE"), (("spool", "chek", "x"), "none of them")):
            code, out, err = self.command(*words)
            self.assertEqual((words, code, out), (words, 2, ""))
            self.assertIn(says, err)
            self.assertTrue(all(line.startswith("pubsub-bridge: ") for line in err.splitlines()), err)

    def test_help(self):
        code, out, err = self.command("help")
        self.assertEqual((code, err), (0, ""))
        for name in ("run", "check", "status", "spool", "connectors"):
            self.assertIn("\n  %s " % name, out)
            self.assertIn("Usage: pubsub-bridge %s" % name, self.command("help", name)[1])
            self.assertEqual(self.command(name, "--help")[0], 0)
        self.assertEqual(self.command("help", "nothing")[0], 2)
        self.assertRegex(self.command("version")[1], r"^pubsub-bridge \d+\.\d+\.\d+")

    def test_connectors(self):
        code, out, _ = self.command("connectors")
        self.assertEqual(code, 0)
        listed = json.loads(self.command("connectors", "--json")[1])
        self.assertEqual([line.split()[0] for line in out.splitlines()], [c["name"] for c in listed])
        for connector in listed:
            code, out, _ = self.command("connectors", connector["name"])
            self.assertEqual(code, 0)
            for setting in connector["settings"]:
                self.assertIn("  %s " % setting["name"], out)
        code, _, err = self.command("connectors", "couchbd")
        self.assertEqual(code, 2)
        self.assertIn("couchdb", err)

    def test_closed_stdout(self):
        with open("/dev/full", "wb") as full:
            code = subprocess.run([bridging.BRIDGE, "connectors"], stdout=full,
                                           stderr=subprocess.PIPE, env=self.env).returncode
        self.assertEqual(code, 1)


if __name__ == "__main__":
    bridging.main()

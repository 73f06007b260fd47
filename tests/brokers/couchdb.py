# SPDX-License-Identifier: MIT
"""Sources of changes: our own server that speaks like CouchDB 3, and pouchdb-server from the npm registry."""
import os
import shutil
import sys
import urllib.error
import urllib.request

import kinds
import npm
import probe

SERVERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "servers")


def ask(port):
    """Any answer to GET / will do, also one that asks who we are."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
            pass
    except urllib.error.HTTPError as error:
        error.close()
    except OSError as error:
        raise probe.NotReady(str(error)) from error


class Couchdb3(kinds.Kind):
    """--set database=accounts: an option of the server, without its dashes."""
    name = "couchdb3"
    grace = 2
    patience = 15

    def missing(self):
        return None

    def ports(self, instance):
        return ["plain"] + ["tls"] * instance.tls

    def configure(self, instance):
        argv = [sys.executable, "-B", os.path.join(SERVERS, "couchdb3.py"),
                "--port", str(instance.port("plain"))]
        instance.url("plain", f"http://127.0.0.1:{instance.port('plain')}")
        if instance.has("auth"):
            (user, _), _ = instance.make_users()
            argv += ["--user", user, "--password-file", instance.state["password_file"]]
        if instance.tls:
            _, cert, key = instance.certificates()
            argv += ["--tls-port", str(instance.port("tls")), "--cert", cert, "--key", key]
            instance.url("tls", f"https://localhost:{instance.port('tls')}")
        instance.node("couchdb3", argv + ["--" + text for text in instance.state["settings"]])

    def ready(self, instance, node):
        ask(instance.port("plain"))


class Pouchdb(kinds.Kind):
    name = "pouchdb"
    grace = 5
    patience = 60

    def missing(self):
        if shutil.which("node") is None:
            return "node is not installed (package nodejs)"
        if npm.POUCHDB.modules() is None and os.environ.get("PUBSUB_TEST_REQUIRE_BROKERS") != "1":
            return "pouchdb-server is not in the cache: tests/brokers/broker.py fetch pouchdb"
        return None

    def ports(self, instance):
        return ["plain"]

    def configure(self, instance):
        modules = npm.POUCHDB.fetch(lambda text: print(text, file=sys.stderr))
        port = instance.port("plain")
        instance.url("plain", f"http://127.0.0.1:{port}")
        instance.node("pouchdb", [
            shutil.which("node"), os.path.join(modules, "pouchdb-server", "bin", "pouchdb-server"),
            "--host", "127.0.0.1", "--port", str(port), "--dir", instance.folder("data"),
            "--no-stdout-logs"])

    def ready(self, instance, node):
        ask(instance.port("plain"))

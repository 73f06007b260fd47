# SPDX-License-Identifier: MIT
"""What the kinds of brokers have in common: variants, users, certificates, addresses.

A kind turns an Instance (directory, variants, settings, ports) into configuration files, nodes (the
processes to start) and URLs, and knows how to ask a node whether it is ready.
"""
import os
import secrets

import certs

# Variants that mean the same for every kind.
COMMON = {
    "stock": "the package's own limits (default)",
    "generous": "limits raised or removed",
    "small": "limits so low that a test can fill them",
    "auth": "users with passwords: one who may do all, one who may use open/ only; nobody else",
    "tls": "TLS as well, with a certificate for localhost",
    "tls-client": "TLS that asks for a client certificate",
    "tls-expired": "TLS with a certificate whose time is over",
    "tls-mismatch": "TLS with a certificate for another host",
}
FULL_USER, LIMITED_USER = "pubsub", "limited"


class Instance:
    """One broker. Everything that must survive the command is in self.state, kept in state.json."""

    def __init__(self, state):
        self.state = state

    @property
    def dir(self):
        return self.state["dir"]

    def has(self, *variants):
        return any(variant in self.state["variants"] for variant in variants)

    @property
    def tls(self):
        return any(variant.startswith("tls") for variant in self.state["variants"])

    def port(self, name):
        return self.state["ports"][name]

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def folder(self, name):
        os.makedirs(self.path(name), mode=0o700, exist_ok=True)
        return self.path(name)

    def write(self, name, text):
        """Write a private file; settings of the caller are not added."""
        path = self.path(name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
                  encoding="utf-8") as file:
            file.write(text)
        return path

    def config(self, name, lines):
        """Write a configuration file: our lines, then the caller's, which win."""
        return self.write(name, "\n".join(list(lines) + self.state["settings"]) + "\n")

    def node(self, name, argv, env=None):
        self.state["nodes"].append({"name": name, "argv": argv, "env": env or {}, "cwd": self.dir})

    def url(self, name, url):
        self.state["urls"][name] = url

    def make_users(self):
        """Passwords, in files; (user, password) of both users."""
        self.state["user"] = FULL_USER
        self.state["password_file"] = self.write("password", secrets.token_hex(12) + "\n")
        self.state["limited_user"] = LIMITED_USER
        self.state["limited_password_file"] = self.write("password-limited",
                                                         secrets.token_hex(12) + "\n")
        return ((FULL_USER, self.password()), (LIMITED_USER, self.password("limited_password_file")))

    def password(self, which="password_file"):
        name = self.state.get(which)
        if not name:
            return None
        with open(name, encoding="utf-8") as file:
            return file.read().rstrip("\n")

    def certificates(self):
        """Make or find them; (authority, server certificate, its key) as this variant shows them."""
        folder = certs.make(self.state["ca_dir"])
        name = "server"
        for wrong in ("expired", "mismatch"):
            if self.has(f"tls-{wrong}"):
                name = wrong
        for key, file in (("ca", "ca.pem"), ("wrong_ca", "wrong-ca.pem"), ("cert", "client.pem"),
                          ("key", "client.key"), ("wrong_cert", "wrong-client.pem"),
                          ("wrong_key", "wrong-client.key")):
            self.state[key] = os.path.join(folder, file)
        return (self.state["ca"], os.path.join(folder, f"{name}.pem"),
                os.path.join(folder, f"{name}.key"))


class Kind:
    """The base of the kinds. grace: seconds a broker gets to end by itself."""
    name = ""
    variants = {}
    grace = 10
    patience = 60

    def missing(self):
        """What is not installed, as a sentence, or None."""
        raise NotImplementedError

    def ports(self, instance):
        """Names of the ports it needs; "plain" is the one --port sets."""
        raise NotImplementedError

    def configure(self, instance):
        raise NotImplementedError

    def ready(self, instance, node):
        """Ask one node; raises probe.NotReady."""
        raise NotImplementedError

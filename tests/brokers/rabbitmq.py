# SPDX-License-Identifier: MIT
"""RabbitMQ: AMQP 0-9-1, and MQTT through its plug-in.

Started without the package's wrapper, as the user who calls: nothing outside the directory is read
or written. epmd, which RabbitMQ would start and leave behind, is a node of ours.
"""
import base64
import hashlib
import json
import os
import secrets
import shutil

import certs
import kinds
import probe

SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"


def password_hash(password):
    salt = os.urandom(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


class Rabbitmq(kinds.Kind):
    name = "rabbitmq"
    variants = {
        "mqtt": "the MQTT plug-in as well",
        "tls-login": "TLS where a client certificate is a login: its common name is the user",
        "blocked": "a disk alarm from the beginning: publishers are blocked",
    }
    grace = 20
    patience = 90

    def missing(self):
        if not os.path.exists(SERVER) or shutil.which("epmd") is None:
            return "RabbitMQ is not installed (package rabbitmq-server)"
        return None

    def ports(self, instance):
        names = ["plain", "dist", "epmd"] + ["tls"] * instance.tls
        return names + ["mqtt"] * instance.has("mqtt")

    def configure(self, instance):
        lines = [f"listeners.tcp.1 = 127.0.0.1:{instance.port('plain')}",
                 "loopback_users.guest = true", "log.console = true", "log.file = false"]
        lines += self.limits(instance) + self.access(instance)
        instance.url("plain", f"amqp://127.0.0.1:{instance.port('plain')}")
        if instance.tls:
            ca, cert, key = instance.certificates()
            asked = instance.has("tls-client")
            looked_at = asked or instance.has("tls-login")
            lines += [f"listeners.ssl.1 = 127.0.0.1:{instance.port('tls')}",
                      f"ssl_options.cacertfile = {ca}", f"ssl_options.certfile = {cert}",
                      f"ssl_options.keyfile = {key}",
                      f"ssl_options.verify = verify_{'peer' if looked_at else 'none'}",
                      f"ssl_options.fail_if_no_peer_cert = {str(asked).lower()}"]
            instance.url("tls", f"amqps://localhost:{instance.port('tls')}")
        if instance.has("tls-login"):
            lines += ["auth_mechanisms.1 = PLAIN", "auth_mechanisms.2 = EXTERNAL",
                      "ssl_cert_login_from = common_name"]
        if instance.has("mqtt"):
            lines += [f"mqtt.listeners.tcp.1 = 127.0.0.1:{instance.port('mqtt')}",
                      f"mqtt.allow_anonymous = {str(not instance.has('auth')).lower()}"]
            instance.url("mqtt", f"mqtt://127.0.0.1:{instance.port('mqtt')}")
        instance.config("rabbitmq.conf", lines)
        plugins = ["rabbitmq_mqtt"] * instance.has("mqtt")
        plugins += ["rabbitmq_auth_mechanism_ssl"] * instance.has("tls-login")
        instance.write("enabled_plugins", f"[{','.join(plugins)}].\n")
        epmd = str(instance.port("epmd"))
        instance.node("epmd", [shutil.which("epmd"), "-address", "127.0.0.1", "-port", epmd])
        instance.node("rabbitmq", [SERVER], self.environment(instance))

    def environment(self, instance):
        for name, text in (("rabbitmq-env.conf", ""), ("advanced.config", "[].\n")):
            instance.write(name, text)
        return {
            "HOME": instance.dir,
            "RABBITMQ_NODENAME": f"pubsub-{secrets.token_hex(4)}@localhost",
            "RABBITMQ_CONF_ENV_FILE": instance.path("rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": instance.path("rabbitmq"),
            "RABBITMQ_CONFIG_FILES": instance.folder("conf.d"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": instance.path("advanced.config"),
            "RABBITMQ_GENERATED_CONFIG_DIR": instance.folder("generated"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": instance.path("enabled_plugins"),
            "RABBITMQ_PLUGINS_EXPAND_DIR": instance.path("plugins"),
            "RABBITMQ_MNESIA_BASE": instance.folder("data"),
            "RABBITMQ_LOG_BASE": instance.folder("logs"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": instance.path("rabbitmq.pid"),
            "RABBITMQ_DIST_PORT": str(instance.port("dist")),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(instance.port("epmd")),
            # Makes the start script become the server instead of waiting for it: one process to
            # signal, and the kernel's tie to the watcher holds for the server itself.
            "RUNNING_UNDER_SYSTEMD": "true",
            "NOTIFY_SOCKET": "",
        }

    def limits(self, instance):
        if instance.has("generous"):
            return ["max_message_size = 536870912", "vm_memory_high_watermark.relative = 0.8",
                    "consumer_timeout = 86400000"]
        if instance.has("small"):
            return ["max_message_size = 65536", "channel_max = 8", "consumer_timeout = 5000"]
        if instance.has("blocked"):
            return ["disk_free_limit.absolute = 1000000GB"]
        return []

    def access(self, instance):
        definitions = {"vhosts": [{"name": "/"}], "users": [], "permissions": [], "policies": []}
        if instance.has("small"):
            definitions["policies"].append(
                {"vhost": "/", "name": "small", "pattern": ".*", "apply-to": "queues", "priority": 0,
                 "definition": {"max-length": 10, "overflow": "reject-publish"}})
        if instance.has("auth"):
            (full, word), (limited, limited_word) = instance.make_users()
            for user, secret, tags in ((full, word, "administrator"), (limited, limited_word, "")):
                definitions["users"].append(
                    {"name": user, "password_hash": password_hash(secret), "tags": tags,
                     "hashing_algorithm": "rabbit_password_hashing_sha256"})
            for user, may in ((full, ".*"), (limited, r"^(open|amq\.gen|amq\.topic).*")):
                definitions["permissions"].append(
                    {"user": user, "vhost": "/", "configure": may, "write": may, "read": may})
            definitions["topic_permissions"] = [
                {"user": limited, "vhost": "/", "exchange": "amq.topic", "write": r"^open\..*",
                 "read": r"^open\..*"}]
        else:
            instance.state["user"] = "guest"
            instance.state["password_file"] = instance.write("password", "guest\n")
        if not instance.has("auth", "small", "tls-login"):
            return []
        others = [] if instance.has("auth") else [("guest", "guest", "administrator")]
        if instance.has("tls-login"):
            others.append((certs.CLIENT, secrets.token_hex(12), ""))
        for user, secret, tags in others:
            definitions["users"].append(
                {"name": user, "password_hash": password_hash(secret), "tags": tags,
                 "hashing_algorithm": "rabbit_password_hashing_sha256"})
            definitions["permissions"].append(
                {"user": user, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"})
        path = instance.write("definitions.json", json.dumps(definitions, indent=1) + "\n")
        lines = [f"load_definitions = {path}"]
        if instance.has("auth"):  # else it makes a user guest before it loads them
            lines += [f"default_user = {instance.state['user']}",
                      f"default_pass = {instance.password()}"]
        return lines

    def ready(self, instance, node):
        if node["name"] == "epmd":
            with probe.Line(instance.port("epmd")):
                return
        who = (instance.state["user"], instance.password())
        probe.amqp(instance.port("plain"), None, *who)
        if instance.tls:
            probe.amqp(instance.port("tls"), instance.state["ca_dir"], *who)
        if instance.has("mqtt"):
            probe.mqtt(instance.port("mqtt"), None, *who)

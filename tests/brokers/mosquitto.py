# SPDX-License-Identifier: MIT
"""Mosquitto: MQTT over TCP, TLS and WebSocket."""
import base64
import hashlib
import os
import shutil

import kinds
import probe


def password_line(user, password):
    """A line of a password file: PBKDF2 with SHA-512, so that no tool has to see the password."""
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    words = (base64.b64encode(part).decode() for part in (salt, digest))
    return f"{user}:$7$101${'$'.join(words)}\n"


class Mosquitto(kinds.Kind):
    name = "mosquitto"
    variants = {
        "ws": "MQTT over WebSocket as well",
        "persistence": "keeps sessions and retained messages on disk, saved at its end",
        "autosave": "persistence, saved after each change; what it confirmed just before a kill may be gone",
    }
    grace = 5
    patience = 15

    def missing(self):
        return None if program() else "mosquitto is not installed (package mosquitto)"

    def ports(self, instance):
        return ["plain"] + ["tls"] * instance.tls + ["ws"] * instance.has("ws")

    def configure(self, instance):
        lines = ["per_listener_settings false", "log_dest stderr"]
        if os.getuid() == 0:
            lines.append("user root")  # else it becomes another user, who cannot read our files
        lines += self.limits(instance) + self.access(instance)
        lines += [f"listener {instance.port('plain')} 127.0.0.1"]
        instance.url("plain", f"mqtt://127.0.0.1:{instance.port('plain')}")
        if instance.tls:
            ca, cert, key = instance.certificates()
            lines += [f"listener {instance.port('tls')} 127.0.0.1", f"cafile {ca}",
                      f"certfile {cert}", f"keyfile {key}",
                      f"require_certificate {str(instance.has('tls-client')).lower()}"]
            instance.url("tls", f"mqtts://localhost:{instance.port('tls')}")
        if instance.has("ws"):
            # Without socket_domain it listens on every address, whatever the listener line says.
            lines += [f"listener {instance.port('ws')} 127.0.0.1", "socket_domain ipv4",
                      "protocol websockets"]
            instance.url("ws", f"ws://127.0.0.1:{instance.port('ws')}/mqtt")
        path = instance.config("mosquitto.conf", lines)
        instance.node("mosquitto", [program(), "-c", path])

    def limits(self, instance):
        lines = []
        if instance.has("generous"):
            lines += ["max_queued_messages 0", "max_inflight_messages 0"]
        if instance.has("small"):
            lines += ["max_queued_messages 10", "max_inflight_messages 5", "message_size_limit 65536",
                      "max_packet_size 70000"]
        if instance.has("persistence", "autosave"):
            lines += ["persistence true", f"persistence_location {instance.folder('data')}/"]
        if instance.has("autosave"):
            lines += ["autosave_on_changes true", "autosave_interval 1"]
        return lines

    def access(self, instance):
        if not instance.has("auth"):
            return ["allow_anonymous true"]
        users = instance.make_users()
        words = instance.write("passwd", "".join(password_line(*user) for user in users))
        rules = instance.write("acl", f"user {kinds.FULL_USER}\ntopic readwrite #\n"
                               "topic read $SYS/#\n"
                               f"user {kinds.LIMITED_USER}\ntopic readwrite open/#\n")
        return ["allow_anonymous false", f"password_file {words}", f"acl_file {rules}"]

    def ready(self, instance, node):
        who = (instance.state.get("user"), instance.password())
        probe.mqtt(instance.port("plain"), None, *who)
        if instance.tls:
            probe.mqtt(instance.port("tls"), instance.state["ca_dir"], *who)
        if instance.has("ws"):
            probe.mqtt_websocket(instance.port("ws"))


def program():
    """Debian keeps it where the path of an ordinary user does not look."""
    return shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")

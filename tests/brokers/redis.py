# SPDX-License-Identifier: MIT
"""Redis: pub/sub and streams."""
import shutil

import kinds
import probe


class Redis(kinds.Kind):
    name = "redis"
    variants = {
        "aof-off": "append-only file off, no snapshots: nothing survives",
        "aof-on": "append-only file, written to disk every second",
        "aof-always": "append-only file, written to disk before each answer",
    }
    grace = 5
    patience = 15

    def missing(self):
        if shutil.which("redis-server") is None:
            return "redis-server is not installed (package redis-server)"
        return None

    def ports(self, instance):
        return ["plain"] + ["tls"] * instance.tls

    def configure(self, instance):
        lines = ["bind 127.0.0.1", f"port {instance.port('plain')}", "daemonize no",
                 f"dir {instance.folder('data')}", "logfile \"\""]
        lines += self.storage(instance) + self.limits(instance)
        instance.url("plain", f"redis://127.0.0.1:{instance.port('plain')}")
        instance.url("streams", f"redis+streams://127.0.0.1:{instance.port('plain')}")
        if instance.has("auth"):
            (full, word), (limited, limited_word) = instance.make_users()
            # The password without a user name, as programs before Redis 6 give it, works too.
            lines += [f"requirepass {word}",
                      f"user {full} on >{word} ~* &* +@all",
                      f"user {limited} on >{limited_word} ~open/* &open/* +@all -@dangerous -@admin"]
        if instance.tls:
            ca, cert, key = instance.certificates()
            asked = "yes" if instance.has("tls-client") else "no"
            lines += [f"tls-port {instance.port('tls')}", f"tls-ca-cert-file {ca}",
                      f"tls-cert-file {cert}", f"tls-key-file {key}", f"tls-auth-clients {asked}"]
            instance.url("tls", f"rediss://localhost:{instance.port('tls')}")
            instance.url("streams_tls", f"rediss+streams://localhost:{instance.port('tls')}")
        path = instance.config("redis.conf", lines)
        instance.node("redis", [shutil.which("redis-server"), path])

    def storage(self, instance):
        if instance.has("aof-off"):
            return ["appendonly no", "save \"\""]
        if instance.has("aof-on"):
            return ["appendonly yes", "appendfsync everysec"]
        if instance.has("aof-always"):
            return ["appendonly yes", "appendfsync always"]
        return []

    def limits(self, instance):
        if instance.has("generous"):
            return ["client-output-buffer-limit pubsub 0 0 0", "client-output-buffer-limit normal 0 0 0"]
        if instance.has("small"):
            return ["maxmemory 16mb", "maxmemory-policy noeviction", "proto-max-bulk-len 1mb",
                    "client-output-buffer-limit pubsub 256kb 128kb 5"]
        return []

    def ready(self, instance, node):
        probe.redis(instance.port("plain"), None, instance.password())
        if instance.tls:
            probe.redis(instance.port("tls"), instance.state["ca_dir"], instance.password())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who may include whom. Dependencies point one way: programs -> public headers -> nothing above."""
import os
import re

from source_tree import Findings, code_only, line_of, read, run, tree_files

# Folder -> what it may include: prefixes of "..." includes (seen from core/ or adapters/), and of
# <pubsub/...> includes. Its own folder is always allowed. The longest matching folder counts.
API = ["pubsub/"]          # public headers, without those for adapter authors
SPI = ["pubsub/", "pubsub/spi/"]
RULES = {
    "core/include/pubsub": ([], ["pubsub/", "pubsub/spi/option.h"]),
    "core/include/pubsub/spi": ([], SPI),
    "core/base": (["base/"], ["pubsub/types.h"]),
    "core/error": (["base/"], API),
    "core/log": (["base/"], API),
    "core/topic": (["base/", "error/", "log/"], API),
    "core/url": (["base/", "error/", "log/"], API),
    "core/options": (["base/", "error/", "log/"], SPI),
    "core/message": (["base/", "error/", "log/"], SPI),
    "core/transport": (["base/", "error/", "log/"], SPI),
    "core/mqtt": (["base/", "error/", "log/"], API),
    "core/client": (["base/", "error/", "log/", "message/", "options/", "topic/", "transport/",
                     "url/"], SPI),
    "adapters": (["base/", "options/known.h", "client/registry.h"], SPI),
    # What a module takes from the library instead of having it twice.
    "adapters/module": (["base/"], SPI),
    # The one table of topics and routing keys is in core/topic.
    "adapters/amqp": (["base/", "topic/container.h"], SPI),
    "adapters/kafka": (["base/", "topic/container.h", "module/options.h"], SPI),
    "cli": (["base/"], API),
    # The bridge's own folders, from the bottom up.
    "bridge/include": ([], API),
    "bridge/json": (["base/"], API),
    "bridge/host": (["base/"], API),
    "bridge/http": (["base/", "host/"], API),
    "bridge/connectors": (["base/", "connectors/", "host/", "http/", "json/"], API),
    "bridge/config": (["base/", "connectors/", "json/"], API),
    "bridge/engine": (["base/", "config/", "connectors/", "host/", "json/"], API),
    "bridge/ops": (["base/", "config/", "engine/", "host/", "http/", "json/"], API),
    "bridge": (["base/", "config/", "connectors/", "engine/", "host/", "http/", "json/", "ops/"],
               API),
    "benchmarks": (["base/"], API),
    # These two measure a part by itself, so they see it.
    "benchmarks/micro": (["base/", "message/", "options/", "topic/", "url/"], SPI),
    "benchmarks/baselines": (["base/", "local/"], API),
    "examples": ([], API),
    # An adapter built outside the tree.
    "examples/adapter-memory": ([], SPI),
}
# A foreign library's header appears in the folders named here and nowhere else.
FOREIGN = {
    "uv.h": ["core/client", "core/transport", "bridge/host", "bridge/http", "benchmarks", "tests"],
    "jansson.h": ["cli", "bridge", "benchmarks", "tests"],
    "yaml.h": ["bridge/config", "tests"],
    "curl/": ["bridge/http", "benchmarks", "tests"],
    "libwebsockets.h": ["bridge/http", "tests"],
    "cmocka.h": ["tests"],
    "openssl/": ["core/transport", "bridge/connectors", "benchmarks/bridge", "tests"],
    "librdkafka/": ["adapters/kafka", "benchmarks", "tests/interop"],
    "MQTTAsync.h": ["adapters/mqtt", "benchmarks", "tests/interop"],
    "MQTTClient.h": ["adapters/mqtt", "benchmarks", "tests/interop"],
    "hiredis/": ["adapters/redis", "benchmarks", "tests/interop"],
    "amqp": ["adapters/amqp", "benchmarks", "tests/interop"],
}
ROOTS = ("core", "adapters", "bridge", "bridge/include", "cli", "benchmarks", "tests")  # -I of the builds
INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*([<\"])([^>\"\n]+)[>\"]", re.M)


def inside(name, folder):
    return name.startswith(folder + "/")


def folder_rule(name):
    best = max((f for f in RULES if inside(name, f)), key=len, default=None)
    return best, RULES.get(best)


def own_room(name):
    """The folder whose files know each other: core/topic, adapters/local, cli, bridge/doors/sse."""
    parts = name.split("/")
    deep = {"core": 2, "adapters": 2, "bridge": 3}.get(parts[0], 1)
    return "/".join(parts[:min(deep, len(parts) - 1)])


def pubsub_allowed(target, prefixes):
    if target.startswith("pubsub/spi/"):
        return any(p != "pubsub/" and target.startswith(p) for p in prefixes)
    return any(target.startswith(p) for p in prefixes)


def quoted_allowed(name, target, allowed):
    room = own_room(name)
    if "/" not in target:
        return True
    beside = os.path.normpath(os.path.join(os.path.dirname(name), target))
    places = [beside] + [os.path.join(base, target) for base in ROOTS]
    return any(p in FILES and inside(p, room) for p in places) or any(
        target.startswith(p) for p in allowed)


def check_file(name, found):
    text = read(name)
    code = code_only(text)
    folder, rule = folder_rule(name)
    includes = [m for m in INCLUDE.finditer(text) if code[m.start():m.end()].lstrip().startswith("#")]
    for match in includes:
        kind, target = match.groups()
        line = line_of(text, match.start())
        if target.startswith("../") or "/../" in target:
            found.add(name, line, f"includes upwards: {target}")
        for prefix, rooms in FOREIGN.items():
            if kind == "<" and target.startswith(prefix) and not any(inside(name, r) for r in rooms):
                found.add(name, line, f"<{target}> belongs to {', '.join(rooms)}")
        if rule is None:
            continue
        quoted, public = rule
        if target.startswith("pubsub/"):
            if kind == '"':
                found.add(name, line, f"write <{target}>")
            elif not pubsub_allowed(target, public):
                found.add(name, line, f"{folder} may not include <{target}>")
        elif kind == '"' and not quoted_allowed(name, target, quoted):
            found.add(name, line, f"{folder} may not include \"{target}\"")
    check_own_first(name, includes, text, found)


def check_own_first(name, includes, text, found):
    if not name.endswith(".c") or name.startswith("tests/"):
        return
    own = name[:-2] + ".h"
    if own in FILES and includes and not ("/" + own).endswith("/" + includes[0].group(2)):
        found.add(name, line_of(text, includes[0].start()), f"its own header {own} comes first")


def main():
    found = Findings()
    for name in sorted(FILES):
        if name.endswith((".c", ".h")):
            found.looked_at += 1
            check_file(name, found)
    return found.finish("include rules")


FILES = frozenset(tree_files())
if __name__ == "__main__":
    run(main)

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Start private brokers for tests on free loopback ports, and stop them by process id.

A broker lives in a directory with its configuration, data, logs and state.json. Only brokers that
were started here are ever touched. See docs/brokers.md.

Exit codes: 0 done, 1 failed, 2 wrong usage, 77 not installed.
"""
import argparse
import contextlib
import fcntl
import json
import os
import re
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # leaves nothing in the tree
import couchdb
import kafka
import kinds
import mosquitto
import npm
import ports
import probe
import process
import pypi
import rabbitmq
import redis
from process import die

KINDS = {kind.name: kind for kind in (mosquitto.Mosquitto(), redis.Redis(), rabbitmq.Rabbitmq(),
                                      kafka.Kafka(), couchdb.Couchdb3(), couchdb.Pouchdb())}
DOWNLOADS = {"kafka": (kafka.fetch, kafka.jars), "amqplib": (npm.AMQPLIB.fetch, npm.AMQPLIB.modules),
             "pouchdb": (npm.POUCHDB.fetch, npm.POUCHDB.modules),
             "kafka-python": (pypi.KAFKA.fetch, pypi.KAFKA.folder)}
STATE = "state.json"
TAKEN = re.compile(r"address already in use|eaddrinuse|address in use", re.I)


class Failed(Exception):
    pass


def patience(seconds):
    """Time limits are stretched by the same variable as those of the C tests."""
    try:
        factor = float(os.environ.get("PUBSUB_TEST_SLOW", "1"))
    except ValueError:
        factor = 1.0
    return seconds * min(max(factor, 1.0), 1000.0)


# --- state ---

def save(state):
    path = os.path.join(state["dir"], STATE)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(state, file, indent=1)
    os.rename(path + ".new", path)


def load(directory):
    directory = os.path.abspath(directory)
    try:
        with open(os.path.join(directory, STATE), encoding="utf-8") as file:
            state = json.load(file)
        if state["dir"] != os.path.realpath(directory) or state["kind"] not in KINDS:
            die(f"{directory} was moved or changed; not touched")
        return state
    except (OSError, ValueError, KeyError):
        return die(f"{directory} holds no broker that was started here")


@contextlib.contextmanager
def locked(directory):
    """One command at a time for one broker."""
    with open(os.path.join(directory, "lock"), "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def default_root():
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    path = os.path.join(base, f"pubsub-brokers-{os.getuid()}")
    os.makedirs(path, mode=0o700, exist_ok=True)
    if os.stat(path).st_uid != os.getuid():
        die(f"{path} belongs to somebody else")
    return path


def find(root):
    """The directories that hold a broker: root itself or directly below it."""
    below = sorted(os.scandir(root), key=lambda entry: entry.name) if os.path.isdir(root) else []
    for directory in [root] + [entry.path for entry in below if entry.is_dir(follow_symlinks=False)]:
        if os.path.exists(os.path.join(directory, STATE)):
            yield directory


def nodes_of(state, name):
    nodes = [node for node in state["nodes"] if name in (None, node["name"])]
    if not nodes:
        die(f"no node {name}; there are " + ", ".join(node["name"] for node in state["nodes"]))
    return nodes


def condition(state):
    alive = [node for node in state["nodes"] if process.alive(node.get("process"))]
    if not alive:
        return "stopped"
    if any(process.paused(node["process"]) for node in alive):
        return "paused"
    return "running" if len(alive) == len(state["nodes"]) else "partly running"


# --- starting ---

def launch(instance, node):
    state = instance.state
    log = instance.path(f"{node['name']}.log")
    node["process"], node["watcher"] = process.launch(
        node, log, state["owner"], state["dir"] if state["remove"] else None)
    save(state)


def wait_ready(kind, instance, nodes):
    until = time.monotonic() + patience(kind.patience)
    for node in nodes:
        while True:
            try:
                kind.ready(instance, node)
                break
            except probe.NotReady as error:
                why = error
            for other in nodes:
                if not process.alive(other["process"]):
                    raise Failed(f"{other['name']} ended before it was ready\n{tail(instance, other)}")
            if time.monotonic() > until:
                raise Failed(f"{node['name']} is not ready after {kind.patience} s ({why})\n"
                             f"{tail(instance, node)}")
            time.sleep(0.02)


def tail(instance, node):
    try:
        with open(instance.path(f"{node['name']}.log"), encoding="utf-8", errors="replace") as file:
            return "".join("    " + line for line in file.readlines()[-25:]).rstrip()
    except OSError:
        return "    (no log)"


def launch_all(kind, instance, nodes):
    """epmd has to answer before RabbitMQ starts; Kafka's nodes need each other, so all at once."""
    for node in nodes:
        launch(instance, node)
        if node["name"] == "epmd":
            wait_ready(kind, instance, [node])
    wait_ready(kind, instance, nodes)
    for node in nodes:
        beyond = process.open_to_others(node["process"][0]) if sys.byteorder == "little" else []
        if beyond:
            raise Failed(f"{node['name']} listens beyond this machine: {' '.join(beyond)}")


def end_all(state, grace):
    for node in reversed(state["nodes"]):
        if node.get("process"):
            if not process.end(node["process"], grace):
                die(f"{node['name']}, process {node['process'][0]}, does not end")
            process.Handle(node["watcher"]).wait(5)
            node["process"] = node["watcher"] = None


def new_state(kind, options, directory):
    state = {
        "kind": kind.name, "variants": options.variants, "settings": options.set, "dir": directory,
        "ca_dir": os.path.abspath(options.ca) if options.ca else os.path.join(directory, "ca"),
        "owner": None, "remove": options.remove, "ports": {}, "nodes": [], "urls": {},
    }
    if options.owner is not None:
        began = process.start_time(options.owner)
        if began is None:
            die(f"there is no process {options.owner}", 2)
        state["owner"] = [options.owner, began]
    return state


def try_start(kind, options, directory):
    instance = kinds.Instance(new_state(kind, options, directory))
    state = instance.state
    begin = time.monotonic()
    try:
        for name in kind.ports(instance):
            fixed = options.port if name == "plain" else None
            state["ports"][name] = ports.reserve(directory, fixed)
        kind.configure(instance)
        launch_all(kind, instance, state["nodes"])
    except BaseException:
        end_all(state, 0)
        ports.release(directory, state["ports"].values())
        with contextlib.suppress(OSError):
            os.unlink(instance.path(STATE))
        raise
    state["ready_ms"] = round((time.monotonic() - begin) * 1000)
    save(state)
    return state


def make_directory(options, kind):
    if options.dir:
        directory = os.path.realpath(options.dir)
        os.makedirs(directory, mode=0o700, exist_ok=True)
        if os.listdir(directory):
            die(f"{directory} is not empty; to start that broker again: broker.py restart", 2)
        return directory
    return os.path.realpath(tempfile.mkdtemp(prefix=kind.name + "-", dir=options.root or default_root()))


def start(options):
    kind = KINDS[options.kind]
    options.variants = [word for text in options.variant for word in text.split(",") if word]
    known = {**kinds.COMMON, **kind.variants}
    for variant in options.variants:
        if variant not in known:
            die(f"{kind.name} has no variant {variant}; there are: {' '.join(known)}", 2)
    missing = kind.missing()
    if missing:
        die(missing, 77)
    directory = make_directory(options, kind)
    with locked(directory):
        for attempt in range(3):
            try:
                tell(try_start(kind, options, directory), options.format)
                return
            except (Failed, OSError) as error:
                if not TAKEN.search(str(error)) or options.port is not None or attempt == 2:
                    if options.remove:
                        process.remove_tree(directory)
                    die(f"cannot start {kind.name}: {error}")


def restart(options):
    with locked(options.dir):
        state = load(options.dir)
        kind, instance = KINDS[state["kind"]], kinds.Instance(state)
        nodes = nodes_of(state, options.node)
        for node in nodes:
            if node.get("process"):
                process.end(node["process"], patience(kind.grace))
                process.Handle(node["watcher"]).wait(5)
            node["process"] = node["watcher"] = None
        begin = time.monotonic()
        try:
            launch_all(kind, instance, nodes)
        except Failed as error:
            end_all(state, 0)
            save(state)
            die(f"cannot start {kind.name} again: {error}")
        state["ready_ms"] = round((time.monotonic() - begin) * 1000)
        save(state)
        tell(state, options.format)


# --- signals and stopping ---

def stop_one(directory, now, remove):
    with locked(directory):
        state = load(directory)
        remove = remove or state["remove"]
        # Nobody reads data that is thrown away, so nobody has to wait until it is written well.
        end_all(state, 0 if now or remove else patience(KINDS[state["kind"]].grace))
        save(state)
    if remove:  # until then the ports stay reserved, for a restart
        ports.release(state["dir"], state["ports"].values())
        process.remove_tree(state["dir"])


def stop(options):
    stop_one(options.dir, options.now, options.remove)


def stop_all(options):
    for directory in list(find(options.dir)):
        stop_one(directory, options.now, options.remove)


def signal_nodes(options, number):
    with locked(options.dir):
        for node in nodes_of(load(options.dir), options.node):
            handle = process.Handle(node.get("process"))
            handle.send(number)
            if number == signal.SIGKILL and not handle.wait(10):
                die(f"{node['name']} does not end")
            handle.close()
            if number == signal.SIGKILL:
                process.Handle(node.get("watcher")).wait(5)


# --- telling ---

def pid(node):
    """0 when it does not run."""
    return node["process"][0] if process.alive(node.get("process")) else 0


def summary(state):
    main = [node for node in state["nodes"] if node["name"] != "epmd"][0]
    shown = {"kind": state["kind"], "state": condition(state), "variants": state["variants"],
             "pid": pid(main), "port": state["ports"]["plain"],
             "url": state["urls"].get("tls") or state["urls"]["plain"], "urls": state["urls"],
             "nodes": {node["name"]: pid(node) for node in state["nodes"]},
             "ports": state["ports"]}
    for key in ("ca", "wrong_ca", "cert", "key", "wrong_cert", "wrong_key", "user", "password_file",
                "limited_user", "limited_password_file", "dir"):
        shown[key] = state.get(key)
    shown["log"] = os.path.join(state["dir"], main["name"] + ".log")
    shown["ready_ms"] = state.get("ready_ms")
    return shown


def tell(state, form):
    shown = summary(state)
    if form == "json":
        print(json.dumps(shown), flush=True)
        return
    for key, value in shown.items():
        if isinstance(value, dict):
            for name, entry in value.items():
                print(f"{key.rstrip('s')}_{name.replace('-', '_')}={entry}")
        elif isinstance(value, list):
            print(f"{key}={','.join(value)}")
        elif value is not None:
            print(f"{key}={value}")
    sys.stdout.flush()


def status(options):
    for directory in find(options.dir or default_root()):
        tell(load(directory), options.format)


def check(options):
    """What is installed; fails with 77 when something is not."""
    missing = [KINDS[name].missing() for name in options.kinds or KINDS]
    for text in filter(None, missing):
        print(text, file=sys.stderr)
    sys.exit(77 if any(missing) else 0)


def fetch(options):
    DOWNLOADS[options.what][0](lambda text: print(text, file=sys.stderr))


def cached(options):
    path = DOWNLOADS[options.what][1]()
    if path:
        print(path)
    sys.exit(0 if path else 1)


def variants(options):
    for name, text in {**kinds.COMMON, **KINDS[options.kind].variants}.items():
        print(f"{name:14} {text}")


def arguments():
    parser = argparse.ArgumentParser(prog="broker.py", description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name, run, text):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    def add_format(command):
        command.add_argument("--format", choices=("json", "env"), default="json",
                             help="one line of JSON, or lines key=value")

    def add_dir(name, run, text, node=True):
        command = add(name, run, text)
        command.add_argument("dir", metavar="DIR")
        if node:
            command.add_argument("--node", help="only this process of it, such as kafka-2")
        return command

    command = add("start", start, "start a broker, say where it is once it is ready")
    command.add_argument("kind", choices=KINDS)
    command.add_argument("--variant", action="append", default=[], help="see the command variants")
    command.add_argument("--set", action="append", default=[], metavar="LINE",
                         help="a line for its configuration file, after ours")
    command.add_argument("--dir", help="an empty directory for it; default: a new one below the root")
    command.add_argument("--root", help="where that new one is made")
    command.add_argument("--port", type=int, help="the port of its plain listener; default: a free one")
    command.add_argument("--ca", metavar="DIR", help="share the certificates of this directory")
    command.add_argument("--owner", type=int, metavar="PID", help="end it when this process ends")
    command.add_argument("--remove", action="store_true", help="remove the directory at its end")
    add_format(command)
    add_format(add_dir("restart", restart, "end it if it runs, start it: same ports, same data"))
    for name, number, text in (("kill", signal.SIGKILL, "kill -9"), ("pause", signal.SIGSTOP, "SIGSTOP"),
                               ("resume", signal.SIGCONT, "SIGCONT")):
        add_dir(name, lambda options, number=number: signal_nodes(options, number), text)
    for name, run, text in (("stop", stop, "end it"), ("stop-all", stop_all, "end all below a root")):
        command = add_dir(name, run, text, node=False)
        command.add_argument("--now", action="store_true", help="kill, do not ask")
        command.add_argument("--remove", action="store_true", help="and remove its directory")
    command = add("status", status, "one line for each broker below a root")
    command.add_argument("dir", nargs="?", metavar="ROOT")
    add_format(command)
    command = add("check", check, "what is not installed; exit code 77 when something is not")
    command.add_argument("kinds", nargs="*", choices=[[], *KINDS], metavar="KIND")
    add("variants", variants, "the variants of a kind").add_argument("kind", choices=KINDS)
    for command in (add("fetch", fetch, "download it now, if it is not in the cache"),
                    add("cached", cached, "print where it is in the cache; fails when it is not")):
        command.add_argument("what", nargs="?", default="kafka", choices=DOWNLOADS)
    return parser.parse_args()


def main():
    if not hasattr(os, "pidfd_open"):
        die("needs Python 3.9 or newer on Linux", 77)
    os.umask(0o077)
    options = arguments()
    if getattr(options, "dir", None) and options.command not in ("start", "status", "stop-all"):
        if not os.path.isdir(options.dir):
            die(f"there is no directory {options.dir}")
    options.run(options)


if __name__ == "__main__":
    try:
        main()
    except (OSError, KeyboardInterrupt) as error:
        die(str(error) or "interrupted")

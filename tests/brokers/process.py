# SPDX-License-Identifier: MIT
"""Processes: told apart by id and start time, started under a watcher, ended by id.

A broker outlives the command that started it, so a watcher process of its own is its parent. It ends
the broker when the owner (a test program, or scripts/test) has ended, however that happened; and the
kernel ends the broker when the watcher dies. So nothing is left behind.
"""
import ctypes
import os
import select
import shutil
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
# 127.0.0.1, ::1 and ::ffff:127.0.0.1 as /proc/net/tcp and tcp6 write them on a little-endian machine.
LOOPBACK = ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")


def start_time(pid):
    """Clock ticks since boot at which the process began, None when there is no such process."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields else None


def stat_fields(pid):
    """The fields of /proc/PID/stat from the state on; None when it does not exist or is a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if fields[0] in "ZX" else fields


def alive(identity):
    """Whether [pid, start time] still is that process, not another one with the same id."""
    return bool(identity) and start_time(identity[0]) == identity[1]


def paused(identity):
    fields = stat_fields(identity[0])
    return bool(fields) and fields[0] == "T"


class Handle:
    """One process, held so that its id cannot mean another one between looking and signalling."""

    def __init__(self, identity):
        self.fd = -1
        if not identity:
            return
        try:
            self.fd = os.pidfd_open(identity[0])
        except OSError:
            return
        if not alive(identity):
            self.close()

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def send(self, number):
        if self.fd >= 0:
            try:
                signal.pidfd_send_signal(self.fd, number)
            except ProcessLookupError:
                pass

    def wait(self, seconds):
        """True when it has ended within that time."""
        if self.fd < 0:
            return True
        poller = select.poll()
        poller.register(self.fd, select.POLLIN)
        return bool(poller.poll(max(0, int(seconds * 1000))))


def end(identity, grace):
    """Ask a process to end, wait for grace seconds, then kill it; grace 0 kills at once."""
    handle = Handle(identity)
    if grace > 0:
        handle.send(signal.SIGTERM)
        handle.send(signal.SIGCONT)  # a stopped one hears nothing
    if grace <= 0 or not handle.wait(grace):
        handle.send(signal.SIGKILL)
    gone = handle.wait(10)
    handle.close()
    return gone


def launch(node, log, owner, remove):
    """Start node["argv"] under a watcher of its own. Returns ([pid, start], [watcher, start]).

    owner is [pid, start time] or None; remove is a directory to remove once the owner has ended.
    """
    said, tell = os.pipe()
    watcher = os.fork()
    if watcher == 0:
        try:
            os.close(said)
            _watch(node, log, owner, remove, tell)
        finally:
            os._exit(1)
    os.close(tell)
    with os.fdopen(said) as pipe:
        text = pipe.read().split()
    os.waitpid(watcher, 0)
    if len(text) != 4:
        raise OSError(f"cannot start {node['argv'][0]}")
    numbers = [int(word) for word in text]
    return numbers[:2], numbers[2:]


def _watch(node, log, owner, remove, tell):
    os.setsid()
    if os.fork() != 0:  # nobody has to reap the watcher
        os._exit(0)
    libc = ctypes.CDLL(None, use_errno=True)
    _detach(tell)
    watcher = os.getpid()
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    broker = os.fork()
    if broker == 0:
        _become(node, out, libc, watcher)
    os.close(out)
    identity = [broker, start_time(broker)]
    os.write(tell, f"{broker} {identity[1]} {watcher} {start_time(watcher)}".encode())
    os.close(tell)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(broker, signal.SIGTERM))
    _wait_for_end(broker, owner, remove)
    os._exit(0)


def _detach(keep):
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    os.closerange(3, keep)
    os.closerange(keep + 1, 1024)


def _become(node, out, libc, watcher):
    try:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != watcher:  # it died before it could be tied to
            os._exit(1)
        os.setsid()
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.closerange(3, 1024)
        os.chdir(node["cwd"])
        os.execvpe(node["argv"][0], node["argv"], {**os.environ, **node.get("env", {})})
    except OSError as error:
        os.write(2, f"cannot start {node['argv'][0]}: {error}\n".encode())
    os._exit(127)


def _wait_for_end(broker, owner, remove):
    poller = select.poll()
    child = os.pidfd_open(broker)
    poller.register(child, select.POLLIN)
    held = Handle(owner) if owner else None
    if held and held.fd >= 0:
        poller.register(held.fd, select.POLLIN)
    orphaned = bool(held) and held.fd < 0
    while not orphaned:
        ready = {number for number, _ in poller.poll()}
        if child in ready:
            break
        orphaned = bool(held) and held.fd in ready
    if orphaned:
        os.kill(broker, signal.SIGKILL)
    os.waitpid(broker, 0)
    if orphaned and remove:
        remove_tree(remove)


def open_to_others(pid):
    """Addresses beyond loopback, as /proc shows them, on which a process accepts connections."""
    mine = set()
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                mine.add(os.readlink(f"/proc/{pid}/fd/{name}"))
            except OSError:
                pass
        rows = []
        for table in ("tcp", "tcp6"):
            with open(f"/proc/{pid}/net/{table}", encoding="ascii") as file:
                rows += [line.split() for line in file.readlines()[1:]]
    except OSError:
        return []
    listening = [row[1].partition(":") for row in rows
                 if row[3] == "0A" and f"socket:[{row[9]}]" in mine]
    return [f"{address}:{int(port, 16)}" for address, _, port in listening
            if address not in LOOPBACK]


def remove_tree(path):
    """Remove a directory although helpers of a broker may still be writing their last words."""
    until = time.monotonic() + 5
    while os.path.lexists(path) and time.monotonic() < until:
        shutil.rmtree(path, ignore_errors=True)
        time.sleep(0.02)


def die(message, code=1):
    print(f"broker.py: {message}", file=sys.stderr)
    sys.exit(code)

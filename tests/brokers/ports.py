# SPDX-License-Identifier: MIT
"""Free loopback ports that stay ours.

They come from below the range the system uses for outgoing connections, so that a broker that was
killed finds its port free when it is started again. A file for each port keeps two commands that run
at the same time from choosing the same one.
"""
import os
import random
import socket
import tempfile
import time

FIRST, LAST = 17000, 32000
YOUNG = 120  # seconds a reservation counts although its state is not written yet


def folder():
    path = os.path.join(tempfile.gettempdir(), f"pubsub-ports-{os.getuid()}")
    os.makedirs(path, mode=0o700, exist_ok=True)
    if os.stat(path).st_uid != os.getuid():
        raise OSError(f"{path} belongs to somebody else")
    return path


def range_of_ports():
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            outgoing = int(file.read().split()[0])
    except (OSError, ValueError):
        outgoing = 32768
    last = min(LAST, outgoing - 1)
    return (FIRST, last) if last > FIRST + 1000 else (FIRST, LAST)


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def reserve(directory, port=None):
    """A free port for the broker in this directory; the given one or none when one is given."""
    if port is not None:
        if not is_free(port) or not _claim(port, directory):
            raise OSError(f"port {port} is taken")
        return port
    first, last = range_of_ports()
    for _ in range(200):
        port = random.randint(first, last)
        if _claim(port, directory):
            if is_free(port):
                return port
            _drop(port, directory)
    raise OSError("found no free port")


def release(directory, ports):
    for port in ports:
        _drop(port, directory)


def _claim(port, directory):
    path = os.path.join(folder(), str(port))
    for _ in range(2):
        try:
            with open(path, "x", encoding="utf-8") as file:
                file.write(directory)
            return True
        except FileExistsError:
            if not _stale(path, directory):
                return False
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
    return False


def _stale(path, directory):
    try:
        with open(path, encoding="utf-8") as file:
            holder = file.read()
        age = time.time() - os.stat(path).st_mtime
    except OSError:
        return True
    if holder == directory:
        return True
    return age > YOUNG and not os.path.exists(os.path.join(holder, "state.json"))


def _drop(port, directory):
    path = os.path.join(folder(), str(port))
    try:
        with open(path, encoding="utf-8") as file:
            mine = file.read() == directory
        if mine:
            os.unlink(path)
    except OSError:
        pass

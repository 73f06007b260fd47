# SPDX-License-Identifier: MIT
"""What Mosquitto has confirmed when it is killed with kill -9, and what of that it still knows, told by bare
sockets: nothing of ours takes part. A session that is away is subscribed; one client publishes with qos 1, 50 on
their way, and notes when each PUBACK came. After the kill the broker is started again and the session asks for
what it has.

Mosquitto confirms first and writes its file after that, once for each pass of its loop: with `autosave_interval 1`
and `autosave_on_changes true` the newest that it confirmed may be gone, and no others. 5 kills; with
PUBSUB_TEST_LONG=1 it is 50."""
import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import interop
from interop import TOOL, Missing

KILLS = 50 if os.environ.get("PUBSUB_TEST_LONG") is not None else 5
WINDOW = 50
LAST = 60000  # published after the kill: what comes before it is what was kept
PUBLISH, PUBACK, SUBACK, CONNACK = 0x30, 0x40, 0x90, 0x20


def text(words):
    return struct.pack(">H", len(words)) + words


def number_of(body):
    return struct.unpack(">H", body[:2])[0]


class Wire:
    """MQTT 3.1.1, as much of it as is needed here."""

    def __init__(self, port, name, clean):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=interop.DEADLINE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest, self.early = b"", []
        self.send(0x10, text(b"MQTT") + bytes([4, 2 if clean else 0]) + struct.pack(">H", 0) + text(name))
        self.expect(CONNACK)

    def send(self, kind, body):
        assert len(body) < 128
        self.socket.sendall(bytes([kind, len(body)]) + body)

    def packets(self):
        """Those that are here, at least one; none when the broker is gone."""
        found, self.early = self.early, []
        while not found:
            try:
                more = self.socket.recv(65536)
            except ConnectionError:
                more = b""
            if not more:
                return found
            self.rest += more
            while len(self.rest) >= 2 and len(self.rest) >= 2 + self.rest[1]:
                found.append((self.rest[0] & 0xf0, self.rest[2:2 + self.rest[1]]))
                self.rest = self.rest[2 + self.rest[1]:]
        return found

    def expect(self, kind):
        got = self.packets()
        assert [each[0] for each in got[:1]] == [kind], got
        self.early = got[1:]

    def close(self):
        self.socket.sendall(b"\xe0\x00")
        self.socket.close()

    def publish(self, topic, number):
        self.send(PUBLISH | 2, text(topic) + struct.pack(">H", number) + b"%d" % number)


class Killed(interop.support.Case):
    def setUp(self):
        super().setUp()
        self.told = interop.start_broker("mosquitto", self.variant)
        self.addCleanup(self.tool, "stop", "--now", "--remove")

    variant = "autosave,generous"

    def tool(self, command, *args):
        run = subprocess.run([sys.executable, "-B", TOOL, command, self.told["dir"], *args], check=True,
                             stdout=subprocess.PIPE)
        return run.stdout

    def subscribe(self, topic):
        wire = Wire(self.told["port"], b"away-" + topic, False)
        wire.send(0x82, struct.pack(">H", 1) + text(topic) + b"\x01")
        wire.expect(SUBACK)
        wire.close()

    def confirm(self, pid, topic, count, later):
        """number -> when it was confirmed, and the time of the kill, `later` seconds after `count` of them."""
        wire = Wire(self.told["port"], b"", True)
        confirmed, killed, sent = {}, [], 0

        def kill():
            os.kill(pid, signal.SIGKILL)
            killed.append(time.monotonic())

        killer = threading.Timer(later, kill)
        self.addCleanup(killer.cancel)
        with contextlib.suppress(ConnectionError):
            while True:
                while sent - len(confirmed) < WINDOW:
                    sent += 1
                    wire.publish(topic, sent)
                packets = wire.packets()
                now = time.monotonic()
                if not packets:
                    break
                confirmed.update((number_of(body), now) for kind, body in packets if kind == PUBACK)
                if len(confirmed) >= count and killer.ident is None:
                    killer.start()
        # What was on its way to us when a write failed is no less confirmed.
        confirmed.update((number_of(body), time.monotonic()) for kind, body in wire.packets() if kind == PUBACK)
        killer.join()
        wire.socket.close()
        return confirmed, killed[0]

    def known(self, topic):
        """What the session gets, until a message that is published now."""
        wire = Wire(self.told["port"], b"", True)
        wire.publish(topic, LAST)
        wire.expect(PUBACK)
        wire.close()
        wire = Wire(self.told["port"], b"away-" + topic, False)
        found = set()
        while LAST not in found:
            packets = wire.packets()
            self.assertTrue(packets)
            for kind, body in packets:
                if kind == PUBLISH:
                    at = 2 + len(topic)
                    found.add(int(body[at + 2:]))
                    wire.send(PUBACK, body[at:at + 2])
        wire.close()
        return found - {LAST}

    def one_kill(self, topic, count, later):
        """(how many it confirmed, those it does not know any more, how long before the kill each was confirmed)"""
        self.subscribe(topic)
        with open(os.path.join(self.told["dir"], "state.json"), encoding="utf-8") as file:
            node = interop.json.load(file)["nodes"][0]
        confirmed, killed = self.confirm(node["process"][0], topic, count, later)
        self.tool("restart")
        lost = sorted(set(confirmed) - self.known(topic))
        return confirmed, lost, [killed - confirmed[number] for number in lost]

    def test_autosave(self):
        everything, gone, oldest = 0, [], 0
        for kill in range(KILLS):
            confirmed, lost, ages = self.one_kill(b"t%d" % kill, 200 + 7 * kill, kill % 10 / 1000)
            everything += len(confirmed)
            gone.append(len(lost))
            oldest = max([oldest, *ages])
            self.assertEqual(lost, sorted(confirmed)[len(confirmed) - len(lost):], "the newest only")
        print("%d kills, %d confirmed, lost at each: %s; the oldest confirmed %.1f ms before the kill" % (
            KILLS, everything, gone, 1000 * oldest))


if __name__ == "__main__":
    try:
        interop.support.main()
    except Missing as why:
        print("skipped: %s" % why)
        sys.exit(1 if interop.REQUIRED and interop.is_asked("mosquitto") else 77)

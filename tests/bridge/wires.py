# SPDX-License-Identifier: MIT
"""A wire between the bridge and what it talks to: it can be cut, and what goes over it can be looked at."""
import re
import socket
import threading


class Proxy:
    """Passes TCP on to a port of this machine, until it is cut."""

    def __init__(self, case, to):
        self.to, self.is_cut, self.links, self.tap = to, False, [], None
        self.port = case.free_port()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        case.addCleanup(self.close)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            try:
                if self.is_cut:
                    raise OSError
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                near.close()
                continue
            self.links += [near, far]
            threading.Thread(target=self.both, args=(near, far), daemon=True).start()

    def both(self, near, far):
        sent, answered = self.tap.watch() if self.tap else (None, None)
        back = threading.Thread(target=self.copy, args=(far, near, answered), daemon=True)
        back.start()
        self.copy(near, far, sent)
        back.join()
        for link in (near, far):
            self.links.remove(link)
            link.close()

    @staticmethod
    def copy(one, other, look):
        try:
            while data := one.recv(65536):
                if look:
                    look(data)
                other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        self.is_cut = True
        for link in list(self.links):
            try:
                link.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def heal(self):
        self.is_cut = False

    def close(self):
        self.listener.close()
        self.cut()


class MqttTap:
    """Which events a broker has confirmed, as its own bytes tell: their numbers, in the order of their PUBACKs."""

    def __init__(self):
        self.confirmed = {}

    def watch(self):
        """What looks at the bytes of one connection: those to the broker, and those back."""
        waiting = {}  # by packet identifier

        def sent(kind, body):
            qos = kind >> 1 & 3
            if kind >> 4 == 3 and qos > 0:
                at = 2 + int.from_bytes(body[:2], "big")
                number = re.search(rb'"n": ?([0-9]+)', body[at:])
                waiting[body[at:at + 2]] = int(number.group(1)) if number else None

        def answered(kind, body):
            if kind >> 4 == 4 and (len(body) < 3 or body[2] < 0x80):
                self.confirmed.setdefault(waiting.pop(body[:2], None), len(self.confirmed))

        return packets(sent), packets(answered)


def packets(each):
    """Takes bytes as they come and calls each(first byte, body) for every MQTT packet in them."""
    rest = bytearray()

    def feed(data):
        rest.extend(data)
        while True:
            size, shift, at = 0, 0, 1
            while at < len(rest) and rest[at] & 0x80:
                size, shift, at = size | (rest[at] & 0x7f) << shift, shift + 7, at + 1
            if at >= len(rest):
                return
            end = at + 1 + (size | rest[at] << shift)
            if end > len(rest):
                return
            each(rest[0], bytes(rest[at + 1:end]))
            del rest[:end]

    return feed

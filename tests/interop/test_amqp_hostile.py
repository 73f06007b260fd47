# SPDX-License-Identifier: MIT
"""A server that speaks AMQP 0-9-1 and means harm: tables nested as deeply as a frame allows, for a client whose
threads have small stacks."""
import resource
import socket
import struct
import threading

import interop

STACK = 1024 * 1024


def frame(channel, class_id, method_id, fields):
    payload = struct.pack(">HH", class_id, method_id) + fields
    return struct.pack(">BHI", 1, channel, len(payload)) + payload + b"\xce"


def nested(size):
    """connection.start, or what is to be decoded like it, with arrays in arrays as its server properties."""
    depth = (size - 40) // 5
    value = b""
    for level in range(depth):
        value += b"A" + struct.pack(">I", 5 * (depth - level - 1))
    table = b"\0" + value
    return frame(0, 10, 10, b"\0\x09" + struct.pack(">I", len(table)) + table +
                 struct.pack(">I", 5) + b"PLAIN" + struct.pack(">I", 5) + b"en_US")


START = frame(0, 10, 10, b"\0\x09" + struct.pack(">I", 0) + struct.pack(">I", 5) + b"PLAIN" +
              struct.pack(">I", 5) + b"en_US")
TUNE = frame(0, 10, 30, struct.pack(">HIH", 10, 131072, 60))
OPEN_OK = frame(0, 10, 41, b"\0")


class Server:
    def __init__(self, case, *frames):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "amqp://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, args=(b"".join(frames),))
        self.thread.start()
        case.addCleanup(self.stop)

    def serve(self, data):
        try:
            peer, _ = self.listener.accept()
        except OSError:
            return
        with peer:
            peer.settimeout(interop.DEADLINE)
            try:
                if peer.recv(8):
                    for at in range(0, len(data), 1000):  # in pieces, as networks do
                        peer.sendall(data[at:at + 1000])
                    while peer.recv(4096):
                        pass
            except OSError:
                pass

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


def small_stack():
    resource.setrlimit(resource.RLIMIT_STACK, (STACK, STACK))


class Silent(interop.support.Case):
    """One that takes connections, and waits, as a server of another protocol does."""

    def says(self, text, *frames):
        server = Server(self, *frames)
        code, _, err = self.run_pubsub("pub", "-b", server.url, "--timeout", "1s", "t", "x")
        self.assertIn(text, err)
        self.assertIn(server.url[7:], err)
        self.assertEqual(code, 3, err)

    def test_from_the_start(self):
        self.says("is it the right port?")

    def test_in_the_middle(self):
        self.says("did not answer in time", START)


class Hostile(interop.support.Case):
    def refuses(self, *frames):
        server = Server(self, *frames)
        run = self.start("pub", "-b", server.url, "t", "x", preexec_fn=small_stack)
        code, _, err = run.end()
        self.assertIn("is not what AMQP 0-9-1 says", err)
        self.assertEqual(code, 3, err)

    def test_nested_at_the_start(self):
        self.refuses(nested(131000))

    def test_nested_later(self):
        self.refuses(START, TUNE, OPEN_OK, nested(131000))

    def test_nested_where_no_table_belongs(self):
        deep = bytearray(nested(131000))
        deep[7:11] = struct.pack(">HH", 10, 11)  # connection.start-ok begins with a table
        del deep[11:13]
        deep[3:7] = struct.pack(">I", len(deep) - 8)
        self.refuses(START, TUNE, OPEN_OK, bytes(deep))


if __name__ == "__main__":
    interop.support.main()

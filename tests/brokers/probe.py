# SPDX-License-Identifier: MIT
"""Is a broker ready? Asked in its own protocol over plain sockets, with no client library.

Each function raises NotReady when the answer is not (yet) the right one.
"""
import base64
import os
import socket
import ssl
import struct


class NotReady(Exception):
    pass


class Line:
    """A connection with a time limit for every step."""

    def __init__(self, port, tls=None, timeout=5.0):
        try:
            plain = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        except OSError as error:
            raise NotReady(f"port {port}: {error}") from error
        self.socket = plain
        if tls:
            # Whether the certificate is right is for the tests to find out.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.load_cert_chain(os.path.join(tls, "client.pem"), os.path.join(tls, "client.key"))
            try:
                self.socket = context.wrap_socket(plain, server_hostname="localhost")
            except OSError as error:
                plain.close()
                raise NotReady(f"port {port}: TLS: {error}") from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise NotReady(str(error)) from error

    def read(self, count):
        data = b""
        while len(data) < count:
            try:
                part = self.socket.recv(count - len(data))
            except OSError as error:
                raise NotReady(str(error)) from error
            if not part:
                raise NotReady("closed by the broker")
            data += part
        return data

    def read_line(self):
        data = b""
        while not data.endswith(b"\r\n") and len(data) < 4096:
            data += self.read(1)
        return data[:-2].decode("utf-8", "replace")


def _mqtt_text(text):
    data = text.encode()
    return struct.pack(">H", len(data)) + data


def mqtt_connect_packet(user=None, password=None):
    flags, payload = 0x02, _mqtt_text(f"ready{os.getpid()}")
    if user is not None:
        flags |= 0xC0
        payload += _mqtt_text(user) + _mqtt_text(password)
    body = _mqtt_text("MQTT") + bytes([4, flags]) + struct.pack(">H", 30) + payload
    assert len(body) < 128
    return bytes([0x10, len(body)]) + body


def mqtt(port, tls=None, user=None, password=None):
    with Line(port, tls) as line:
        line.send(mqtt_connect_packet(user, password))
        answer = line.read(4)
        if answer[0] != 0x20 or answer[3] != 0:
            raise NotReady(f"CONNACK {answer.hex()}")
        line.send(b"\xe0\x00")


def mqtt_websocket(port):
    with Line(port) as line:
        key = base64.b64encode(os.urandom(16)).decode()
        line.send((f"GET /mqtt HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\n"
                   f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n").encode())
        answer = line.read_line()
        if " 101 " not in answer:
            raise NotReady(answer)


def _resp(*words):
    out = f"*{len(words)}\r\n"
    for word in words:
        out += f"${len(word.encode())}\r\n{word}\r\n"
    return out.encode()


def redis(port, tls=None, password=None):
    with Line(port, tls) as line:
        if password is not None:
            line.send(_resp("AUTH", password))
            answer = line.read_line()
            if answer != "+OK":
                raise NotReady(answer)
        line.send(_resp("PING"))
        answer = line.read_line()
        if answer != "+PONG":
            raise NotReady(answer)


def _short(text):
    data = text.encode()
    return bytes([len(data)]) + data


class _Amqp:
    def __init__(self, line):
        self.line = line

    def method(self, class_id, method_id, arguments=b""):
        body = struct.pack(">HH", class_id, method_id) + arguments
        self.line.send(struct.pack(">BHI", 1, 0, len(body)) + body + b"\xce")

    def expect(self, class_id, method_id):
        kind, _, size = struct.unpack(">BHI", self.line.read(7))
        if kind == ord("A") or size > 1 << 20:
            raise NotReady("not AMQP 0-9-1")
        body = self.line.read(size + 1)
        got = struct.unpack(">HH", body[:4])
        if got != (class_id, method_id):
            text = body[6:-1].decode("utf-8", "replace") if got == (10, 50) else ""
            raise NotReady(f"AMQP method {got} {text}")
        return body[4:-1]


def amqp(port, tls=None, user="guest", password="guest"):
    """The whole way to an open virtual host, which comes up after the port does."""
    with Line(port, tls) as line:
        talk = _Amqp(line)
        line.send(b"AMQP\x00\x00\x09\x01")
        talk.expect(10, 10)
        response = f"\0{user}\0{password}".encode()
        talk.method(10, 11, struct.pack(">I", 0) + _short("PLAIN") +
                    struct.pack(">I", len(response)) + response + _short("en_US"))
        channel_max, frame_max, _ = struct.unpack(">HIH", talk.expect(10, 30)[:8])
        talk.method(10, 31, struct.pack(">HIH", channel_max, frame_max, 0))
        talk.method(10, 40, _short("/") + _short("") + b"\0")
        talk.expect(10, 41)
        talk.method(10, 50, struct.pack(">H", 200) + _short("") + struct.pack(">HH", 0, 0))
        talk.expect(10, 51)


def _kafka_text(text):
    data = text.encode()
    return struct.pack(">h", len(data)) + data


class _Kafka:
    API_VERSIONS, METADATA, SASL_HANDSHAKE, SASL_AUTHENTICATE = 18, 3, 17, 36

    def __init__(self, line):
        self.line, self.number = line, 0

    def call(self, key, version, body=b""):
        self.number += 1
        head = struct.pack(">hhi", key, version, self.number) + _kafka_text("ready")
        self.line.send(struct.pack(">i", len(head) + len(body)) + head + body)
        size, = struct.unpack(">i", self.line.read(4))
        if not 4 <= size <= 1 << 20:
            raise NotReady("not Kafka")
        answer = self.line.read(size)
        if struct.unpack(">i", answer[:4])[0] != self.number:
            raise NotReady("Kafka answered something else")
        return answer[4:]

    def versions(self):
        answer = self.call(self.API_VERSIONS, 0)
        error, count = struct.unpack(">hi", answer[:6])
        if error != 0:
            raise NotReady(f"ApiVersions: error {error}")
        rows = (struct.unpack(">hhh", answer[6 + 6 * i:12 + 6 * i]) for i in range(count))
        return {key: (low, high) for key, low, high in rows}

    def authenticate(self, user, password):
        answer = self.call(self.SASL_HANDSHAKE, 1, _kafka_text("PLAIN"))
        error, = struct.unpack(">h", answer[:2])
        if error == 0:
            token = f"\0{user}\0{password}".encode()
            answer = self.call(self.SASL_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
            error, = struct.unpack(">h", answer[:2])
        if error != 0:
            raise NotReady(f"SASL: error {error}")

    def broker_count(self, versions):
        low, high = versions[self.METADATA]
        version = max(low, 1)
        if version > min(high, 7):
            raise NotReady(f"Metadata: only versions {low} to {high}")
        body = struct.pack(">i", 0) + (b"\0" if version >= 4 else b"")
        answer = self.call(self.METADATA, version, body)
        return struct.unpack(">i", answer[4:8] if version >= 3 else answer[:4])[0]


def kafka(port, tls=None, user=None, password=None, brokers=1):
    with Line(port, tls) as line:
        talk = _Kafka(line)
        versions = talk.versions()
        if user is not None:
            talk.authenticate(user, password)
        found = talk.broker_count(versions)
        if found < brokers:
            raise NotReady(f"{found} of {brokers} brokers")

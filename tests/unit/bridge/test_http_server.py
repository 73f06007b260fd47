#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The HTTP server seen from outside: test_http_server.py PROBE. Raw sockets, because a good client
would not send what a server must survive."""
import os
import resource
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import unittest

PROBE = sys.argv.pop(1)
SLOW = float(os.environ.get("PUBSUB_TEST_SLOW", "1"))
DEADLINE = 20 * SLOW


class Probe:
    def __init__(self, *limits, listen="127.0.0.1:0", cert="-", key="-"):
        self.process = subprocess.Popen([PROBE, listen, cert, key, *limits], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.first = self.process.stdout.readline().strip()
        self.port = int(self.first.split()[1]) if self.first.startswith("port ") else 0

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        said = self.end()
        if kind is None:
            assert self.process.returncode == 0, (self.process.returncode, said)

    def end(self):
        """What was said since the last line, once it has ended."""
        if self.process.stdin.closed:
            return ""
        self.process.stdin.close()
        said = self.process.stdout.read()
        self.process.stdout.close()
        self.process.wait(DEADLINE)
        return said

    def line(self):
        return self.process.stdout.readline().strip()

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def connect(self):
        sock = socket.create_connection(("127.0.0.1", self.port), DEADLINE)
        sock.settimeout(DEADLINE)
        return sock


def read_all(sock):
    data = b""
    while True:
        try:
            more = sock.recv(65536)
        except ConnectionResetError:
            return data
        if not more:
            return data
        data += more


def read_answer(sock, rest=b""):
    """Status, headers in lower case, body, and what came behind it."""
    data = rest
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            raise AssertionError(f"ended in the head: {data!r}")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("ascii").split("\r\n")
    headers = dict((k.lower(), v.strip()) for k, _, v in (line.partition(":") for line in lines[1:]))
    need = int(headers.get("content-length", "0"))
    while len(body) < need:
        more = sock.recv(65536)
        if not more:
            raise AssertionError("ended in the body")
        body += more
    return int(lines[0].split()[1]), headers, body[:need], body[need:]


def post(path, body, extra="", version="1.1"):
    head = f"POST {path} HTTP/{version}\r\nHost: t\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


class OneProbe(unittest.TestCase):
    limits = ()

    @classmethod
    def setUpClass(cls):
        cls.probe = Probe(*cls.limits)

    @classmethod
    def tearDownClass(cls):
        said = cls.probe.end()
        assert said.endswith("ended\n"), said
        assert cls.probe.process.returncode == 0, said

    def ask(self, data):
        with self.probe.connect() as sock:
            sock.sendall(data)
            return read_answer(sock)

    def refused(self, data, status):
        """Answered with a status and closed."""
        with self.probe.connect() as sock:
            sock.sendall(data)
            got = read_answer(sock)
            self.assertEqual(got[0], status, got)
            self.assertEqual(got[1]["connection"], "close")
            self.assertEqual(read_all(sock), b"")
            return got


class Plain(OneProbe):
    def test_body_comes_back_whole(self):
        for size in (0, 1, 1000, 300_000, 8 * 1024 * 1024):
            body = os.urandom(size)
            status, headers, got, _ = self.ask(post("/a/x", body))
            self.assertEqual((status, got == body), (200, True))
            self.assertEqual(headers["x-peer"], "127.0.0.1")
            self.assertEqual(headers["x-length"], str(size))

    def test_the_longest_path_gets_it(self):
        self.assertEqual(self.ask(post("/a/deep/er", b""))[0], 202)
        self.assertEqual(self.ask(post("/a/deeper", b"z"))[0], 200)
        self.assertEqual(self.ask(post("/a", b"z"))[0], 200)
        self.assertEqual(self.ask(post("/ab", b"z"))[0], 404)

    def test_every_cut_of_a_request(self):
        data = b"POST /a/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" \
               b"3;x=y\r\nabc\r\n0a \r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n"
        for cut in range(1, len(data)):
            with self.probe.connect() as sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.sendall(data[:cut])
                sock.sendall(data[cut:])
                status, _, body, rest = read_answer(sock)
                self.assertEqual((status, body, rest), (200, b"abc0123456789", b""))

    def test_requests_sent_ahead_are_answered_in_order(self):
        data = b"".join(post("/a/later?ms=%d" % (30 - 10 * i), b"%d" % i) for i in range(3))
        data += b"GET /a/x HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
        with self.probe.connect() as sock:
            sock.sendall(data)
            rest = b""
            for i in range(3):
                status, headers, body, rest = read_answer(sock, rest)
                self.assertEqual((status, body, headers["connection"]), (200, b"%d" % i, "keep-alive"))
            status, headers, body, rest = read_answer(sock, rest)
            self.assertEqual((status, headers["connection"]), (200, "close"))
            self.assertEqual(read_all(sock), b"")

    def test_many_ahead_are_bounded(self):
        before = self.probe.cpu()
        with self.probe.connect() as sock:
            sock.settimeout(0.5)
            sent = 0
            try:
                sock.sendall(post("/a/later?ms=1500", b""))
                while sent < 64 * 1024 * 1024:
                    sent += sock.send(post("/a/x", b"x" * 1000) * 50)
            except socket.timeout:
                pass
            self.assertLess(sent, 16 * 1024 * 1024)
            time.sleep(0.3)  # what is looked at here is that nothing happens
        self.assertLess(self.probe.cpu() - before, 1.0 * SLOW)

    def test_answer_in_pieces(self):
        with self.probe.connect() as sock:
            sock.sendall(b"GET /a/stream HTTP/1.1\r\nHost: t\r\n\r\nGET /a/x HTTP/1.1\r\nHost: t\r\n\r\n")
            data = b""
            while data.count(b"HTTP/1.1 200") < 2:
                data += sock.recv(65536)
        self.assertIn(b"Transfer-Encoding: chunked", data)
        self.assertEqual(data.count(b"13\r\npiece of an answer\n\r\n"), 5)
        self.assertIn(b"0\r\n\r\nHTTP/1.1 200 OK", data)

    def test_old_clients_get_pieces_until_the_end(self):
        with self.probe.connect() as sock:
            sock.sendall(b"GET /a/stream HTTP/1.0\r\n\r\n")
            data = read_all(sock)
        self.assertTrue(data.endswith(b"\r\n\r\n" + b"piece of an answer\n" * 5), data)

    def test_continue_is_said(self):
        with self.probe.connect() as sock:
            sock.sendall(b"POST /a/x HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            self.assertEqual(sock.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
            sock.sendall(b"ok")
            self.assertEqual(read_answer(sock)[2], b"ok")

    def test_refused_before_the_body_is_read(self):
        with self.probe.connect() as sock:
            sock.sendall(b"POST /a/refuse HTTP/1.1\r\nHost: t\r\nContent-Length: 500000\r\n\r\n")
            sock.sendall(b"x" * 500000)
            status, headers, _, _ = read_answer(sock)
            self.assertEqual((status, headers["x-why"]), (401, "no"))
            self.assertEqual(read_all(sock), b"")

    def test_reading_pauses(self):
        body = os.urandom(400_000)
        self.assertEqual(self.ask(post("/a/pause", body))[2], body)

    def test_too_long_head(self):
        self.refused(b"GET /a/" + b"x" * 20000 + b" HTTP/1.1\r\nHost: t\r\n\r\n", 431)
        self.refused(b"GET /a/x HTTP/1.1\r\nHost: t\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431)

    def test_too_big_body(self):
        big = 8 * 1024 * 1024 + 1
        self.refused(b"POST /a/x HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % big, 413)
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        with self.probe.connect() as sock:
            sock.sendall(b"POST /a/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(8):
                sock.sendall(chunk)
            sock.sendall(b"1\r\nx\r\n")
            self.assertEqual(read_answer(sock)[0], 413)
        self.assertEqual(self.probe.line(), "gone")

    def test_heads_that_are_none(self):
        host = b"Host: t\r\n"
        for data, status in (
                (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(200), 400),
                (b"hello\r\n\r\n", 400),
                (b"GET  /a HTTP/1.1\r\n" + host + b"\r\n", 400),
                (b"GET /a HTTP/2.0\r\n" + host + b"\r\n", 505),
                (b"GET a HTTP/1.1\r\n" + host + b"\r\n", 400),
                (b"GET /a\x01 HTTP/1.1\r\n" + host + b"\r\n", 400),
                (b"GET /a HTTP/1.1\r\n\r\n", 400),
                (b"GET /a HTTP/1.1\r\n" + host + host + b"\r\n", 400),
                (b"GET /a HTTP/1.1\r\n" + host + b"X : y\r\n\r\n", 400),
                (b"GET /a HTTP/1.1\r\n" + host + b"X: y\r\n folded\r\n\r\n", 400),
                (b"GET /a HTTP/1.1\r\n" + host + b"X: a\x00b\r\n\r\n", 400),
                (b"GET /a HTTP/1.1\r\n" + host + b"X: y\rZ: z\r\n\r\n", 400),
                (b"POST /a HTTP/1.1\r\n" + host + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
                (b"POST /a HTTP/1.1\r\n" + host + b"Content-Length: -1\r\n\r\n", 400),
                (b"POST /a HTTP/1.1\r\n" + host + b"Content-Length: 1, 1\r\n\r\n", 400),
                (b"POST /a HTTP/1.1\r\n" + host + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
                (b"POST /a HTTP/1.1\r\n" + host + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
                (b"POST /a HTTP/1.1\r\n" + host + b"Expect: wonders\r\n\r\n", 417)):
            self.refused(data, status)

    def test_broken_chunks(self):
        head = b"POST /a/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
        for chunks in (b"x\r\n", b"\r\n", b"2\r\nabc", b"1000000000000000\r\n", b"-1\r\n", b"1\nx\n", b"5 6\r\nhello\r\n", b"1" + b" " * 300 + b"\r\n",
                       b"1;" + b"e" * 300 + b"\r\n", b"0\r\n" + b"t: v\r\n" * 2000):
            self.refused(head + chunks, 400)
            self.assertEqual(self.probe.line(), "gone")

    def test_the_client_leaves(self):
        for _ in range(3):
            with self.probe.connect() as sock:
                sock.sendall(post("/a/never", b"x"))
                self.assertEqual(self.probe.line(), "waiting")
            self.assertEqual(self.probe.line(), "gone")
        with self.probe.connect() as sock:  # in the middle of its body, with a reset
            sock.sendall(b"POST /a/x HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")
            self.assertIn(b" 100 ", sock.recv(100))
            sock.sendall(b"abc")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.assertEqual(self.probe.line(), "gone")

    def test_half_closed_is_gone(self):
        with self.probe.connect() as sock:
            sock.sendall(post("/a/never", b"x"))
            self.assertEqual(self.probe.line(), "waiting")
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(self.probe.line(), "gone")

    def test_head_has_no_body(self):
        with self.probe.connect() as sock:
            sock.sendall(b"HEAD /a/deep HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
            data = read_all(sock)
        self.assertTrue(data.startswith(b"HTTP/1.1 202 ") and data.endswith(b"\r\n\r\n"), data)

    @unittest.skipUnless(shutil.which("curl"), "no curl")
    def test_curl(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(os.urandom(3_000_000))
            file.flush()
            url = f"http://127.0.0.1:{self.probe.port}/a/x"
            got = subprocess.run(["curl", "-sS", "--data-binary", "@" + file.name, url, url],
                                 stdout=subprocess.PIPE, check=True).stdout
            file.seek(0)
            self.assertEqual(got, file.read() * 2)


class Waits(OneProbe):
    """What takes as long as a limit says, so with short ones."""
    limits = ("head=300", "body=300", "idle=300", "address=1200", "connections=1200")

    def test_a_reader_that_does_not_read_is_cut_off(self):
        with self.probe.connect() as sock:
            sock.sendall(b"GET /a/flood HTTP/1.1\r\nHost: t\r\n\r\n")
            self.assertEqual(self.probe.line(), "gone")

    def test_slow_head(self):
        with self.probe.connect() as sock:
            begin = time.monotonic()
            sock.sendall(b"POST /a/x HTT")
            status = read_answer(sock)[0]
            self.assertEqual(status, 408)
            self.assertGreater(time.monotonic() - begin, 0.25)

    def test_dripping_head_is_not_given_more_time(self):
        with self.probe.connect() as sock:
            sock.settimeout(0.05)
            begin = time.monotonic()
            data = b""
            while not data and time.monotonic() - begin < DEADLINE:
                try:
                    sock.sendall(b"a")
                    data = sock.recv(1000)
                except socket.timeout:
                    pass
            self.assertIn(b" 408 ", data)
            self.assertLess(time.monotonic() - begin, 5 * SLOW)

    def test_slow_body(self):
        self.refused(b"POST /a/x HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc", 408)
        self.assertEqual(self.probe.line(), "gone")

    def test_silence_is_closed_without_a_word(self):
        with self.probe.connect() as sock:
            self.assertEqual(read_all(sock), b"")
        with self.probe.connect() as sock:
            sock.sendall(post("/a/x", b"1"))
            self.assertEqual(read_answer(sock)[0], 200)
            self.assertEqual(read_all(sock), b"")

    def test_a_thousand_that_say_nothing(self):
        before = self.probe.cpu()
        socks = [self.probe.connect() for _ in range(1000)]
        try:
            self.assertEqual(self.ask(post("/a/x", b"still here"))[2], b"still here")
            for sock in socks[:10]:
                self.assertEqual(read_all(sock), b"")  # in time, all are closed
        finally:
            for sock in socks:
                sock.close()
        self.assertLess(self.probe.cpu() - before, 3 * SLOW)


class Limits(unittest.TestCase):
    def test_connections_of_one_address(self):
        with Probe("address=5") as probe:
            socks = [probe.connect() for _ in range(6)]
            self.assertEqual(read_all(socks[5]), b"")
            socks[0].close()
            for _ in range(200):  # the place of the first is free soon
                with probe.connect() as sock:
                    sock.sendall(post("/a/x", b"1"))
                    try:
                        self.assertEqual(read_answer(sock)[0], 200)
                        break
                    except (AssertionError, ConnectionResetError):
                        time.sleep(0.01)
            else:
                self.fail("no place became free")
            for sock in socks:
                sock.close()

    def test_all_connections(self):
        with Probe("connections=5") as probe:
            busy = [probe.connect() for _ in range(4)]
            for sock in busy:
                sock.sendall(post("/a/never", b""))
                self.assertEqual(probe.line(), "waiting")
            idle = probe.connect()
            with probe.connect() as sock:  # the idle one makes room
                sock.sendall(post("/a/never", b""))
                self.assertEqual(probe.line(), "waiting")
                self.assertEqual(read_all(idle), b"")
                with probe.connect() as last:
                    self.assertEqual(read_all(last), b"")
            for sock in busy + [idle]:
                sock.close()

    def test_no_descriptors_left(self):
        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        process = subprocess.Popen([PROBE, "127.0.0.1:0", "-", "-"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=few)
        port = int(process.stdout.readline().split()[1])
        socks = [socket.create_connection(("127.0.0.1", port), DEADLINE) for _ in range(60)]
        time.sleep(0.5)  # nothing may happen now, least of all a spin
        with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        self.assertLess((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), 0.4 * SLOW)
        for sock in socks[:-1]:
            sock.close()
        socks[-1].settimeout(DEADLINE)
        socks[-1].sendall(post("/a/x", b"at last"))
        self.assertEqual(read_answer(socks[-1])[2], b"at last")
        socks[-1].close()
        process.stdin.close()
        self.assertEqual(process.wait(DEADLINE), 0)
        process.stdout.close()

    def test_addresses(self):
        for listen, text in (("nonsense", "EINVAL"), ("1.2.3.4:70000", "EINVAL"), ("::1:80", "EINVAL"),
                             ("192.0.2.1:0", "ESYSTEM"), ("no.such.host.invalid:0", "EINVAL")):
            probe = Probe(listen=listen)
            self.assertIn(text, probe.first)
            probe.end()
        with Probe(listen="*:0") as probe:
            self.assertNotEqual(probe.port, 0)
            other = Probe(listen=f"*:{probe.port}")
            self.assertIn("EBUSY", other.first)
            other.end()

    def test_ends_while_somebody_waits(self):
        with Probe() as probe:
            sock = probe.connect()
            sock.sendall(post("/a/never", b""))
            self.assertEqual(probe.line(), "waiting")
            slow = probe.connect()
            slow.sendall(post("/a/later?ms=200", b"in time"))
            time.sleep(0.05)
            probe.process.stdin.close()
            self.assertEqual(read_answer(sock)[0], 503)
            self.assertEqual(read_answer(slow)[2], b"in time")
            sock.close()
            slow.close()
            self.assertEqual((probe.line(), probe.line()), ("gone", "ended"))
            self.assertEqual(probe.process.wait(DEADLINE), 0)
            probe.process.stdout.close()


@unittest.skipUnless(shutil.which("openssl"), "no openssl to make a certificate")
class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.TemporaryDirectory()
        cls.cert, cls.key = cls.dir.name + "/cert.pem", cls.dir.name + "/key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-keyout", cls.key, "-out", cls.cert, "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost", "-days", "2"],
                       check=True, stderr=subprocess.DEVNULL)
        cls.probe = Probe(cert=cls.cert, key=cls.key)

    @classmethod
    def tearDownClass(cls):
        said = cls.probe.end()
        cls.dir.cleanup()
        assert said.endswith("ended\n"), said

    def connect(self, probe=None):
        context = ssl.create_default_context(cafile=self.cert)
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context.wrap_socket((probe or self.probe).connect(), server_hostname="localhost")

    def test_body_comes_back_whole(self):
        with self.connect() as sock:
            self.assertEqual(sock.selected_alpn_protocol(), "http/1.1")
            for size in (0, 1, 70_000, 5_000_000):
                body = os.urandom(size)
                sock.sendall(post("/a/x", body))
                self.assertEqual(read_answer(sock)[2], body)
            body = os.urandom(300_000)
            sock.sendall(post("/a/pause", body))
            self.assertEqual(read_answer(sock)[2], body)

    def test_the_client_leaves(self):
        with self.connect() as sock:
            sock.sendall(post("/a/never", b"x"))
            self.assertEqual(self.probe.line(), "waiting")
        self.assertEqual(self.probe.line(), "gone")

    def test_plain_bytes_are_closed(self):
        with self.probe.connect() as sock:
            sock.sendall(post("/a/x", b"x"))
            self.assertNotIn(b"200", read_all(sock))
        self.assertEqual(self.probe.process.poll(), None)

    def test_silence_and_half_a_hello(self):
        with Probe("head=300", cert=self.cert, key=self.key) as probe:
            for data in (b"", b"\x16\x03\x01\x02\x00\x01"):
                with probe.connect() as sock:
                    sock.sendall(data)
                    self.assertEqual(read_all(sock), b"")
        with Probe("head=2000", "idle=300", cert=self.cert, key=self.key) as probe:
            with self.connect(probe) as sock:
                sock.sendall(post("/a/x", b""))
                self.assertEqual(read_answer(sock)[0], 200)
                self.assertEqual(read_all(sock), b"")

    def test_files_that_are_none(self):
        for cert, key, text in ((self.cert, self.cert, "cannot be used"), ("/none", self.key, "cannot read /none"),
                                (self.cert, "-", "both")):
            probe = Probe(cert=cert, key=key)
            self.assertIn(text, probe.first)
            probe.end()


if __name__ == "__main__":
    unittest.main(verbosity=1)

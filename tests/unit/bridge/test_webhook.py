#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The webhook connector: test_webhook.py CONNECTOR_PROBE. The signatures are made here by Python's hmac,
from the senders' documents."""
import base64
import hashlib
import hmac
import http.client
import json
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

from probe import DEADLINE, Probe


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Hooks:
    """A connector on a port of its own."""

    def __init__(self, *settings, models="accounts", **options):
        self.port = free_port()
        self.probe = Probe("webhook", models, f"listen=127.0.0.1:{self.port}", *settings, **options)

    def __enter__(self):
        self.probe.expect("started")
        return self

    def __exit__(self, kind, *rest):
        self.probe.__exit__(kind, *rest)

    def send(self, body=b"{}", headers=None, path="/hooks/accounts", method="POST"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, answer, text

    def later(self, *args, **kwargs):
        """Send on another thread; .join() gives what came."""
        result = []
        thread = threading.Thread(target=lambda: result.append(self.send(*args, **kwargs)))
        thread.start()

        def join():
            thread.join(DEADLINE)
            return result[0]
        return join


def github(body, secret, **more):
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
            "X-GitHub-Delivery": "d-1", "X-GitHub-Event": "push", **more}


def stripe(body, secret, at=None, extra=""):
    at = int(time.time()) if at is None else at
    mac = hmac.new(secret.encode(), str(at).encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={at},v1={mac}{extra}"}


def standard(body, key, ident="msg_1", at=None, more=""):
    at = int(time.time()) if at is None else at
    mac = hmac.new(key, f"{ident}.{at}.".encode() + body, hashlib.sha256).digest()
    return {"webhook-id": ident, "webhook-timestamp": str(at),
            "webhook-signature": more + "v1," + base64.b64encode(mac).decode()}


class Signatures(unittest.TestCase):
    def test_github(self):
        body = b'{"ref":"refs/heads/main",  "n":1.50}'
        with Hooks("signature=github", "secret=new", "secret=It's a Secret to Everybody") as hooks:
            self.assertEqual(hooks.send(body, github(body, "It's a Secret to Everybody"))[0], 200)
            event = hooks.probe.expect("event")
            self.assertEqual((event["model"], event["document"], event["id"], event["header.pubsub-type"]),
                             ("accounts", body.decode(), "d-1", "push"))
            for secret, ident in (("new", "d-2"), ("It's a Secret to Everybody", "d-3")):
                headers = github(body, secret, **{"X-GitHub-Delivery": ident})
                self.assertEqual(hooks.send(body, headers)[0], 200)
                hooks.probe.expect("event", id=ident)
            status, _, text = hooks.send(body + b" ", github(body, "new"))
            self.assertEqual((status, text), (401, "the signature is wrong\n"))
            status, _, text = hooks.send(body)
            self.assertEqual((status, text), (401, "the signature is missing\n"))
            for value in ("sha256=", "sha256=zz", "sha1=" + "0" * 40, "sha256=" + "0" * 64, "=", "sha256=" + "0" * 9999):
                self.assertEqual(hooks.send(body, {"X-Hub-Signature-256": value})[0], 401)
            self.assertEqual(hooks.probe.count("event"), 0)

    def test_the_published_example_of_github(self):
        body = b"Hello, World!"
        headers = {"X-Hub-Signature-256":
                   "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}
        with Hooks("signature=github", "secret=It's a Secret to Everybody", "body=any") as hooks:
            self.assertEqual(hooks.send(body, headers)[0], 200)

    def test_stripe(self):
        body = b'{"id":"evt_1\\u0041","type":"charge.failed","data":{}}'
        with Hooks("signature=stripe", "secret=whsec_old", "secret=whsec_new", "tolerance=60s") as hooks:
            self.assertEqual(hooks.send(body, stripe(body, "whsec_old", extra=",v1=00,v0=aa"))[0], 200)
            event = hooks.probe.expect("event")
            self.assertEqual((event["id"], event["header.pubsub-type"]), ("evt_1A", "charge.failed"))
            self.assertAlmostEqual(event["time"] / 1e9, time.time(), delta=10)
            for at in (time.time() - 300, time.time() + 300):
                status, _, text = hooks.send(body, stripe(body, "whsec_old", at=int(at)))
                self.assertEqual((status, text), (401, "the signed time is too far from now\n"))
            self.assertEqual(hooks.send(body, stripe(body, "other"))[0], 401)
            for value in ("", "t=1", "v1=00", "t=,v1=", ",,,=,t", "t=x,v1=" + "0" * 64):
                self.assertEqual(hooks.send(body, {"Stripe-Signature": value})[0], 401)

    def test_standard(self):
        key = b"0123456789abcdef0123456789abcdef"
        body = b'{"type":"user.created","data":1}'
        with Hooks("signature=standard", "secret=whsec_" + base64.b64encode(key).decode()) as hooks:
            self.assertEqual(hooks.send(body, standard(body, key, more="v1,AAAA v1a,xx "))[0], 200)
            event = hooks.probe.expect("event")
            self.assertEqual((event["id"], event["header.pubsub-type"]), ("msg_1", "user.created"))
            self.assertEqual(hooks.send(body, standard(body, key, at=1))[2], "the signed time is too far from now\n")
            self.assertEqual(hooks.send(body, standard(body, b"other" * 8))[0], 401)
            moved = dict(standard(body, key), **{"webhook-id": "msg_2"})  # the id is signed too
            self.assertEqual(hooks.send(body, moved)[0], 401)
            del moved["webhook-timestamp"]
            self.assertEqual(hooks.send(body, moved)[0], 401)

    def test_the_published_example_of_standard_webhooks(self):
        # Its time is long ago: that it is stale, not wrong, says that the signature was understood.
        body = b'{"test": 2432232314}'
        headers = {"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
                   "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}
        with Hooks("signature=standard", "secret=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") as hooks:
            self.assertEqual(hooks.send(body, headers)[2], "the signed time is too far from now\n")
            self.assertEqual(hooks.send(body + b" ", headers)[2], "the signature is wrong\n")

    def test_hmac(self):
        for algorithm in ("sha1", "sha256", "sha512"):
            for encoding in ("hex", "base64"):
                with Hooks("signature=hmac", "secret=s", "signature_header=X-Sig", "signature_prefix=p=",
                           "signature_encoding=" + encoding, "signature_algorithm=" + algorithm,
                           "id_header=X-Id", "type_header=X-Type", "headers=X-More") as hooks:
                    mac = hmac.new(b"s", b"[1]", algorithm).digest()
                    text = mac.hex().upper() if encoding == "hex" else base64.b64encode(mac).decode()
                    headers = {"x-sig": "p=" + text, "X-Id": "7", "X-Type": "t", "X-More": "more"}
                    self.assertEqual(hooks.send(b"[1]", headers)[0], 200)
                    event = hooks.probe.expect("event")
                    self.assertEqual((event["id"], event["header.pubsub-type"], event["header.X-More"]),
                                     ("7", "t", "more"))
                    self.assertEqual(hooks.send(b"[1]", {"x-sig": text})[0], 401)
                    self.assertEqual(hooks.send(b"[2]", headers)[0], 401)

    def test_two_signatures_are_none(self):
        with Hooks("signature=github", "secret=s") as hooks, \
                socket.create_connection(("127.0.0.1", hooks.port), DEADLINE) as sock:
            good = github(b"{}", "s")["X-Hub-Signature-256"].encode()
            sock.sendall(b"POST /hooks/accounts HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n"
                         b"X-Hub-Signature-256: " + good + b"\r\nX-Hub-Signature-256: x\r\n\r\n{}")
            self.assertIn(b" 401 ", sock.recv(1000))


class Settings(unittest.TestCase):
    def refused(self, text, *settings, models="accounts"):
        with self.subTest(settings=settings):
            probe = Probe("webhook", models, *settings)
            self.assertIn(text, probe.expect("refused")["text"])
            probe.process.communicate()

    def test_what_is_refused(self):
        here, out = "listen=127.0.0.1:0", "listen=*:0"
        self.refused("listen", "path=/x")
        self.refused("anybody could send", out)
        self.refused("anybody could send", "listen=0.0.0.0:0")
        self.refused("say how the sender signs", here, "secret=x")
        self.refused("needed to check", here, "signature=github")
        self.refused("not used", here, "signature=none", "secret=x")
        self.refused("whsec_", here, "signature=standard", "secret=not base64!")
        self.refused("both files", here, "tls_cert=/x")
        self.refused("begins with a slash", here, "path=hooks")
        self.refused("level of its own", here, "path=/hooks-{model}")
        self.refused("several models", here, "path=/hooks", models="a,b")
        self.refused("several models", here, "path=/hooks", models="a*")
        self.refused("signature", here, "signature=githup", "secret=x")

    def test_a_port_that_is_taken(self):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            sock.listen()
            probe = Probe("webhook", "a", f"listen=127.0.0.1:{sock.getsockname()[1]}")
            self.assertIn("Address already in use", probe.expect("refused")["text"])
            probe.end()

    def test_everywhere_when_it_is_written(self):
        with Probe("webhook", "a", "listen=*:0", "signature=none") as probe:
            probe.expect("state", model="a", state="active")
            probe.send("check")
            self.assertIn("not checked", probe.expect("finding")["text"])
            probe.expect("checked")


class Requests(unittest.TestCase):
    def test_paths_and_methods(self):
        with Hooks("methods=POST", "methods=PUT", models="accounts,log-*") as hooks:
            for path, status in (("/hooks/accounts", 200), ("/hooks/log-1", 200), ("/hooks/acc%6funts", 200),
                                 ("/hooks/log-%C3%A9?x=y", 200), ("/hooks/others", 404), ("/hooks/", 404),
                                 ("/hooks", 404), ("/hooks/accounts/x", 404), ("/hooks/log-%ff", 404),
                                 ("/hooks/log-%00", 404), ("/hooks/log-%", 404), ("/other", 404),
                                 ("/hooks/log-" + "x" * 400, 404)):
                self.assertEqual(hooks.send(path=path)[0], status, path)
            self.assertEqual(hooks.send(method="PUT")[0], 200)
            status, answer, _ = hooks.send(method="GET")
            self.assertEqual((status, answer.headers["Allow"]), (405, "POST, PUT"))
            models = [hooks.probe.expect("event")["model"] for _ in range(5)]
            self.assertEqual(models, ["accounts", "log-1", "accounts", "log-é", "accounts"])

    def test_a_path_without_model(self):
        with Hooks("path=/in", models="only") as hooks:
            self.assertEqual(hooks.send(path="/in")[0], 200)
            self.assertEqual(hooks.send(path="/in/only")[0], 404)
            self.assertEqual(hooks.probe.expect("event")["model"], "only")

    def test_bodies(self):
        with Hooks("max_body=1k") as hooks:
            self.assertEqual(hooks.send(b"{not json}")[0], 400)
            self.assertEqual(hooks.send(b"")[0], 400)
            self.assertEqual(hooks.send(b'"' + b"x" * 1022 + b'"')[0], 200)
            self.assertEqual(hooks.send(b'"' + b"x" * 1023 + b'"')[0], 413)
            self.assertEqual(hooks.send(b"{}", {"Content-Encoding": "gzip"})[0], 415)
        with Hooks("body=any") as hooks:
            self.assertEqual(hooks.send(b"a=b&c=d", {"Content-Type": "application/x-www-form-urlencoded"})[0], 200)
            event = hooks.probe.expect("event")
            self.assertEqual((event["document"], event["type"]), ("a=b&c=d", "application/x-www-form-urlencoded"))

    def test_2xx_only_when_it_is_settled(self):
        with Hooks("id_header=X-Id", "status=202") as hooks:
            hooks.probe.tell("hold")
            join = hooks.later(headers={"X-Id": "1"})
            hooks.probe.expect("event", id="1")
            status, answer, text = hooks.send(headers={"X-Id": "1"})  # it comes again meanwhile
            self.assertEqual((status, answer.headers["Retry-After"], text), (503, "5", "the same delivery is under way\n"))
            hooks.probe.tell("settle OK", "settled")
            self.assertEqual(join()[0], 202)
            self.assertEqual(hooks.send(headers={"X-Id": "1"})[0], 202)  # known, and no event
            self.assertEqual(hooks.probe.count("event"), 0)

    def test_what_was_not_stored_is_asked_for_again(self):
        with Hooks("id_header=X-Id", "retry_after=30s") as hooks:
            hooks.probe.tell("hold")
            join = hooks.later(headers={"X-Id": "1"})
            hooks.probe.expect("event", id="1")
            hooks.probe.tell("settle EREJECTED", "settled")
            status, answer, _ = join()
            self.assertEqual((status, answer.headers["Retry-After"]), (503, "30"))
            hooks.probe.tell("auto")
            self.assertEqual(hooks.send(headers={"X-Id": "1"})[0], 200)
            hooks.probe.expect("event", id="1")

    def test_what_can_never_be_kept_is_refused_for_good(self):
        with Hooks("id_header=X-Id") as hooks:
            for name, status in (("ETOOBIG", 413), ("EINVAL", 422), ("ETOPIC", 422)):
                hooks.probe.tell("refuse " + name)
                answer = hooks.send(headers={"X-Id": name})
                self.assertEqual((answer[0], answer[1].headers["Retry-After"]), (status, None))
                self.assertIn("do not send it again", answer[2])
                self.assertIn("refused for good", hooks.probe.expect("error")["text"])
                hooks.probe.tell("hold")
                join = hooks.later(headers={"X-Id": name})
                hooks.probe.expect("event", id=name)  # it is not among those that are known
                hooks.probe.tell("settle " + name, "settled")
                self.assertEqual(join()[0], status)
            for name in "ECLOSED", "ENOSPC", "ENOMEM":
                hooks.probe.tell("refuse " + name)
                status, answer, _ = hooks.send()
                self.assertEqual((status, answer.headers["Retry-After"]), (503, "5"))
            self.assertEqual(hooks.probe.count("error"), 0)

    def test_full(self):
        with Hooks("max_pending=2") as hooks:
            hooks.probe.tell("full")
            status, answer, text = hooks.send()
            self.assertEqual((status, answer.headers["Retry-After"]), (503, "5"))
            hooks.probe.tell("hold")
            waiting = [hooks.later() for _ in range(2)]
            for _ in range(2):
                hooks.probe.expect("event")
            self.assertEqual(hooks.send()[0], 503)
            hooks.probe.tell("settle OK", "settled")
            self.assertEqual([join()[0] for join in waiting], [200, 200])
            hooks.probe.tell("auto")
            self.assertEqual(hooks.send()[0], 200)

    def test_a_sender_that_left_is_answered_when_it_comes_again(self):
        with Hooks("id_header=X-Id") as hooks:
            hooks.probe.tell("hold")
            with socket.create_connection(("127.0.0.1", hooks.port), DEADLINE) as sock:
                sock.sendall(b"POST /hooks/accounts HTTP/1.1\r\nHost: t\r\nX-Id: 9\r\nContent-Length: 2\r\n\r\n{}")
                hooks.probe.expect("event", id="9")
            hooks.probe.tell("settle OK", "settled")
            hooks.probe.tell("auto")
            self.assertEqual(hooks.send(headers={"X-Id": "9"})[0], 200)
            self.assertEqual(hooks.probe.count("event"), 0)

    def test_ids_are_forgotten(self):
        with Hooks("id_header=X-Id", "dedupe_size=2") as hooks:
            for ident in "1", "2", "3":
                self.assertEqual(hooks.send(headers={"X-Id": ident})[0], 200)
                hooks.probe.expect("event", id=ident)
            for ident, again in (("3", 0), ("2", 0), ("1", 1)):
                hooks.probe.seen.clear()
                self.assertEqual(hooks.send(headers={"X-Id": ident})[0], 200)
                self.assertEqual(hooks.probe.count("event"), again, ident)
        with Hooks("id_header=X-Id", "dedupe_window=0") as hooks:
            for _ in range(2):
                hooks.send(headers={"X-Id": "1"})
                hooks.probe.expect("event", id="1")
        with Hooks("id_header=X-Id", models="a,b") as hooks:  # an id is its model's
            for path in "/hooks/a", "/hooks/b":
                hooks.send(path=path, headers={"X-Id": "1"})
                hooks.probe.expect("event", id="1", model=path[-1])
            self.assertEqual(hooks.send(path="/hooks/a", headers={"X-Id": "x" * 300})[0], 400)

    def test_without_an_id_each_has_its_own(self):
        with Hooks() as hooks:
            ids = set()
            for _ in range(3):
                self.assertEqual(hooks.send()[0], 200)
                ids.add(hooks.probe.expect("event")["id"])
            self.assertEqual(len(ids), 3)

    def test_several_routes_share_a_listener(self):
        with Hooks("id_header=X-Id", instances=2) as hooks:
            hooks.probe.expect("started")
            hooks.probe.tell("hold")
            join = hooks.later(headers={"X-Id": "1"})
            for instance in 0, 1:
                hooks.probe.expect("event", instance=instance)
            hooks.probe.tell("settle OK", "settled")
            self.assertEqual(join()[0], 200)

    def test_stop_answers_and_start_takes_again(self):
        with Hooks() as hooks:
            hooks.probe.tell("hold")
            join = hooks.later()
            hooks.probe.expect("event")
            hooks.probe.send("stop")
            hooks.probe.tell("settle OK", "settled")
            self.assertEqual(join()[0], 200)
            hooks.probe.expect("stopped")
            with self.assertRaises(ConnectionRefusedError):
                hooks.send()
            hooks.probe.tell("auto")
            hooks.probe.send("start")
            hooks.probe.expect("started")
            self.assertEqual(hooks.send()[0], 200)
            hooks.probe.expect("event")
            hooks.probe.tell("hold")
            join = hooks.later()
            hooks.probe.expect("event")
            hooks.probe.send("stop")  # and is never settled
            hooks.probe.expect("stopped")
            self.assertEqual(join()[0], 503)

    def test_tls(self):
        with tempfile.TemporaryDirectory() as folder:
            cert, key = folder + "/c.pem", folder + "/k.pem"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                            "-nodes", "-keyout", key, "-out", cert, "-subj", "/CN=localhost", "-addext",
                            "subjectAltName=DNS:localhost"], check=True, stderr=subprocess.DEVNULL)
            with Hooks("tls_cert=" + cert, "tls_key=" + key) as hooks:
                context = ssl.create_default_context(cafile=cert)
                connection = http.client.HTTPSConnection("localhost", hooks.port, context=context, timeout=DEADLINE)
                for n in range(3):
                    connection.request("POST", "/hooks/accounts", json.dumps(n))
                    answer = connection.getresponse()
                    answer.read()
                    self.assertEqual(answer.status, 200)
                    hooks.probe.expect("event", document=str(n))
                connection.close()


if __name__ == "__main__":
    unittest.main(verbosity=1)

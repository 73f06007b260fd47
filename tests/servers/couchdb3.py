#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A server that speaks like Apache CouchDB 3, for tests of the couchdb connector.

It keeps databases in memory (with --store FILE also over its end) and answers in CouchDB 3's shapes: opaque sequences, rows in its order of
members, chunked feeds with heartbeats. `POST /_fault` makes it misbehave:

    {"fault": NAME, "times": N, "path": "_changes", ...}

for the next N requests whose path or query contains that text (and whose method is `method`, if given); the names are in FAULTS. `GET /_fault` tells how
many requests came and what of the faults is left, `DELETE /_fault` ends them all.
"""
import argparse
import base64
import hashlib
import itertools
import json
import socket
import ssl
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = {
    "status": "answer with `status`, and Retry-After when `retry_after` is given",
    "cut": "close the connection after `at` bytes of the body, chunk sizes included",
    "half_row": "close the connection in the middle of row number `row`",
    "malformed": "send what is no JSON instead of row number `row`; with `null_seqs` as well",
    "error_row": "send an error as text in the middle of the body",
    "null_seqs": "only every third row has a sequence",
    "rewind": "begin at the start whatever `since` says",
    "silence": "answer the head and nothing more for `seconds`",
    "slow": "send `bytes` at a time, with a pause of `pause` seconds",
    "early_end": "end a feed that waits at once, as when a shard goes away",
    "bad_utf8": "documents carry a byte that is no UTF-8",
}
SESSION_SECONDS = 600


class Database:
    serial = itertools.count(int(time.time()))

    def __init__(self, name):
        self.name = name
        self.created = str(next(self.serial))
        self.uuid = uuid.uuid4().hex[:8]
        self.count = 0
        self.docs = {}  # id -> (sequence number, rev, deleted, body)
        self.gone = False
        self.store = None

    long = 0  # bytes of a sequence, as of a database with very many shards
    timeless = False  # as CouchDB before 3.3, which does not tell when a database was created

    def seq(self, number):
        token = base64.urlsafe_b64encode(f"{self.uuid}:{number}:".encode() + b"\x83l\0\0\0\2h\3" * 4)
        return f"{number}-g1AAAA{token.decode().rstrip('=')}".ljust(self.long, "_")

    def number(self, since):
        """The number of a sequence; one of another database of this name counts as 0, as in CouchDB."""
        if since in ("0", ""):
            return 0
        if since == "now":
            return self.count
        _, dash, token = since.partition("-g1AAAA")
        if not dash:
            raise ValueError
        token = token.rstrip("_") if self.long else token
        parts = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).split(b":")
        return int(parts[1]) if parts[0].decode() == self.uuid else 0

    def write(self, ident, body, deleted):
        old = self.docs.get(ident)
        generation = int(old[1].partition("-")[0]) + 1 if old else 1
        text = json.dumps([body, deleted, old[1] if old else None]).encode()
        rev = f"{generation}-{hashlib.md5(text).hexdigest()}"
        self.count += 1
        self.docs[ident] = (self.count, rev, deleted, body)
        if self.store:
            self.store.note({"write": self.name, "id": ident, "body": body, "deleted": deleted})
        return rev

    def changes(self, since):
        return sorted((entry, ident) for ident, entry in self.docs.items() if entry[0] > since)

    @staticmethod
    def document(ident, entry):
        _, rev, deleted, body = entry
        if deleted:
            return {"_id": ident, "_rev": rev, "_deleted": True}
        return {"_id": ident, "_rev": rev, **body}


def dump(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def matches(selector, document):
    for name, want in selector.items():
        want = want.get("$eq") if isinstance(want, dict) else want
        if document.get(name) != want:
            return False
    return True


class Store:
    """What was done to the databases, a line each. A line that was cut off was never answered."""

    def __init__(self, path, databases):
        self.file = open(path, "a+", encoding="utf-8")
        self.file.seek(0)
        for line in self.file.read().splitlines():
            try:
                self.again(json.loads(line), databases)
            except ValueError:
                break
        for database in databases.values():
            database.store = self

    @staticmethod
    def again(done, databases):
        if "make" in done:
            database = databases[done["make"]] = Database(done["make"])
            database.uuid, database.created = done["uuid"], done["created"]
        elif "drop" in done:
            del databases[done["drop"]]
        else:
            databases[done["write"]].write(done["id"], done["body"], done["deleted"])

    def note(self, done):
        self.file.write(json.dumps(done) + "\n")
        self.file.flush()


class State:
    def __init__(self, options):
        self.options = options
        self.databases = {}
        self.store = Store(options.store, self.databases) if options.store else None
        self.changed = threading.Condition()
        self.faults = []
        self.requests = {}
        self.sessions = {}
        self.tokens = {}
        self.expires_in = SESSION_SECONDS

    def make(self, name):
        database = self.databases[name] = Database(name)
        database.store = self.store
        if self.store:
            self.store.note({"make": name, "uuid": database.uuid, "created": database.created})

    def note(self, path):
        kind = path.rpartition("/")[2]
        self.requests[kind] = self.requests.get(kind, 0) + 1

    def take_fault(self, path, method):
        for fault in self.faults:
            if fault.get("path", "_changes") in path and fault.get("method", method) == method:
                fault["times"] = fault.get("times", 1) - 1
                if fault["times"] <= 0:
                    self.faults.remove(fault)
                return fault
        return {}


class Cut(Exception):
    pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "CouchDB/3.3.3"
    disable_nagle_algorithm = True
    state = None
    fault = {}

    def log_message(self, *_):
        pass

    # --- plain answers ---

    def answer(self, status, value, headers=()):
        body = dump(value) + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, text in headers:
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    def refuse(self, status, error, reason, headers=()):
        self.answer(status, {"error": error, "reason": reason}, headers)

    def body(self):
        size = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(size)

    # --- who asks ---

    def allowed(self):
        options = self.state.options
        if not options.user:
            return True
        scheme, _, text = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            return base64.b64decode(text).decode() == f"{options.user}:{options.password}"
        if scheme == "Bearer":
            return text == options.token or self.state.tokens.get(text, 0) > time.monotonic()
        for part in self.headers.get("Cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == "AuthSession" and self.state.sessions.get(value, 0) > time.monotonic():
                return True
        return False

    def session(self):
        fields = dict(urllib.parse.parse_qsl(self.body().decode()))
        options = self.state.options
        if fields.get("name") != options.user or fields.get("password") != options.password:
            self.refuse(401, "unauthorized", "Name or password is incorrect.")
            return
        cookie = base64.b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        self.state.sessions[cookie] = time.monotonic() + SESSION_SECONDS
        self.answer(200, {"ok": True, "name": options.user, "roles": []},
                    [("Set-Cookie", f"AuthSession={cookie}; Version=1; Path=/; HttpOnly")])

    def iam(self):
        fields = dict(urllib.parse.parse_qsl(self.body().decode()))
        if fields.get("apikey") != self.state.options.password:
            self.answer(400, {"errorCode": "BXNIM0415E",
                              "errorMessage": "Provided API key could not be found."})
            return
        token = uuid.uuid4().hex
        self.state.tokens[token] = time.monotonic() + SESSION_SECONDS
        self.answer(200, {"access_token": token, "token_type": "Bearer",
                          "expires_in": self.state.expires_in, "expiration": 0})

    # --- routes ---

    def handle_any(self):
        state = self.state
        path, _, query = self.path.partition("?")
        parts = [urllib.parse.unquote(part) for part in path.strip("/").split("/")]
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        if parts[0] == "_fault":
            self.control()
            return
        with state.changed:
            state.note(path)
            self.fault = state.take_fault(self.path, self.command)
        if self.fault.get("fault") == "status":
            after = self.fault.get("retry_after")
            self.body()
            self.refuse(self.fault["status"], "fault", "made to fail",
                        [("Retry-After", str(after))] if after is not None else ())
        elif path == "/_session" and self.command == "POST":
            self.session()
        elif path == "/identity/token":
            self.iam()
        elif not self.allowed():
            self.body()
            self.refuse(401, "unauthorized", "You are not authorized to access this db.")
        elif path == "/":
            self.answer(200, {"couchdb": "Welcome", "version": "3.3.3", "git_sha": "40afbcfc7",
                              "uuid": "0", "features": [], "vendor": {"name": "test"}})
        elif path == "/_all_dbs":
            with state.changed:
                self.answer(200, sorted(state.databases))
        else:
            self.database(parts)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    def control(self):
        state = self.state
        with state.changed:
            if self.command == "POST":
                wish = json.loads(self.body())
                if wish["fault"] == "expire":  # all sessions and tokens at once
                    state.sessions.clear()
                    state.tokens.clear()
                elif wish["fault"] == "expires_in":  # what is said of the time of tokens from now on
                    state.expires_in = wish["seconds"]
                elif wish["fault"] == "long_seqs":  # from now on, of all databases
                    Database.long = wish["bytes"]
                elif wish["fault"] == "timeless":
                    Database.timeless = True
                elif wish["fault"] == "disconnect":
                    state.options.epoch += 1
                    state.changed.notify_all()
                else:
                    assert wish["fault"] in FAULTS, wish
                    state.faults.append(wish)
            elif self.command == "DELETE":
                state.faults.clear()
            self.answer(200, {"requests": state.requests, "faults": state.faults})

    def database(self, parts):
        state, name = self.state, parts[0]
        with state.changed:
            database = state.databases.get(name)
            if len(parts) == 1 and self.command == "PUT":
                self.body()
                if database:
                    self.refuse(412, "file_exists", "The database could not be created.")
                else:
                    state.make(name)
                    self.answer(201, {"ok": True})
                return
            if database is None:
                self.body()
                self.refuse(404, "not_found", "Database does not exist.")
                return
            if len(parts) == 1:
                self.one_database(database)
                return
            if parts[1] != "_changes":
                self.document(database, "/".join(parts[1:]))
                return
        Feed(self, database).run()

    def one_database(self, database):
        if self.command == "DELETE":
            database.gone = True
            del self.state.databases[database.name]
            if self.state.store:
                self.state.store.note({"drop": database.name})
            self.state.changed.notify_all()
            self.answer(200, {"ok": True})
        elif self.command == "POST":
            body = json.loads(self.body())
            self.store(database, body.pop("_id", uuid.uuid4().hex), body)
        else:
            self.answer(200, {"instance_start_time": "0" if database.timeless else database.created, "db_name": database.name,
                              "purge_seq": "0-g1", "update_seq": database.seq(database.count),
                              "sizes": {"file": 1, "external": 1, "active": 1}, "props": {},
                              "doc_del_count": 0, "doc_count": len(database.docs),
                              "disk_format_version": 8, "compact_running": False,
                              "cluster": {"q": 2, "n": 1, "w": 1, "r": 1}})

    def store(self, database, ident, body, deleted=False):
        body.pop("_id", None)
        body.pop("_rev", None)
        deleted = bool(body.pop("_deleted", deleted))
        rev = database.write(ident, body, deleted)
        self.state.changed.notify_all()
        self.answer(200 if deleted else 201, {"ok": True, "id": ident, "rev": rev})

    def document(self, database, ident):
        entry = database.docs.get(ident)
        if ident == "_bulk_docs":
            made = []
            for body in json.loads(self.body())["docs"]:
                name = body.pop("_id", None) or uuid.uuid4().hex
                body.pop("_rev", None)
                rev = database.write(name, body, bool(body.pop("_deleted", False)))
                made.append({"ok": True, "id": name, "rev": rev})
            self.state.changed.notify_all()
            self.answer(201, made)
        elif self.command == "PUT":
            body = json.loads(self.body())
            if entry and not entry[2] and body.get("_rev") != entry[1]:
                self.refuse(409, "conflict", "Document update conflict.")
            else:
                self.store(database, ident, body)
        elif entry is None or entry[2]:
            self.body()
            self.refuse(404, "not_found", "deleted" if entry else "missing")
        elif self.command == "DELETE":
            if self.query.get("rev") != entry[1]:
                self.refuse(409, "conflict", "Document update conflict.")
            else:
                self.store(database, ident, {}, True)
        else:
            self.answer(200, database.document(ident, entry))


class Feed:
    """One answer of _changes."""

    def __init__(self, handler, database):
        self.handler, self.database, self.state = handler, database, handler.state
        self.query, self.fault = handler.query, handler.fault
        self.sent = 0
        self.rows = 0
        self.selector = None

    def run(self):
        handler, query = self.handler, self.query
        try:
            with self.state.changed:
                self.at = self.database.number(query.get("since", "0"))
        except (ValueError, IndexError, UnicodeDecodeError):
            handler.refuse(400, "bad_request", "Malformed sequence supplied in 'since' parameter.")
            return
        if self.fault.get("fault") == "rewind":
            self.at = 0
        text = handler.body()
        if query.get("filter") == "_selector":
            self.selector = json.loads(text)["selector"]
        self.limit = int(query.get("limit", 1 << 60))
        self.kind = query.get("feed", "normal")
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.flush()
        try:
            if self.fault.get("fault") == "silence":
                handler.connection.settimeout(self.fault.get("seconds", 60))
                handler.rfile.read(1)  # until the client gives up
                raise Cut
            self.continuous() if self.kind == "continuous" else self.page()
            handler.wfile.write(b"0\r\n\r\n")
            handler.wfile.flush()
        except (Cut, OSError):
            handler.close_connection = True
            try:
                handler.connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    # --- bytes ---

    def send(self, data):
        """One chunk, with what goes wrong in it."""
        raw = b"%x\r\n%s\r\n" % (len(data), data)
        if self.fault.get("fault") == "cut" and self.sent + len(raw) > self.fault["at"]:
            self.handler.wfile.write(raw[:max(0, self.fault["at"] - self.sent)])
            self.handler.wfile.flush()
            raise Cut
        self.sent += len(raw)
        step = self.fault.get("bytes", 7) if self.fault.get("fault") == "slow" else len(raw)
        for at in range(0, len(raw), step):
            self.handler.wfile.write(raw[at:at + step])
            self.handler.wfile.flush()
            if step < len(raw):
                time.sleep(self.fault.get("pause", 0.001))

    def row(self, entry, ident):
        number, rev, deleted, _ = entry
        name = self.fault.get("fault")
        null = (name == "null_seqs" or self.fault.get("null_seqs")) and self.rows % 3 != 2
        row = {"seq": None if null else self.database.seq(number), "id": ident,
               "changes": [{"rev": rev}]}
        if deleted:
            row["deleted"] = True
        if self.query.get("include_docs") == "true":
            row["doc"] = self.database.document(ident, entry)
        data = dump(row)
        if name == "bad_utf8":
            data = data[:-2] + b',"x":"\xff"}}'
        if name == "malformed" and self.rows == self.fault.get("row", 0):
            data = data[:len(data) // 2] + b'",],}'
        if name == "error_row" and self.rows == self.fault.get("row", 0):
            self.send(b'{"error":"timeout","reason":"The request could not be processed in time"}\n')
            raise Cut
        if name == "half_row" and self.rows == self.fault.get("row", 0):
            self.send(data[:len(data) // 2])
            raise Cut
        self.rows += 1
        return data

    # --- what there is to tell ---

    def batch(self):
        """Rows that are there, at most the limit."""
        rows = []
        for entry, ident in self.database.changes(self.at):
            if self.rows + len(rows) >= self.limit:
                break
            self.at = entry[0]
            document = self.database.document(ident, entry)
            if self.selector is None or matches(self.selector, document):
                rows.append((entry, ident))
        return rows

    def wait(self, until):
        """Rows when there are some, [] when the time is over, None when the feed is to end."""
        epoch = self.state.options.epoch
        with self.state.changed:
            while True:
                rows = self.batch()
                if rows:
                    return rows
                if self.database.gone or self.fault.get("fault") == "early_end":
                    return None
                if epoch != self.state.options.epoch:
                    raise Cut
                left = until - time.monotonic()
                if left <= 0:
                    return []
                self.state.changed.wait(left)

    def ending(self):
        pending = len(self.database.changes(self.at))
        return b'"last_seq":%s,"pending":%d}\n' % (dump(self.database.seq(self.at)), pending)

    def page(self):
        self.send(b'{"results":[\n')
        with self.state.changed:
            rows = self.batch()
        if not rows and self.kind == "longpoll":
            rows = self.patient()
        for entry, ident in rows or []:
            data = self.row(entry, ident)
            self.send(data if self.rows == 1 else b",\r\n" + data)
        self.send(b"\n],\n" + self.ending())

    def patient(self):
        beat = self.query.get("heartbeat")
        beat = 60000 if beat == "true" else int(beat or 0)
        over = time.monotonic() + (1e9 if beat else int(self.query.get("timeout", 60000)) / 1000)
        while True:
            now = time.monotonic()
            rows = self.wait(min(over, now + beat / 1000) if beat else over)
            if rows or rows is None or time.monotonic() >= over:
                return rows
            self.send(b"\n")

    def continuous(self):
        while True:
            rows = self.patient()
            for entry, ident in rows or []:
                self.send(self.row(entry, ident) + b"\n")
            if not rows or self.rows >= self.limit:
                self.send(b"{" + self.ending())
                return


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    context = None

    def finish_request(self, request, client_address):
        if self.context:
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, *_):
        pass


def secret(path):
    with open(path, encoding="utf-8") as file:
        return file.read().rstrip("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tls-port", type=int)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--user")
    parser.add_argument("--password-file")
    parser.add_argument("--token", default="the-bearer-token")
    parser.add_argument("--store", metavar="FILE")
    parser.add_argument("--database", action="append", default=[])
    options = parser.parse_args()
    options.epoch = 0
    options.password = secret(options.password_file) if options.password_file else None
    Handler.state = State(options)
    for name in options.database:
        if name not in Handler.state.databases:
            Handler.state.make(name)
    servers = [Server(("127.0.0.1", options.port), Handler)]
    if options.tls_port:
        servers.append(Server(("127.0.0.1", options.tls_port), Handler))
        servers[1].context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        servers[1].context.load_cert_chain(options.cert, options.key)
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    servers[0].serve_forever()


if __name__ == "__main__":
    main()

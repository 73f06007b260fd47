# SPDX-License-Identifier: MIT
"""One cell of the matrix of faults: a source, a broker, and something that goes wrong while events flow.

Every event arrives; what comes twice is counted and is never more than what was in flight."""
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import bridging
from bridging import until

IN_FLIGHT = 50
FIRST, LAST = 300, 600  # events before and after the fault
SOURCES = ("couchdb", "webhook", "broker", "exec")
TARGETS = ("local", "redis+streams", "amqp", "mqtt")
FAULTS = ("kill-bridge", "kill-source", "kill-broker", "cut-network", "full-disk", "stop-bridge")


class Proxy:
    """Passes TCP on to a port of this machine, until it is cut."""

    def __init__(self, case, to):
        self.to, self.is_cut, self.links = to, False, []
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
        back = threading.Thread(target=self.copy, args=(far, near), daemon=True)
        back.start()
        self.copy(near, far)
        back.join()
        for link in (near, far):
            self.links.remove(link)
            link.close()

    @staticmethod
    def copy(one, other):
        try:
            while data := one.recv(65536):
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


class Broker:
    """A broker of its own, which keeps what it confirmed over a kill."""
    kinds = {"redis+streams": ("redis", "aof-always"), "amqp": ("rabbitmq", None), "mqtt": ("mosquitto", "autosave")}

    def __init__(self, case, name):
        self.case, self.name = case, name
        if name == "local":
            self.url = self.direct = case.bus
            return
        kind, variant = self.kinds[name]
        self.told = bridging.interop.start_broker(kind, variant)
        case.addCleanup(self.tool, "stop", "--now", "--remove")
        self.proxy = Proxy(case, self.told["port"])
        rest = self.told["urls"]["plain"].split("://", 1)[1]
        self.direct = "%s://%s" % (name, rest)
        self.url = self.direct.replace(":%d" % self.told["port"], ":%d" % self.proxy.port)

    def tool(self, command, *args):
        subprocess.run([sys.executable, "-B", bridging.interop.TOOL, command, self.told["dir"], *args], check=True,
                       stdout=subprocess.DEVNULL)

    def listen(self, topic):
        """Have the broker keep what comes, where it keeps nothing by itself."""
        self.topic = topic
        if self.name in ("amqp", "mqtt"):
            sub = self.case.spawn([bridging.PUBSUB, "sub", "-v", "--json", "-b", self.direct, "--durable", "look", topic],
                                  "sub.log")
            sub.wait_for("subscribed to")
            if self.name == "mqtt":  # it goes on: a name that is left may get again what it had
                self.sub = sub
            else:
                sub.signal(signal.SIGTERM).end()

    def messages(self):
        if self.name == "mqtt":
            return [json.loads(line) for line in self.sub.log().split("\n")[:-1] if line.startswith("{")]
        if self.name == "amqp":
            # Taken for good: what is read comes on top of what was read before.
            out = self.case.pubsub("sub", "--durable", "look", "--idle", "1s", "--json", self.topic,
                                   broker=self.direct)
            self.seen = getattr(self, "seen", []) + [json.loads(line) for line in out.splitlines()]
            return self.seen
        return self.case.stored(self.topic, self.direct)


# ---- sources: feed(numbers) has events made; kill() and so on do it to the source ----


class CouchSource:
    def __init__(self, case):
        self.couch = bridging.Couch(case)
        self.proxy = Proxy(case, self.couch.port)
        self.pattern, self.model = "accounts", "accounts"
        self.settings = {"connector": "couchdb", "url": "http://127.0.0.1:%d" % self.proxy.port, "since": "0",
                         "retry_max": "500ms"}

    def feed(self, numbers):
        for n in numbers:
            self.couch.put("d%d" % n, {"n": n})

    def kill(self):
        self.couch.process.kill()

    def again(self):
        self.couch.start()


class HookSource:
    """Its sender comes again until it is answered with 2xx, as senders do."""

    def __init__(self, case):
        self.port = case.free_port()
        self.proxy = Proxy(case, self.port)
        self.model = "orders"
        self.away = threading.Event()
        self.settings = {"connector": "webhook", "listen": "127.0.0.1:%d" % self.port, "id_header": "X-Id",
                         "retry_after": "1s"}

    def feed(self, numbers):
        for n in numbers:
            until("an answer to %d" % n, lambda n=n: not self.away.is_set() and bridging.request(
                self.proxy.port, "/hooks/orders", "POST", json.dumps({"n": n}),
                {"Content-Type": "application/json", "X-Id": str(n)})[0] == 200)

    def kill(self):
        """The sender goes in the middle of a request, and sends it again later."""
        self.away.set()
        with socket.create_connection(("127.0.0.1", self.port)) as half:
            half.sendall(b"POST /hooks/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{\"n\":")

    def again(self):
        self.away.clear()


class BrokerSource:
    def __init__(self, case):
        self.case = case
        self.broker = Broker(case, "redis+streams")
        self.proxy = self.broker.proxy
        self.model = "in/#"
        self.settings = {"connector": "broker", "url": self.broker.url, "from": "earliest"}

    def feed(self, numbers):
        for n in numbers if len(numbers) < 2 else [None]:
            lines = "".join('{"n":%d}\n' % n for n in numbers).encode()
            until("the source's broker", lambda: subprocess.run(
                [bridging.PUBSUB, "pub", "-q", "-b", self.broker.direct, "-l", "in/t"], input=lines,
                env=self.case.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0)

    def kill(self):
        self.broker.tool("kill")

    def again(self):
        self.broker.tool("restart")


class ExecSource:
    proxy = None

    def __init__(self, case):
        self.case, self.file, self.model = case, case.journal(), "m"
        self.settings = case.exec_source(self.file)

    def feed(self, numbers):
        self.case.append(self.file, numbers)

    def kill(self):
        until("the program", lambda: os.path.exists(self.file + ".pid"))
        with open(self.file + ".pid", encoding="ascii") as file:
            os.kill(int(file.read()), signal.SIGKILL)

    def again(self):
        """The bridge starts it again."""


KINDS = {"couchdb": CouchSource, "webhook": HookSource, "broker": BrokerSource, "exec": ExecSource}


class Cell:
    """What one cell does, in order."""

    def __init__(self, case, source, fault, target):
        self.case, self.fault = case, fault
        if fault == "full-disk":
            case.small_disk(256 if source == "webhook" else 1)
        self.source = KINDS[source](case)
        self.broker = Broker(case, target)
        self.broker.listen("t")
        self.file = case.config({"s": self.source.settings}, [
            {"name": "one", "model": self.source.model, "topic": "t", "in_flight": IN_FLIGHT}],
            broker=self.broker.url)
        self.lives = 0
        self.start()

    def start(self):
        self.lives += 1
        self.bridge = self.case.bridge(self.file, log="bridge-%d.log" % self.lives)

    def wait_published(self, count):
        self.bridge.until_route("one", "%d events" % count, lambda route: route["published"] >= count)

    def break_it(self):
        fault = self.fault
        if fault == "kill-bridge":
            self.bridge.kill()
        elif fault == "kill-source":
            self.source.kill()
        elif fault == "kill-broker":
            if self.broker.name != "mqtt":  # Mosquitto writes down what it confirmed up to a second later,
                self.broker.tool("kill")  # so there it is ended and started again
        elif fault == "cut-network":
            self.proxy = self.source.proxy or self.broker.proxy
            self.proxy.cut()
        elif fault == "full-disk":
            self.case.fill_disk()
        else:
            self.bridge.signal(signal.SIGSTOP)

    def mend_it(self):
        fault = self.fault
        if fault == "kill-bridge":
            self.start()
        elif fault == "kill-source":
            self.source.again()
        elif fault == "kill-broker":
            self.broker.tool("restart")
        elif fault == "cut-network":
            self.proxy.heal()
        elif fault == "full-disk":
            self.case.empty_disk()
        else:
            self.bridge.signal(signal.SIGCONT)

    def run(self):
        """(duplicates, seconds from the mending to the last event)"""
        failures = []

        def feed():
            try:
                for begin in range(1, LAST + 1, 10):
                    if begin == FIRST + 1:
                        halfway.set()
                    self.source.feed(range(begin, begin + 10))
            except BaseException as error:  # told by the thread that waits
                failures.append(error)
                halfway.set()

        # A source that is down takes no events; it is fed when it is there again.
        halfway = threading.Event()
        feeder = threading.Thread(target=feed, daemon=True)
        if self.fault == "kill-source" and not isinstance(self.source, (ExecSource, HookSource)):
            self.source.feed(range(1, FIRST + 1))
            self.break_it()
            feeder = threading.Thread(target=lambda: self.source.feed(range(FIRST + 1, LAST + 1)), daemon=True)
        else:
            feeder.start()
            halfway.wait(bridging.DEADLINE)
            self.break_it()
        begin = time.monotonic()
        hold = 2 if self.fault in ("stop-bridge", "full-disk", "cut-network") else 0.3
        until("the fault's time", lambda: time.monotonic() > begin + hold)
        self.mend_it()
        begin = time.monotonic()
        if feeder.ident is None:
            feeder.start()
        feeder.join(2 * bridging.DEADLINE)
        if failures:
            raise failures[0]
        return self.look(begin)

    def look(self, begin):
        want = set(range(1, LAST + 1))
        numbers = []

        def all_there():
            numbers[:] = [bridging.number_of(message) for message in self.broker.messages()]
            return set(numbers) >= want

        until("every event", all_there, detail=lambda: "%d of %d are there, first missing %s; %s\n%s" % (
            len(want & set(numbers)), LAST, sorted(want - set(numbers))[:5], self.bridge.routes(),
            self.bridge.log()[-2000:]))
        seconds = time.monotonic() - begin
        self.case.stopped(self.bridge)
        numbers[:] = [bridging.number_of(message) for message in self.broker.messages()]
        twice = len(numbers) - len(set(numbers))
        self.case.assertEqual(set(numbers), want)
        self.case.assertLessEqual(twice, IN_FLIGHT)
        return twice, seconds


def target_for(source, fault, target):
    """Some faults need a broker that is a process."""
    needs = fault == "kill-broker" or (fault == "cut-network" and source == "exec")
    return "redis+streams" if needs and target == "local" else target

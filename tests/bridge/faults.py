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
from wires import MqttTap, Proxy

IN_FLIGHT = 50
FIRST, LAST = 300, 600  # events before and after the fault
MARK = 0  # no event: what comes before it is all there is
SOURCES = ("couchdb", "webhook", "broker", "exec")
TARGETS = ("local", "redis+streams", "amqp", "mqtt")
FAULTS = ("kill-bridge", "kill-source", "kill-broker", "end-broker", "cut-network", "full-disk", "stop-bridge")
SENDER = 10  # seconds after which a webhook's sender closes the connection and sends again, as GitHub does
SHORT = 2  # seconds that the bridge is stopped where nobody wants to wait
LONG = 40  # so long that every peer gives up on a connection that says nothing, when told to be impatient
# How each broker is made to give up on a silent client within LONG seconds, and what it writes then.
IMPATIENT = {
    "redis+streams": (("timeout 10", "loglevel verbose"), {}, "Closing idle client"),
    "amqp": ((), {"amqp.heartbeat": "10s"}, "missed heartbeats from client"),
    "mqtt": ((), {"mqtt.keep_alive": "10s"}, "has exceeded timeout"),
}


class Feeder(threading.Thread):
    """Has something done in the background; what went wrong is told by end()."""

    def __init__(self, do, *args):
        super().__init__(daemon=True)
        self.do, self.args, self.error = do, args, None
        self.start()

    def run(self):
        try:
            self.do(*self.args)
        except BaseException as error:  # told by the thread that waits
            self.error = error

    def end(self):
        self.join(5 * bridging.DEADLINE)
        if self.error:
            raise self.error
        if self.is_alive():
            raise AssertionError("the events cannot be made")


class Broker:
    """A broker of its own, which keeps what it confirmed over a kill."""
    kinds = {"redis+streams": ("redis", "aof-always"), "amqp": ("rabbitmq", None), "mqtt": ("mosquitto", "autosave")}

    def __init__(self, case, name, impatient=False):
        self.case, self.name = case, name
        settings, self.options, self.complaint = (), {}, None
        if name == "local":
            self.url = self.direct = case.bus
            return
        if impatient:
            settings, self.options, self.complaint = IMPATIENT[name]
        kind, variant = self.kinds[name]
        self.told = bridging.interop.start_broker(kind, variant, *settings)
        case.addCleanup(self.tool, "stop", "--now", "--remove")
        self.proxy = Proxy(case, self.told["port"])
        rest = self.told["urls"]["plain"].split("://", 1)[1]
        self.direct = "%s://%s" % (name, rest)
        self.url = self.direct.replace(":%d" % self.told["port"], ":%d" % self.proxy.port)

    def log(self):
        with open(self.told["log"], encoding="utf-8", errors="replace") as file:
            return file.read()

    def tool(self, command, *args):
        subprocess.run([sys.executable, "-B", bridging.interop.TOOL, command, self.told["dir"], *args], check=True,
                       stdout=subprocess.DEVNULL)

    def listen(self, topic):
        """Have the broker keep what comes, where it keeps nothing by itself."""
        self.topic = topic
        if self.name in ("amqp", "mqtt"):
            sub = self.case.spawn([bridging.PUBSUB, "sub", "-v", "--json", "-b", self.direct, "--durable", "look",
                                   topic], "sub.log")
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
                {"Content-Type": "application/json", "X-Id": str(n)}, SENDER)[0] == 200, self.patience)

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
        """Not all at once: the fault is to come while events flow."""
        self.case.append(self.file, numbers)
        threading.Event().wait(0.005)

    def kill(self):
        until("the program", lambda: os.path.exists(self.file + ".pid"))
        with open(self.file + ".pid", encoding="ascii") as file:
            os.kill(int(file.read()), signal.SIGKILL)

    def again(self):
        """The bridge starts it again."""


KINDS = {"couchdb": CouchSource, "webhook": HookSource, "broker": BrokerSource, "exec": ExecSource}


class Cell:
    """What one cell does, in order."""

    def __init__(self, case, source, fault, target, stop_seconds=SHORT):
        self.case, self.fault, self.stop_seconds = case, fault, stop_seconds
        if fault == "full-disk":
            case.small_disk(256 if source == "webhook" else 1)
        self.source = KINDS[source](case)
        self.source.patience = bridging.DEADLINE + self.hold()
        self.broker = Broker(case, target, fault == "stop-bridge" and stop_seconds >= LONG)
        # Mosquitto confirms before it writes, so what it knew when it was killed is told by its own bytes.
        self.may_lose = fault == "kill-broker" and target == "mqtt"
        if self.may_lose:
            self.tap = self.broker.proxy.tap = MqttTap()
        self.lost = []
        self.broker.listen("t")
        self.file = case.config({"s": self.source.settings}, [
            {"name": "one", "model": self.source.model, "topic": "t", "in_flight": IN_FLIGHT}],
            broker=dict(self.broker.options, url=self.broker.url))
        self.lives = 0
        self.start()

    def start(self):
        self.lives += 1
        self.bridge = self.case.bridge(self.file, log="bridge-%d.log" % self.lives)

    def break_it(self):
        fault = self.fault
        if fault == "kill-bridge":
            self.bridge.kill()
        elif fault == "kill-source":
            self.source.kill()
        elif fault == "kill-broker":
            self.broker.tool("kill")
        elif fault == "cut-network":
            self.proxy = self.source.proxy or self.broker.proxy
            self.proxy.cut()
        elif fault == "full-disk":
            self.case.fill_disk()
        elif fault == "stop-bridge":
            self.bridge.signal(signal.SIGSTOP)

    def mend_it(self):
        fault = self.fault
        if fault == "kill-bridge":
            self.start()
        elif fault == "kill-source":
            self.source.again()
        elif fault in ("kill-broker", "end-broker"):
            if self.may_lose:
                until("its last bytes", lambda: not self.broker.proxy.links)
                self.confirmed = list(self.tap.confirmed)
            self.broker.tool("restart")  # by SIGTERM, where it still runs
        elif fault == "cut-network":
            self.proxy.heal()
        elif fault == "full-disk":
            self.case.empty_disk()
        else:
            if self.broker.complaint:
                until("the broker to give up", lambda: self.broker.complaint in self.broker.log(),
                      detail=self.broker.log)
            self.bridge.signal(signal.SIGCONT)

    def hold(self):
        """How long it stays broken."""
        if self.fault == "stop-bridge":
            return self.stop_seconds
        return 2 if self.fault in ("full-disk", "cut-network") else 0.3

    def feed_all(self):
        """Has the events made, some of them while the fault lasts. A webhook's senders do not wait for each other
        while nobody answers."""
        senders = []
        for begin in range(1, LAST + 1, 10):
            batch = range(begin, begin + 10)
            if begin == FIRST + 1:
                self.halfway.set()
            if begin <= FIRST or self.fault != "stop-bridge":
                self.source.feed(batch)
                continue
            sender = Feeder(self.source.feed, batch)
            senders.append(sender)
            if not isinstance(self.source, HookSource):
                sender.end()
            self.mended.wait(self.stop_seconds / 25)
        for sender in senders:
            sender.end()

    def run(self):
        """(duplicates, seconds from the mending to the last event, how many the broker lost)"""
        self.halfway, self.mended = threading.Event(), threading.Event()
        # A source that is down takes no events; it is fed when it is there again.
        if self.fault == "kill-source" and not isinstance(self.source, (ExecSource, HookSource)):
            self.source.feed(range(1, FIRST + 1))
            self.break_it()
            feeder = None
        else:
            feeder = Feeder(self.feed_all)
            until("half of the events", lambda: self.halfway.is_set() or not feeder.is_alive())
            self.break_it()
        begin = time.monotonic()
        until("the fault's time", lambda: time.monotonic() > begin + self.hold(), self.hold() + bridging.DEADLINE)
        self.mend_it()
        begin = time.monotonic()
        self.mended.set()
        (feeder or Feeder(self.source.feed, range(FIRST + 1, LAST + 1))).end()
        return self.look(begin)

    def look(self, begin):
        want = set(range(1, LAST + 1))
        numbers = []

        def arrived():
            numbers[:] = [bridging.number_of(message) for message in self.broker.messages()]
            return set(numbers)

        def all_there():
            return arrived() | set(self.lost) >= want

        if self.may_lose:
            self.find_lost(want, arrived)
        until("every event", all_there, detail=lambda: "%d of %d are there, first missing %s; %s\n%s" % (
            len(want & set(numbers)), LAST, sorted(want - set(numbers))[:5], self.bridge.routes(),
            self.bridge.log()[-2000:]))
        seconds = time.monotonic() - begin
        self.case.stopped(self.bridge)
        self.case.assertEqual(arrived() - {MARK}, want - set(self.lost))
        twice = len(numbers) - len(set(numbers))
        self.case.assertLessEqual(twice, IN_FLIGHT)
        return twice, seconds, len(self.lost)

    def find_lost(self, want, arrived):
        """Which events are gone with the broker: those that it had confirmed when it was killed, and that do not come
        before a message that is published when it has confirmed them all."""
        until("the broker to confirm every event", lambda: set(self.tap.confirmed) >= want,
              detail=lambda: "%s\n%s" % (sorted(want - set(self.tap.confirmed))[:5], self.bridge.log()[-2000:]))
        self.case.pubsub("pub", "t", json.dumps({"n": MARK}), broker=self.broker.direct)
        until("the last message", lambda: MARK in arrived())
        self.lost = sorted(want - arrived(), key=self.tap.confirmed.get)
        # Of what it confirmed just before, one for its one connection with us.
        self.case.assertIn(self.lost, ([], self.confirmed[-1:]), "lost, and not by the broker")


def target_for(source, fault, target):
    """Some faults need a broker that is a process."""
    needs = fault in ("kill-broker", "end-broker") or (fault == "cut-network" and source == "exec")
    return "redis+streams" if needs and target == "local" else target

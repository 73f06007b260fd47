# SPDX-License-Identifier: MIT
"""The measurements of run-bridge.sh, which starts the brokers and calls this."""
import argparse
import http.client
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time

PATIENCE = 120
TICKS = os.sysconf("SC_CLK_TCK")
SECRET = "benchmark"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Bridge:
    """One life of pubsub-bridge with one route."""

    def __init__(self, bench, source, broker, route):
        self.dir = bench.directory()
        self.port = free_port()
        file = os.path.join(self.dir, "bridge.yaml")
        with open(file, "w", encoding="utf-8") as out:
            out.write(f'state: {self.dir}/state\nlisten: 127.0.0.1:{self.port}\n'
                      f'brokers: {{main: "{broker}"}}\nsources: {{source: {{{source}}}}}\n'
                      f"routes: [{{name: route, {route}}}]\n")
        self.link = None
        self.log = open(os.path.join(self.dir, "log"), "w+", encoding="utf-8")
        self.begin = time.monotonic()
        self.process = subprocess.Popen([bench.tool("pubsub-bridge"), "run", file], stderr=self.log)

    def get(self, path):
        """Status and body; None while nobody listens."""
        try:
            if self.link is None:
                self.link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            self.link.request("GET", path)
            answer = self.link.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException):
            self.link = None
            if self.process.poll() is not None:
                self.log.seek(0)
                sys.exit("run-bridge.sh: the bridge ended: " + self.log.read())
            return None

    def wait(self, path, good, pause):
        while time.monotonic() - self.begin < PATIENCE:
            answer = self.get(path)
            if answer is not None and good(*answer):
                return time.monotonic()
            time.sleep(pause)
        sys.exit(f"run-bridge.sh: nothing good from {path}: {answer}")

    def published(self):
        answer = self.get("/metrics")
        found = re.search(r"events_published_total\{[^}]*\} (\d+)", answer[1]) if answer else None
        return int(found.group(1)) if found else 0

    def cpu_us(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as stat:
            words = stat.read().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) * 1e6 / TICKS

    def memory_kb(self, name):
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as status:
            return int(re.search(name + r":\s+(\d+)", status.read()).group(1))

    def count_to(self, count):
        """Rate from the first published event seen to the last, CPU in us an event, highest RSS in kB."""
        first = None
        while True:
            now, published = time.monotonic(), self.published()
            if first is None and published > 0:
                first = now, published
            if published >= count:
                break
            if now - self.begin > PATIENCE:
                sys.exit(f"run-bridge.sh: {published} of {count} after {PATIENCE} s")
            time.sleep(0.02)
        rate = (published - first[1]) / max(now - first[0], 1e-9)
        return rate, self.cpu_us() / count, self.memory_kb("VmHWM")

    def stop(self):
        """Seconds from SIGTERM to the end."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        if code != 0:
            sys.exit(f"run-bridge.sh: the bridge ended with exit code {code}")
        self.log.close()
        return time.monotonic() - begin


class Bench:
    def __init__(self, args):
        self.args = args
        self.ports = dict(word.split("=") for word in args.ports)
        self.serial = 0
        self.result = {}

    def tool(self, name):
        return os.path.join(self.args.bin, name)  # an absolute name stays

    def run(self, name, *words):
        return subprocess.run([self.tool(name), *map(str, words)], check=True, stdout=subprocess.PIPE, text=True).stdout

    def directory(self):
        self.serial += 1
        path = os.path.join(self.args.work, f"run.{self.serial}")
        os.mkdir(path)
        return path

    def size(self, count):
        return count // 10 if self.args.quick else count

    def note(self, text):
        if sys.stderr.isatty():
            print(f"\r{text:<70}", end="", file=sys.stderr, flush=True)

    def keep(self, kind, name, **values):
        row = self.result.setdefault(kind, {}).setdefault(name, {})
        for key, value in values.items():
            row.setdefault(key, []).append(value)

    def median(self, kind, name, key):
        return statistics.median(self.result[kind][name][key])

    def forget_redis(self):
        with socket.create_connection(("127.0.0.1", int(self.ports["redis"]))) as link:
            link.sendall(b"FLUSHALL\r\n")
            link.recv(16)

    # ---- a feed that catches up ----------------------------------------------------------------------------------

    def url(self, name, work):
        port = self.ports[name]
        return {"local": f"local:{work}/bus?local.max_bytes=2G", "redis": f"redis+streams://127.0.0.1:{port}",
                "amqp": f"amqp://127.0.0.1:{port}/?exchange=", "mqtt": f"mqtt://127.0.0.1:{port}"}[name]

    def couchdb_alone(self, port, count):
        begin = time.monotonic()
        with socket.create_connection(("127.0.0.1", port)) as link:
            link.sendall(b"GET /accounts/_changes?feed=normal&since=0 HTTP/1.1\r\nHost: x\r\n\r\n")
            end = b""
            while b'"last_seq"' not in end:
                piece = link.recv(1 << 18)
                end = end[-64:] + piece
        self.keep("couchdb", "feed server alone", rate=count / (time.monotonic() - begin))

    def couchdb(self):
        for round_ in range(self.args.rounds):
            for name in self.ports:
                count = self.size({"local": 400000, "redis": 400000, "amqp": 60000, "mqtt": 60000}[name])
                self.note(f"couchdb -> {name}, round {round_ + 1}")
                with subprocess.Popen([self.tool("bench_feed_server"), str(count)], stdout=subprocess.PIPE,
                                      text=True) as server:
                    port = int(server.stdout.readline())
                    self.couchdb_alone(port, count)
                    if name == "amqp":
                        self.run("bench_amqp_relay", "make", self.ports[name], f"accounts.{round_}")
                    bridge = Bridge(self, f'connector: couchdb, url: "http://127.0.0.1:{port}", since: "0"',
                                    self.url(name, self.directory()), f"model: accounts, topic: accounts.{round_}")
                    rate, cpu, rss = bridge.count_to(count)
                    self.keep("couchdb", name, rate=rate, cpu_us=cpu, rss_kb=rss, stop_s=bridge.stop())
                    server.kill()
                if name in ("redis", "amqp"):
                    begin = time.monotonic()
                    self.run(f"bench_{name}_relay", "fill", self.ports[name], f"raw.{round_}", count, 330)
                    self.keep("couchdb", name, **{"raw publisher": count / (time.monotonic() - begin)})
                if name == "redis":
                    self.forget_redis()

    # ---- from a broker to itself ---------------------------------------------------------------------------------

    def relay_round(self, name, count, tag):
        tool = f"bench_{name}_relay"
        port = self.ports[name]
        self.run(tool, "fill", port, f"{tag}.a", count)
        if name == "amqp":
            self.run(tool, "make", port, f"{tag}.b")
        url = self.url(name, "")
        bridge = Bridge(self, f'connector: broker, url: "{url}", group: {tag}'
                        + (", from: earliest" if name == "redis" else ""), url,
                        f"model: {tag}.a, topic: {tag}.b, format: raw")
        rate, cpu, rss = bridge.count_to(count)
        self.keep("relay", name, rate=rate, cpu_us=cpu, rss_kb=rss, stop_s=bridge.stop())
        for kind in ([], ["id"]):
            self.run(tool, "fill", port, f"{tag}.c", count)
            raw = json.loads(self.run(tool, "relay", port, f"{tag}.c", f"{tag}.d", count, *kind))
            key = "raw with id" if kind else "raw"
            self.keep("relay", name, **{key: raw["rate"], key + " cpu_us": raw["cpu_us"]})
            if name == "redis":
                self.forget_redis()
        if name == "redis" and self.args.watermill:
            few = count // 10
            self.run(tool, "fill", port, f"{tag}.e", few)
            peer = json.loads(self.run(self.args.watermill, "relay", port, f"{tag}.e", f"{tag}.f", few))
            self.keep("relay", name, **{"watermill": peer["rate"], "watermill cpu_us": peer["cpu_us"]})
            self.forget_redis()

    def relay(self):
        for round_ in range(self.args.rounds):
            for name in ("redis", "amqp"):
                if name in self.ports:
                    self.note(f"{name} -> {name}, round {round_ + 1}")
                    self.relay_round(name, self.size({"redis": 300000, "amqp": 40000}[name]), f"r{round_}")

    # ---- webhooks ------------------------------------------------------------------------------------------------

    def webhook(self):
        for round_ in range(self.args.rounds):
            for connections in (64, 256):
                self.note(f"webhooks on {connections} connections, round {round_ + 1}")
                port = free_port()
                bridge = Bridge(self, f'connector: webhook, listen: "127.0.0.1:{port}", signature: github, '
                                f"secret: {SECRET}", f"local:{self.directory()}?local.max_bytes=2G",
                                'models: ["*"], topic: "/hooks/{model}"')
                bridge.wait("/live", lambda status, _: status == 200, 0.005)
                before = bridge.cpu_us()
                count = self.size(60000)
                load = json.loads(self.run("bench_webhook_load", port, "/hooks/a", SECRET, count, connections))
                self.keep("webhook", f"{connections} connections", rate=load["rate"], p50_ms=load["p50_ms"],
                          p99_ms=load["p99_ms"], cpu_us=(bridge.cpu_us() - before) / count,
                          rss_kb=bridge.memory_kb("VmHWM"), stop_s=bridge.stop())

                if self.args.watermill and "redis" in self.ports:
                    self.webhook_peer(connections, count // 3)

    def webhook_peer(self, connections, count):
        """Nothing of it is durable: Redis runs without an append-only file."""
        port = free_port()
        with subprocess.Popen([self.args.watermill, "hook", self.ports["redis"], str(port)]) as peer:
            begin = time.monotonic()
            while time.monotonic() - begin < PATIENCE:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.01)
            load = json.loads(self.run("bench_webhook_load", port, "/hooks/a", SECRET, count, connections))
            peer.kill()
        self.keep("webhook", f"{connections} connections", **{"watermill": load["rate"]})
        self.forget_redis()

    # ---- doing nothing -------------------------------------------------------------------------------------------

    def idle(self):
        for round_ in range(3 * self.args.rounds):
            self.note(f"start-up, round {round_ + 1}")
            with subprocess.Popen([self.tool("bench_feed_server"), "1"], stdout=subprocess.PIPE, text=True) as server:
                port = int(server.stdout.readline())
                bridge = Bridge(self, f'connector: couchdb, url: "http://127.0.0.1:{port}"',
                                f"local:{self.directory()}", "model: accounts, topic: accounts")
                ready = bridge.wait("/ready", lambda status, _: status == 200, 0.001) - bridge.begin
                values = {"ready_ms": ready * 1e3}
                if round_ < self.args.rounds:
                    time.sleep(1)
                    before = bridge.cpu_us()
                    time.sleep(1 if self.args.quick else 3)
                    values["cpu_us_per_s"] = (bridge.cpu_us() - before) / (1 if self.args.quick else 3)
                    values["rss_kb"] = bridge.memory_kb("VmRSS")
                    values["own_kb"] = bridge.memory_kb("RssAnon")
                values["stop_s"] = bridge.stop()
                self.keep("idle", "couchdb -> local", **values)
                server.kill()

    # ---- what is printed -----------------------------------------------------------------------------------------

    def table(self):
        heads = {"couchdb": "couchdb, catching up", "relay": "from a broker to itself", "webhook": "webhooks, durable",
                 "idle": "start-up and idle"}
        for kind, rows in self.result.items():
            print(f"\n{heads[kind]}")
            for name, values in rows.items():
                texts = []
                for key, list_ in values.items():
                    value = statistics.median(list_)
                    texts.append(f"{key} {value:,.0f}" if value >= 1000 else f"{key} {value:.3g}")
                for raw in ("raw", "raw with id", "watermill"):
                    if raw in values:
                        ratios = [ours / theirs for ours, theirs in zip(values["rate"], values[raw])]
                        texts.append(f"ours / {raw} {statistics.median(ratios):.2f}")
                print(f"  {name:<20} " + ", ".join(texts))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--bin", "--work", "--json", "--only"):
        parser.add_argument(name, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--watermill", help="the program of benchmarks/bridge/watermill")
    parser.add_argument("ports", nargs="*")
    bench = Bench(parser.parse_args())
    for kind in bench.args.only.split(","):
        getattr(bench, kind)()
    bench.note("")
    bench.table()
    with open(bench.args.json, "w", encoding="utf-8") as out:
        json.dump(bench.result, out, indent=1)


if __name__ == "__main__":
    main()

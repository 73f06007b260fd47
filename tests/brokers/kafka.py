# SPDX-License-Identifier: MIT
"""Apache Kafka in KRaft mode, each node both broker and controller. The jars come from Maven Central
once and are kept below the user's cache directory."""
import base64
import fcntl
import os
import shutil
import subprocess
import sys
import uuid

import kinds
import probe
import process

VERSION = "4.1.0"
SIZE = "about 43 MB, and 10 MB for Maven's own plug-in"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>org.example</groupId>
  <artifactId>kafka-jars</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
SCRAM = "SCRAM-SHA-256"
SCRAM_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule"


def cache_root():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "pubsub")


def cache():
    return os.path.join(cache_root(), f"kafka-{VERSION}")


def jars():
    path = os.path.join(cache(), "libs")
    return path if os.path.isdir(path) else None


def fetch(say):
    """Download the jars unless they are there. A half-done download is never taken for a whole one."""
    os.makedirs(cache(), exist_ok=True)
    with open(os.path.join(cache(), "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if jars():
            return jars()
        if shutil.which("mvn") is None:
            raise FileNotFoundError("Maven is not installed (package maven)")
        say(f"Downloading Apache Kafka {VERSION} from Maven Central ({SIZE}) to {cache()}")
        work = os.path.join(cache(), "new")
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(work)
        with open(os.path.join(work, "pom.xml"), "w", encoding="ascii") as file:
            file.write(POM)
        result = subprocess.run(
            ["mvn", "-q", "-B", "-C", "-f", work, f"-Dmaven.repo.local={work}/repository", PLUGIN,
             f"-DoutputDirectory={work}/libs", "-DincludeScope=runtime"],
            stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
        if result.returncode != 0:
            raise OSError("Maven could not download Kafka, see above")
        os.rename(os.path.join(work, "libs"), os.path.join(cache(), "libs"))
        shutil.rmtree(work, ignore_errors=True)
    return jars()


class Kafka(kinds.Kind):
    name = "kafka"
    variants = {"nodes-3": "three nodes, replication factor 3, min.insync.replicas 2"}
    grace = 20
    patience = 90

    def missing(self):
        if shutil.which("java") is None:
            return "Java is not installed (package default-jdk-headless)"
        if jars() is None and shutil.which("mvn") is None:
            return "neither Kafka's jars nor Maven are there (package maven)"
        return None

    def count(self, instance):
        return 3 if instance.has("nodes-3") else 1

    def listeners(self, instance):
        """(name, protocol): PLAIN is what the nodes use among each other, always open."""
        found = [("PLAIN", "PLAINTEXT")]
        if instance.has("auth"):
            found.append(("SASL", "SASL_PLAINTEXT"))
            if instance.tls:
                found.append(("SASLTLS", "SASL_SSL"))
        elif instance.tls:
            found.append(("TLS", "SSL"))
        return found

    def ports(self, instance):
        names = [f"{name.lower()}-{node}" for node in range(1, self.count(instance) + 1)
                 for name, _ in self.listeners(instance) + [("CONTROLLER", "")]]
        return ["plain" if name == "plain-1" else name for name in names]

    def port(self, instance, name, node):
        key = f"{name.lower()}-{node}"
        return instance.port("plain" if key == "plain-1" else key)

    def configure(self, instance):
        fetch(lambda text: print(text, file=sys.stderr))
        common = self.common(instance)
        scram = self.scram(instance)
        formats = [self.configure_node(instance, node, common, scram)
                   for node in range(1, self.count(instance) + 1)]
        for job in formats:
            _, complaint = job.communicate(timeout=60)
            if job.returncode != 0:
                raise OSError(f"cannot format Kafka's storage: {complaint.strip()[-500:]}")
        names = {"PLAIN": ("internal" if instance.has("auth") else "plain", "kafka"),
                 "TLS": ("tls", "kafka+ssl"), "SASL": ("plain", "kafka"),
                 "SASLTLS": ("tls", "kafka+ssl")}
        for listener, _ in self.listeners(instance):
            key, scheme = names[listener]
            host = "localhost" if "TLS" in listener else "127.0.0.1"
            hosts = ",".join(f"{host}:{self.port(instance, listener, node)}"
                             for node in range(1, self.count(instance) + 1))
            instance.url(key, f"{scheme}://{hosts}")

    def common(self, instance):
        count = self.count(instance)
        voters = ",".join(f"{node}@127.0.0.1:{self.port(instance, 'CONTROLLER', node)}"
                          for node in range(1, count + 1))
        protocols = ",".join(f"{name}:{protocol}" for name, protocol in self.listeners(instance))
        lines = ["process.roles=broker,controller", f"controller.quorum.voters={voters}",
                 "controller.listener.names=CONTROLLER", "inter.broker.listener.name=PLAIN",
                 f"listener.security.protocol.map=CONTROLLER:PLAINTEXT,{protocols}",
                 f"offsets.topic.replication.factor={count}", "offsets.topic.num.partitions=3",
                 f"transaction.state.log.replication.factor={count}",
                 "transaction.state.log.num.partitions=3",
                 f"transaction.state.log.min.isr={min(count, 2)}",
                 f"default.replication.factor={count}", f"min.insync.replicas={min(count, 2)}",
                 "group.initial.rebalance.delay.ms=0"]
        if instance.has("generous"):
            lines += ["message.max.bytes=134217728", "replica.fetch.max.bytes=134217728",
                      "socket.request.max.bytes=268435456"]
        if instance.has("small"):
            lines += ["message.max.bytes=65536", "log.segment.bytes=1048576",
                      "log.retention.bytes=2097152", "log.retention.check.interval.ms=1000"]
        return lines + self.security(instance)

    def security(self, instance):
        lines = []
        if instance.tls:
            ca, cert, key = instance.certificates()
            with open(key, encoding="ascii") as first, open(cert, encoding="ascii") as second:
                store = instance.write("server-store.pem", first.read() + second.read())
            asked = "required" if instance.has("tls-client") else "none"
            lines += ["ssl.keystore.type=PEM", f"ssl.keystore.location={store}",
                      "ssl.truststore.type=PEM", f"ssl.truststore.location={ca}",
                      f"ssl.client.auth={asked}",
                      # It would refuse to start with a certificate that does not fit its host.
                      "ssl.endpoint.identification.algorithm="]
        if instance.has("auth"):
            (full, word), (limited, limited_word) = instance.make_users()
            lines += [f"sasl.enabled.mechanisms=PLAIN,{SCRAM}",
                      "authorizer.class.name="
                      "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                      f"super.users=User:ANONYMOUS;User:{full}",
                      "allow.everyone.if.no.acl.found=false"]
            login = (f"{LOGIN} required user_{full}=\"{word}\" user_{limited}=\"{limited_word}\";")
            for name in ("sasl", "sasltls") if instance.tls else ("sasl",):
                lines.append(f"listener.name.{name}.plain.sasl.jaas.config={login}")
                lines.append(f"listener.name.{name}.{SCRAM.lower()}.sasl.jaas.config={SCRAM_LOGIN} required;")
        return lines

    def scram(self, instance):
        """The same users, for the other mechanism; the storage is formatted with them."""
        options = []
        if instance.has("auth"):
            for user, word in (("user", "password_file"), ("limited_user", "limited_password_file")):
                options += ["--add-scram",
                            f"{SCRAM}=[name={instance.state[user]},password={instance.password(word)}]"]
        return options

    def configure_node(self, instance, node, common, scram):
        """The node's file and process; its data directory gets its identity in the background."""
        home = instance.folder(f"node-{node}")
        listeners = [f"{name}://127.0.0.1:{self.port(instance, name, node)}"
                     for name, _ in self.listeners(instance)]
        told = [entry.replace("127.0.0.1", "localhost") if "TLS" in entry else entry
                for entry in listeners]
        control = f"CONTROLLER://127.0.0.1:{self.port(instance, 'CONTROLLER', node)}"
        path = instance.config(f"node-{node}.properties", common + [
            f"node.id={node}", f"listeners={','.join(listeners + [control])}",
            f"advertised.listeners={','.join(told)}", f"log.dirs={home}/data"])
        java, classes = shutil.which("java"), ["-cp", jars() + "/*", "-Djava.io.tmpdir=" + home]
        memory = "384m" if instance.has("nodes-3") else "512m"
        instance.node(f"kafka-{node}", [java, f"-Xmx{memory}"] + classes + ["kafka.Kafka", path])
        # The first byte must not become "-", which the tool would take for an option.
        number = b"p" + uuid.uuid4().bytes[1:]
        cluster = instance.state.setdefault(
            "cluster", base64.urlsafe_b64encode(number).decode().rstrip("="))
        return subprocess.Popen(
            [java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m"] + classes +
            ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", path, *scram],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def ready(self, instance, node):
        number = int(node["name"].rpartition("-")[2])
        count = sum(process.alive(other.get("process")) for other in instance.state["nodes"])
        for name, protocol in self.listeners(instance):
            who = (None, None)
            if protocol.startswith("SASL"):
                who = (instance.state["user"], instance.password())
            tls = instance.state["ca_dir"] if "SSL" in protocol else None
            probe.kafka(self.port(instance, name, number), tls, *who, brokers=count)

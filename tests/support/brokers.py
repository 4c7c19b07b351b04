"""Brokers for the tests: the embedded one, and nodes of any unpacked Apache Kafka (KAFKA_HOME, needs Java 17)."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from sluice.core.deadline import Deadline
from sluice.demo.embedded_broker import await_broker, embedded_broker, start_leashed, stop_leashed
from sluice.kafka.client import open_admin
from tests.support.ports import HOST, free_ports, listens

START_TIMEOUT_S = 180.0
EMBEDDED = (pytest.mark.embedded,)
KAFKA = (pytest.mark.kafka,)
CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qg"
ANSWER_WITHIN_S = 2.0
NOTICED_AFTER_MS = 3000  # Kafka's 9 s would be most of a trial's time

_PROPERTIES = """
process.roles=broker,controller
node.id={node}
listeners=PLAINTEXT://{host}:{port},PROXIED://{host}:{back},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port},PROXIED://{host}:{front}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters={voters}
log.dirs={folder}/data
broker.session.timeout.ms={noticed_after_ms}
broker.heartbeat.interval.ms=500
min.insync.replicas={in_sync}
offsets.topic.num.partitions={coordinators}
offsets.topic.replication.factor={size}
transaction.state.log.num.partitions={coordinators}
transaction.state.log.replication.factor={size}
transaction.state.log.min.isr={in_sync}
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
group.min.session.timeout.ms=500
group.consumer.min.session.timeout.ms=500
group.consumer.session.timeout.ms={consumer_session_ms}
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms=200
"""


class Cluster:
    """Nodes of Apache Kafka by their ids, 1 to `size`, each broker and controller at once; `start` before all else.

    Every topic has a copy on every node and stays writable while one of three is gone. `doors` are for a proxy: from
    each port where it is to listen to that of the node behind it, whose clients are sent to the proxy again.
    """

    def __init__(self, folder: Path, size: int) -> None:
        free = free_ports(4 * size)
        ports, controllers, fronts, backs = (free[kind::4] for kind in range(4))
        self.ports = dict(enumerate(ports, start=1))
        self.address = ",".join(f"{HOST}:{port}" for port in self.ports.values())
        self.doors = dict(zip(fronts, backs, strict=True))
        self._home = _kafka_home()
        self._folder = folder
        self._controllers = dict(enumerate(controllers, start=1))
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._lives = 0
        self._admin: AdminClient | None = None

    @property
    def whole(self) -> bool:
        """Whether every node answers and holds an up-to-date copy of every partition."""
        if not all(map(listens, self.ports.values())):
            return False
        self._admin = self._admin or open_admin({"bootstrap.servers": self.address, "log_level": 0}, lambda _: None)
        try:
            known = self._admin.list_topics(timeout=ANSWER_WITHIN_S)
        except KafkaException:
            return False
        partitions = [partition for topic in known.topics.values() for partition in topic.partitions.values()]
        return len(known.brokers) == len(self.ports) and all(set(p.isrs) == set(p.replicas) for p in partitions)

    def start(self) -> None:
        """Format and start every node; fails the test when one does not come up."""
        for node in self.ports:
            self._configure(node)
            self.restart(node)
        deadline = Deadline.after(START_TIMEOUT_S, time.monotonic)
        for node, port in self.ports.items():
            if not await_broker(f"{HOST}:{port}", self._processes[node], deadline):
                pytest.fail(f"Apache Kafka does not start: {self._log.read_text()[-2000:]}")
        # A listener may answer before its broker is registered, and then name no broker at all.
        while not self.whole:
            assert not deadline.over, "Apache Kafka does not list all its brokers"

    def kill(self, node: int) -> None:
        """`kill -9` a node; what it wrote is on its disk."""
        with suppress(ProcessLookupError):
            os.killpg(self._processes[node].pid, signal.SIGKILL)
        stop_leashed(self._processes[node])

    def restart(self, node: int) -> None:
        """Start a node that is down, without waiting for it."""
        self._lives += 1
        command = [str(self._home / "bin/kafka-server-start.sh"), str(self._of(node) / "server.properties")]
        self._processes[node] = start_leashed(command, self._log, self._environment)

    def stop(self) -> None:
        """End all nodes; what they wrote is not needed any more, and the last one would wait for a quorum."""
        for node in self._processes:
            self.kill(node)

    @property
    def _log(self) -> Path:
        return self._folder / f"out-{self._lives}.log"

    @property
    def _environment(self) -> dict[str, str]:
        return os.environ | {"KAFKA_HEAP_OPTS": "-Xmx256m", "LOG_DIR": str(self._folder / "logs")}

    def _of(self, node: int) -> Path:
        return self._folder / f"node-{node}"

    def _configure(self, node: int) -> None:
        size, folder = len(self.ports), self._of(node)
        front, back = list(self.doors.items())[node - 1]
        folder.mkdir()
        config = folder / "server.properties"
        text = _PROPERTIES.format(
            host=HOST, node=node, folder=folder, port=self.ports[node], controller_port=self._controllers[node],
            front=front, back=back,
            voters=",".join(f"{each}@{HOST}:{port}" for each, port in self._controllers.items()),
            size=size, in_sync=max(1, size - 1), coordinators=2 * size,
            noticed_after_ms=NOTICED_AFTER_MS if size > 1 else 3 * NOTICED_AFTER_MS,
            consumer_session_ms=NOTICED_AFTER_MS if size > 1 else 15 * NOTICED_AFTER_MS,
        )  # fmt: skip
        config.write_text(text)
        subprocess.run(
            [self._home / "bin/kafka-storage.sh", "format", "-t", CLUSTER_ID, "-c", config],
            env=self._environment, check=True, capture_output=True,
        )  # fmt: skip


@contextmanager
def embedded(folder: Path) -> Iterator[str]:
    """Run the embedded broker, or skip where it is not installed; yields its `host:port`."""
    pytest.importorskip("noida_db", reason="the embedded broker is not installed: pip install 'sluice[demo]'")
    with embedded_broker(folder) as address:
        yield address


@contextmanager
def apache_kafka(folder: Path) -> Iterator[str]:
    """Run one Apache Kafka node; yields its `host:port`."""
    with apache_cluster(folder, 1) as cluster:
        yield cluster.address


@contextmanager
def apache_cluster(folder: Path, size: int = 3) -> Iterator[Cluster]:
    """Run an Apache Kafka of so many nodes."""
    cluster = Cluster(folder, size)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _kafka_home() -> Path:
    home = os.environ.get("KAFKA_HOME", "")
    if not home:
        pytest.skip("KAFKA_HOME is not set: unpack Apache Kafka and name its folder")
    if not Path(home, "bin/kafka-server-start.sh").is_file():
        pytest.fail(f"KAFKA_HOME={home} has no bin/kafka-server-start.sh")
    if not shutil.which("java"):
        pytest.skip("Apache Kafka needs Java 17, and there is no java on the PATH")
    return Path(home)

"""Brokers for the tests: the embedded one, and one node of any unpacked Apache Kafka (KAFKA_HOME, needs Java 17)."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sluice.bus.client import open_admin
from sluice.bus.embedded import await_broker, embedded_broker, free_port, start_leashed, stop_leashed
from sluice.core.deadline import Deadline

START_TIMEOUT_S = 60.0
EMBEDDED = (pytest.mark.embedded,)
KAFKA = (pytest.mark.kafka, pytest.mark.xdist_group("kafka"))  # one worker, one broker: it takes 350 MB
CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qg"

_PROPERTIES = """
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller_port}
log.dirs={folder}/data
offsets.topic.num.partitions=2
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
group.min.session.timeout.ms=500
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms=200
"""


@contextmanager
def embedded(folder: Path) -> Iterator[str]:
    """Run the embedded broker, or skip where it is not installed; yields its `host:port`."""
    pytest.importorskip("noida_db", reason="the embedded broker is not installed: pip install 'sluice[demo]'")
    with embedded_broker(folder) as address:
        yield address


@contextmanager
def apache_kafka(folder: Path) -> Iterator[str]:
    """Run one Apache Kafka node, broker and controller at once; yields its `host:port`."""
    home = _kafka_home()
    port = free_port()
    config = folder / "server.properties"
    config.write_text(_PROPERTIES.format(port=port, controller_port=free_port(), folder=folder))
    environment = os.environ | {"KAFKA_HEAP_OPTS": "-Xmx256m", "LOG_DIR": str(folder / "logs")}
    subprocess.run(
        [home / "bin/kafka-storage.sh", "format", "-t", CLUSTER_ID, "-c", config],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    command = [str(home / "bin/kafka-server-start.sh"), str(config)]
    process = start_leashed(command, folder / "out.log", environment)
    try:
        address = f"127.0.0.1:{port}"
        if not await_broker(address, process, Deadline.after(START_TIMEOUT_S, time.monotonic)):
            pytest.fail(f"Apache Kafka does not start: {(folder / 'out.log').read_text()[-2000:]}")
        _await_brokers(address)
        yield address
    finally:
        stop_leashed(process)


def _kafka_home() -> Path:
    home = os.environ.get("KAFKA_HOME", "")
    if not home:
        pytest.skip("KAFKA_HOME is not set: unpack Apache Kafka and name its folder")
    if not Path(home, "bin/kafka-server-start.sh").is_file():
        pytest.fail(f"KAFKA_HOME={home} has no bin/kafka-server-start.sh")
    if not shutil.which("java"):
        pytest.skip("Apache Kafka needs Java 17, and there is no java on the PATH")
    return Path(home)


def _await_brokers(address: str) -> None:
    """Wait on: a listener may answer before its broker is registered, and then name no broker at all."""
    deadline = Deadline.after(START_TIMEOUT_S, time.monotonic)
    admin = open_admin({"bootstrap.servers": address, "log_level": 0}, lambda _: None)
    while not admin.list_topics(timeout=deadline.remaining_s).brokers:
        assert not deadline.over, "Apache Kafka lists no broker"

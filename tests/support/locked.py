"""An Apache Kafka that lets in only whom it knows, and lets them do only what an ACL allows."""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from sluice.core.deadline import Deadline
from sluice.demo.embedded_broker import await_broker, start_leashed, stop_leashed
from sluice.kafka.client import open_admin
from sluice.settings import Kafka
from tests.support.brokers import CLUSTER_ID, START_TIMEOUT_S, _kafka_home
from tests.support.certificates import Authority, Identity
from tests.support.ports import HOST, free_ports

SOON: dict[str, str | int | float | bool] = {"fetch.wait.max.ms": 20, "heartbeat.interval.ms": 100}
_PROPERTIES = """
process.roles=broker,controller
node.id=1
listeners=SCRAM://{host}:{scram},MTLS://{host}:{mtls},ADMIN://{host}:{admin},CONTROLLER://{host}:{controller}
listener.security.protocol.map=SCRAM:SASL_SSL,MTLS:SSL,ADMIN:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=ADMIN
controller.listener.names=CONTROLLER
controller.quorum.voters=1@{host}:{controller}
log.dirs={folder}/data
ssl.keystore.type=PEM
ssl.keystore.location={folder}/keystore.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/authority.pem
listener.name.mtls.ssl.client.auth=required
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.scram.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
"""


@dataclass(frozen=True)
class LockedBroker:
    """Where it listens, `host:port` each, and what it takes to be let in.

    `scram` asks for TLS and a user of `passwords`, `mtls` for a certificate of `authority`; `plain` may do anything and
    stands for the cluster's own administrator.
    """

    home: Path
    folder: Path
    passwords: Mapping[str, str]
    authority: Authority
    scram: str
    mtls: str
    plain: str

    @property
    def nobody(self) -> Kafka:
        """How the cluster's own administrator logs in, as settings."""
        return Kafka(bootstrap_servers=self.plain, consumer_options=SOON)

    def user(self, name: str) -> Kafka:
        """Return how a user logs in, as settings."""
        return Kafka(
            bootstrap_servers=self.scram,
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username=name,
            sasl_password=self.passwords[name],
            ssl_ca_file=self.authority.file,
            consumer_options=SOON,
        )

    def bearer(self, identity: Identity) -> Kafka:
        """Return how the bearer of a certificate logs in, as settings."""
        return Kafka(
            bootstrap_servers=self.mtls,
            security_protocol="SSL",
            ssl_ca_file=self.authority.file,
            ssl_certificate_file=identity.certificate,
            ssl_key_file=identity.key,
            connect_deadline_s=30.0,
        )

    @cached_property
    def admin(self) -> AdminClient:
        """A client that may do anything."""
        return open_admin({"bootstrap.servers": self.plain}, lambda _: None)

    def tool(self, *command: str) -> bytes:
        """Run one of Kafka's own commands and return what it prints; the test fails when it does."""
        path = f"{self.home / 'bin'}:{os.environ['PATH']}"
        environment = _environment(self.folder) | {"PATH": path}
        done = subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout!r} {done.stderr!r}"
        return done.stdout


@contextmanager
def locked_broker(folder: Path, users: tuple[str, ...]) -> Iterator[LockedBroker]:
    """Run one that knows these users, or skip where there is no Kafka to be had."""
    broker = _configured(_kafka_home(), folder, {user: f"password-of-{user}" for user in users})
    start = [str(broker.home / "bin/kafka-server-start.sh"), str(folder / "server.properties")]
    process = start_leashed(start, folder / "out.log", _environment(folder))
    try:
        if not await_broker(broker.plain, process, Deadline.after(START_TIMEOUT_S, time.monotonic)):
            pytest.fail(f"Apache Kafka does not start: {(folder / 'out.log').read_text()[-2000:]}")
        yield broker
    finally:
        stop_leashed(process)


def _configured(home: Path, folder: Path, passwords: Mapping[str, str]) -> LockedBroker:
    authority = Authority(folder, "authority")
    identity = authority.sign("broker", address=HOST)
    (folder / "keystore.pem").write_bytes(identity.key.read_bytes() + identity.certificate.read_bytes())
    scram, mtls, plain, controller = free_ports(4)
    config = folder / "server.properties"
    config.write_text(
        _PROPERTIES.format(host=HOST, folder=folder, scram=scram, mtls=mtls, admin=plain, controller=controller)
    )
    users = [f"--add-scram=SCRAM-SHA-512=[name={user},password={word}]" for user, word in passwords.items()]
    subprocess.run(
        [home / "bin/kafka-storage.sh", "format", "-t", CLUSTER_ID, "-c", config, *users],
        env=_environment(folder), check=True, capture_output=True,
    )  # fmt: skip
    ports = (f"{HOST}:{port}" for port in (scram, mtls, plain))
    return LockedBroker(home, folder, passwords, authority, *ports)


def _environment(folder: Path) -> dict[str, str]:
    thrifty = {"KAFKA_HEAP_OPTS": "-Xmx256m", "KAFKA_JVM_PERFORMANCE_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
    return os.environ | thrifty | {"LOG_DIR": str(folder / "logs")}

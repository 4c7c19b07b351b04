"""Where a trial takes place: a broker, a folder, and topics and a group that are this trial's own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self
from uuid import uuid4

from confluent_kafka import TopicPartition

from sluice.demo.evict_members import evict
from sluice.kafka import topics
from sluice.kafka.client import admin_config, consumer_config, open_admin, open_consumer
from sluice.settings import Kafka, Media
from sluice.settings import Topics as TopicSettings
from sluice.settings.environment import without_settings
from sluice_sim import broker as sim
from sluice_sim.stream import Shelf
from tests.chaos.group import Group
from tests.support.brokers import Cluster

Lives = Literal["sluice", "warm", "fork"]
Protocol = Literal["classic", "consumer"]

ANSWER_WITHIN_S = 30.0
SESSION_TIMEOUTS_S = {"sluice": 6.0, "warm": 6.0, "fork": 2.5}
"""What a kill costs: a dead member holds its partitions for so long."""


@dataclass(frozen=True, slots=True)
class Offsets:
    """Where the group stands in one partition, and where the partition ends."""

    committed: int
    end: int


@dataclass(frozen=True, slots=True)
class Stage:
    """Made by `set_up`. `given` holds settings of the workers, by their variables, that differ from the trial's."""

    address: str
    folder: Path
    lives: Lives = "warm"
    """What a worker runs: the command with real models, from its start (sluice) or where all is imported (warm, see
    `tests.support.forked`), or a consumer that judges otherwise (fork, see `tests.chaos.life`)."""
    protocol: Protocol = "classic"
    bundle: str = "starter"
    partitions: int = 6
    given: Mapping[str, str] = field(default_factory=dict)
    cluster: Cluster | None = None
    """The brokers, where a trial may kill some."""
    shelf: Shelf | None = None
    """Where pictures lie that do not travel with their events."""
    evicts: bool = True
    """Whether the broker gives up dead members; see `sluice.demo.evict_members`."""
    name: str = field(default_factory=lambda: uuid4().hex[:8])

    @property
    def broker(self) -> sim.Broker:
        """The broker as the simulator knows it."""
        return sim.Broker(self.address)

    @property
    def topics(self) -> sim.Topics:
        """The topics as the simulator knows them."""
        kinds = ("images", "verdicts", "quality", "letters")
        return sim.Topics(*(f"{kind}-{self.name}" for kind in kinds))

    @property
    def kafka(self) -> Kafka:
        """The broker and the group as the consumer knows them."""
        return Kafka(bootstrap_servers=self.address, group_id=f"group-{self.name}")

    @property
    def group(self) -> Group:
        """The group as its coordinator sees it; the members' client ids are the workers' names."""
        return Group(self.address, self.kafka.group_id, self.topics.images, self.partitions)

    def transactional_id(self, worker: str) -> str:
        """Return the id that a worker's transactions go by."""
        return f"{self.kafka.group_id}-{worker}"

    def set_up(self) -> Self:
        """Create the topics."""
        names = self.topics
        copies = len(self.cluster.ports) if self.cluster else 1
        wanted = TopicSettings(
            images=names.images,
            verdicts=names.verdicts,
            quality=names.quality,
            dead_letters=names.dead_letters,
            partitions=self.partitions,
            replication_factor=copies,
            min_insync_replicas=max(1, copies - 1),
        )
        ours = {names.images, names.verdicts, names.quality, names.dead_letters}
        specs = [spec for spec in topics.specs(wanted, Media()) if spec.name in ours]
        topics.create(open_admin(admin_config(self.kafka), lambda _: None), specs)
        return self

    def evict(self) -> None:
        """Do what is to be done about the death of the only worker before its next life."""
        if not self.evicts:
            evict(self.kafka.bootstrap_servers, self.kafka.group_id)

    def environment(self, worker: str, port: int = 0) -> dict[str, str]:
        """Return the environment of one `sluice run`: production's settings but for what a trial must change.

        Metrics are served at `port` if there is one.
        """
        names, kafka = self.topics, self.kafka
        ours = {
            "KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA__GROUP_ID": kafka.group_id,
            "KAFKA__TRANSACTIONAL_ID": self.transactional_id(worker),
            "KAFKA__CONSUMER_OPTIONS": json.dumps({"client.id": worker}),
            "KAFKA__SESSION_TIMEOUT_S": f"{SESSION_TIMEOUTS_S[self.lives]:g}",
            "KAFKA__GROUP_PROTOCOL": self.protocol,
            "TOPICS__IMAGES": names.images,
            "TOPICS__VERDICTS": names.verdicts,
            "TOPICS__QUALITY": names.quality,
            "TOPICS__DEAD_LETTERS": names.dead_letters,
            "MODELS__BUNDLE": self.bundle,
            "MODELS__DEVICE": "cpu",
            "MODELS__TORCH_THREADS": "1",
            "POISON__JOURNAL_FOLDER": str(self.folder / "journal"),
            "TELEMETRY__READY_FILE": str(self.folder / f"{worker}.ready"),
            **({"TELEMETRY__HTTP_PORT": str(port), "TELEMETRY__LINGER_S": "0"} if port else {}),
            "TELEMETRY__LOG_FORMAT": "json",
            # A fork dies at points of the road, and a known picture would meet them first.
            "SELF_TEST__ENABLED": str(self.lives != "fork"),
        }
        named = {f"SLUICE_{name}": value for name, value in ours.items()}
        return {**without_settings(), **named, "OMP_NUM_THREADS": "1", **self.given}

    def offsets(self) -> dict[int, Offsets]:
        """Ask the broker, not the outputs: the group's offset and the end of every partition of the input."""
        asking = open_consumer(consumer_config(self.kafka), lambda _: None)
        try:
            handles = [TopicPartition(self.topics.images, index) for index in range(self.partitions)]
            committed = asking.committed(handles, timeout=ANSWER_WITHIN_S)
            ends = [asking.get_watermark_offsets(handle, timeout=ANSWER_WITHIN_S)[1] for handle in handles]
        finally:
            asking.close()
        pairs = zip(committed, ends, strict=True)
        return {handle.partition: Offsets(max(0, handle.offset), end) for handle, end in pairs}

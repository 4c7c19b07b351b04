"""The whole road on a locked broker: topics, group and permissions of one test, and what went through."""

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from uuid import uuid4

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from pydantic import SecretStr

from sluice.core.deadline import Deadline
from sluice.core.records import Record
from sluice.kafka import topics as kafka_topics
from sluice.kafka.acls import Acl, least
from sluice.kafka.client import open_consumer, open_producer, plain_producer_config, reader_config
from sluice.kafka.errors import error_of
from sluice.kafka.reader import Reader
from sluice.services.moderator import app
from sluice.settings import Kafka, Media, Models, Settings, Topics
from sluice_schemas import Image, Verdict, decode, encode
from tests.chaos.failpoints import Trap
from tests.chaos.life import factories
from tests.support.locked import LockedBroker
from tests.unit.schemas_strategies import IMAGE

PATIENCE_S = 60.0
JPEG_STARTS, JPEG_ENDS = b"\xff\xd8\xff", b"\xff\xd9"
FIELDS = ("images", "verdicts", "quality", "dead_letters", "feedback", "control")
_RESOURCES = {"topic": "TOPIC", "group": "GROUP", "transactional-id": "TRANSACTIONAL_ID"}
_NOT_YET = {
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR
}  # fmt: skip
_OPERATIONS = {"DescribeConfigs": "DESCRIBE_CONFIGS"}


@dataclass(frozen=True, slots=True)
class Road:
    """Names of its own on a shared broker; nobody may do anything there until `grant`."""

    broker: LockedBroker
    name: str = field(default_factory=lambda: uuid4().hex[:8])
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def topics(self) -> Topics:
        """The topics, as the settings name them."""
        names = {kind: f"{kind}-{self.name}" for kind in FIELDS}
        return Topics(**names, partitions=2, replication_factor=1, min_insync_replicas=1)

    @property
    def acls(self) -> tuple[Acl, ...]:
        """All that every role needs."""
        return least(Kafka(group_id=self.name), self.topics)

    def settings(self, login: Kafka) -> Settings:
        """Return the settings of a consumer that logs in like that."""
        mine = {"group_id": self.name, "transactional_id": f"{self.name}-0"}
        return Settings(kafka=login.model_copy(update=mine), topics=self.topics)

    def variables(self, login: Kafka) -> dict[str, str]:
        """Return those settings as the environment of a process."""
        settings = self.settings(login)
        given = {
            f"SLUICE_{part.upper()}__{name.upper()}": getattr(section, name)
            for part, section in (("kafka", settings.kafka), ("topics", settings.topics))
            for name in section.model_fields_set
        }
        return {name: _text(value) for name, value in given.items() if value is not None}

    def create(self) -> "Road":
        """Make the topics."""
        kafka_topics.create(self.broker.admin, kafka_topics.specs(self.topics, Media()))
        return self

    def grant(self, principal: str, acls: Iterable[Acl]) -> None:
        """Allow it."""
        for future in self.broker.admin.create_acls([binding(principal, acl) for acl in acls]).values():
            future.result()

    def take(self, principal: str, acl: Acl) -> None:
        """Allow it no longer."""
        given = binding(principal, acl)
        exactly = AclBindingFilter(
            given.restype, given.name, given.resource_pattern_type, given.principal, given.host, given.operation,
            given.permission_type,
        )  # fmt: skip
        for future in self.broker.admin.delete_acls([exactly]).values():
            assert future.result() == [given]

    def publish(self, good: int, broken: int = 0) -> None:
        """Send events with images, some of which cannot be read."""
        producer = open_producer(plain_producer_config(self.broker.nobody), lambda _: None)
        for kind in (*[True] * good, *[False] * broken):
            number = next(self.numbers)
            data = JPEG_STARTS + b"%d" % number + (JPEG_ENDS if kind else b"")
            image = Image(bytes=data, sha256=hashlib.sha256(data).hexdigest(), mime="image/jpeg")
            event = replace(IMAGE, image_id=f"i-{number}", image=image)
            producer.produce(self.topics.images, encode(event), event.image_id, partition=number % 2)
        assert producer.flush(PATIENCE_S) == 0

    def consume(self, login: Kafka, stopping: Callable[[], bool]) -> None:
        """Run the product's own consumer, but for what judges, in this process until `stopping` says so."""
        deadline = Deadline.after(PATIENCE_S, time.monotonic)
        fast = factories(Trap(lambda _: None))
        ends = app.Factories(decoders=fast.decoders, inference=fast.inference)
        settings = self.settings(login).model_copy(update={"models": Models(bundle="starter")})  # found, never loaded
        with app.consumer(settings, ends) as loop:
            assert loop.run(lambda: stopping() or deadline.over) == 0
        assert not deadline.over, "waited in vain"

    def committed(self, admin: AdminClient | None = None) -> int:
        """Return how many records the group has put behind it, as `admin` sees it, or who may do anything."""
        places = [TopicPartition(self.topics.images, index) for index in range(2)]
        deadline = Deadline.after(PATIENCE_S, time.monotonic)
        while True:
            asked = [ConsumerGroupTopicPartitions(self.name, places)]
            (answer,) = (admin or self.broker.admin).list_consumer_group_offsets(asked).values()
            try:
                return sum(max(0, place.offset) for place in answer.result().topic_partitions)
            except KafkaException as exception:
                if error_of(exception).code() not in _NOT_YET or deadline.over:
                    raise

    def published(self) -> dict[str, int]:
        """Count what a `read_committed` reader finds in the outputs; no event has two verdicts."""
        verdicts = self.records(self.topics.verdicts)
        places = [decode(record.value or b"", Verdict).source for record in verdicts]
        assert len({(place.partition, place.offset) for place in places}) == len(places), "an event has two verdicts"
        others = {kind: len(self.records(getattr(self.topics, kind))) for kind in ("quality", "dead_letters")}
        return {"verdicts": len(verdicts), **others}

    def records(self, topic: str, login: Kafka | None = None) -> list[Record]:
        """Read a topic to its present end."""
        config = reader_config(login or self.broker.nobody)
        reader = Reader(open_consumer(config, lambda _: None), topic)
        deadline = Deadline.after(PATIENCE_S, time.monotonic)
        try:
            return list(reader.records("earliest", follow=False, stopping=lambda: deadline.over))
        finally:
            reader.close()
            assert not deadline.over, "waited in vain"


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps(value) if isinstance(value, dict) else str(value)


def binding(principal: str, acl: Acl) -> AclBinding:
    """Return an ACL as confluent-kafka has it."""
    operation = _OPERATIONS.get(acl.operation, acl.operation.upper())
    return AclBinding(
        ResourceType[_RESOURCES[acl.kind]],
        acl.name,
        ResourcePatternType.PREFIXED if acl.prefixed else ResourcePatternType.LITERAL,
        principal,
        "*",
        AclOperation[operation],
        AclPermissionType.ALLOW,
    )

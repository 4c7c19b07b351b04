"""The least that each role needs, as values and as Kafka's own commands.

What includes what is Kafka's: Read and Write include Describe, and Write on any topic what an idempotent producer needs
(KIP-679; brokers before 3.0 want IdempotentWrite on the cluster besides).
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Literal

from sluice.settings import Kafka, Topics

Operation = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs"]
Kind = Literal["topic", "group", "transactional-id"]


class Role(StrEnum):
    """Who talks to the brokers."""

    CONSUMER = "consumer"
    PRODUCER = "producer"
    DISPLAY = "display"
    MONITORING = "monitoring"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"


WHAT: Mapping[Role, str] = {
    Role.CONSUMER: "sluice run, sluice doctor",
    Role.PRODUCER: "image generators: what says that an image was generated",
    Role.DISPLAY: "display services; their groups begin with this name",
    Role.MONITORING: "dashboards, sluice lag; their groups begin with this name",
    Role.OPERATOR: "sluice tail, sluice dlq, sluice lag; dead letters carry what people sent",
    Role.ADMINISTRATOR: "sluice topics create, sluice topics check",
}


@dataclass(frozen=True, slots=True)
class Acl:
    """A role may do one thing to one resource, or to all whose names begin so."""

    role: Role
    operation: Operation
    kind: Kind
    name: str
    prefixed: bool = False

    @property
    def resource(self) -> list[str]:
        """The resource as `kafka-acls.sh` calls it."""
        return [f"--{self.kind}", self.name]

    def __str__(self) -> str:
        return f"{self.operation} on {self.kind} {self.name}{'*' if self.prefixed else ''}"


def least(kafka: Kafka, topics: Topics, transactional_ids: str = "") -> tuple[Acl, ...]:
    """Return all that every role needs and nothing more.

    `transactional_ids` is what the ids of several replicas begin with; without it, the id of the settings counts, and
    where there is none, ids are as `client.transactional_id` makes them.
    """
    outputs = (topics.verdicts, topics.quality, topics.dead_letters)
    return (
        *_on_topics(Role.CONSUMER, "Read", topics.images),
        Acl(Role.CONSUMER, "Read", "group", kafka.group_id),
        *_on_topics(Role.CONSUMER, "Write", *outputs),
        _transactions(kafka, transactional_ids),
        *_on_topics(Role.PRODUCER, "Write", topics.images),
        *_on_topics(Role.DISPLAY, "Read", topics.verdicts),
        Acl(Role.DISPLAY, "Read", "group", f"{kafka.group_id}-display", prefixed=True),
        *_on_topics(Role.MONITORING, "Read", topics.verdicts, topics.quality),
        Acl(Role.MONITORING, "Read", "group", f"{kafka.group_id}-monitoring", prefixed=True),
        *_on_topics(Role.MONITORING, "Describe", topics.images),
        Acl(Role.MONITORING, "Describe", "group", kafka.group_id),
        *_on_topics(Role.OPERATOR, "Read", *outputs),
        *_on_topics(Role.OPERATOR, "Write", topics.images),
        Acl(Role.OPERATOR, "Describe", "group", kafka.group_id),
        *_administration(topics),
    )


def of_consumer(kafka: Kafka, topics: Topics, transactional_id: str) -> list[Acl]:
    """Return what one consumer needs whose transactions go by this id."""
    mine = kafka.model_copy(update={"transactional_id": transactional_id})
    return [acl for acl in least(mine, topics) if acl.role is Role.CONSUMER]


def script(acls: Iterable[Acl], tool: Sequence[str], principals: Mapping[Role, str]) -> Iterator[str]:
    """Yield shell lines that grant them: a comment for each role, then one command for each kind of permission.

    `tool` is `kafka-acls.sh` and how it reaches the brokers.
    """
    for role, of_role in groupby(acls, lambda acl: acl.role):
        yield f"# {role}: {WHAT[role]}"
        resources: dict[tuple[Operation, bool], list[str]] = {}
        for acl in of_role:
            resources.setdefault((acl.operation, acl.prefixed), []).extend(acl.resource)
        commands: dict[tuple[bool, tuple[str, ...]], list[str]] = {}
        for (operation, prefixed), names in resources.items():
            commands.setdefault((prefixed, tuple(names)), []).extend(("--operation", operation))
        for (prefixed, pairs), operations in commands.items():
            yield shlex.join([*tool, *_grant(principals[role], prefixed=prefixed), *operations, *pairs])


def granting(acl: Acl, principal: str) -> list[str]:
    """Return the options of `kafka-acls.sh` that grant one permission."""
    return [*_grant(principal, prefixed=acl.prefixed), "--operation", acl.operation, *acl.resource]


def _grant(principal: str, *, prefixed: bool) -> list[str]:
    return ["--add", "--allow-principal", principal, *(["--resource-pattern-type", "prefixed"] if prefixed else [])]


def _on_topics(role: Role, operation: Operation, *names: str) -> Iterator[Acl]:
    return (Acl(role, operation, "topic", name) for name in names)


def _administration(topics: Topics) -> Iterator[Acl]:
    names = (
        topics.images, topics.verdicts, topics.quality, topics.dead_letters, topics.feedback, topics.control
    )  # fmt: skip
    for operation in ("Create", "Describe", "DescribeConfigs"):
        yield from _on_topics(Role.ADMINISTRATOR, operation, *names)


def _transactions(kafka: Kafka, prefix: str) -> Acl:
    if kafka.transactional_id and not prefix:
        return Acl(Role.CONSUMER, "Write", "transactional-id", kafka.transactional_id)
    return Acl(Role.CONSUMER, "Write", "transactional-id", prefix or f"{kafka.group_id}-", prefixed=True)

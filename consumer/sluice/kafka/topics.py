"""The topics: how they should be, making them so, and finding out whether they are."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource  # its public name is not re-exported for type checkers
from confluent_kafka.cimpl import NewTopic

from sluice.core.deadline import Deadline
from sluice.core.errors import BadSettings, Denied, Fatal
from sluice.kafka.errors import Meaning, error_of, known, means, no_broker
from sluice.settings import MIB, Media, Topics

DAY_MS = 24 * 3600 * 1000
TIMEOUT_S = 15.0
ENVELOPE_BYTES = 256 * 1024  # what headers and the fields around an event take at most
CREATE = "sluice topics create"
GRANT = "sluice topics acls"
ASK = "sluice topics check, as an administrator"
ALTERED = "keys move: when idle; consumers read them within kafka.metadata_refresh_s and a rebalance"
HIDDEN = "is hidden from this user, if it exists"
UNSEEN = "partitions and copies as wanted; its settings are hidden from this user"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic as it should be. `config` holds the topic's settings by Kafka's names."""

    name: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: a problem says what is wrong and `fix` what to do; no problem, all is well.

    `unseen` says what of it we may not look at.
    """

    what: str
    problem: str = ""
    fix: str = ""
    unseen: str = ""

    @property
    def ok(self) -> bool:
        """Whether all was looked at and there is nothing to do."""
        return not (self.problem or self.unseen)


def specs(topics: Topics, media: Media) -> tuple[TopicSpec, ...]:
    """Return every topic as the settings want it.

    Verdicts are what display replays, so they stay for a year; what monitoring reads, for a month.
    """
    event_bytes = media.max_event_bytes + ENVELOPE_BYTES

    def spec(name: str, retention_days: int, max_bytes: int = MIB, cleanup: str = "delete") -> TopicSpec:
        config = {
            "cleanup.policy": cleanup,
            "min.insync.replicas": str(topics.min_insync_replicas),
            "max.message.bytes": str(max_bytes),
        }
        if cleanup == "delete":
            config["retention.ms"] = str(retention_days * DAY_MS)
        return TopicSpec(name, topics.partitions, topics.replication_factor, config)

    return (
        spec(topics.images, 7, event_bytes),
        spec(topics.verdicts, 365),
        spec(topics.quality, 30),
        spec(topics.dead_letters, 30, event_bytes + MIB),
        spec(topics.feedback, 365),
        spec(topics.control, 0, cleanup="compact"),
    )


def create(admin: AdminClient, wanted: Sequence[TopicSpec], clock: Callable[[], float] = time.monotonic) -> list[str]:
    """Make the topics that are missing and return their names once they can be used; the others stay as they are.

    Raises BadSettings when the brokers refuse one, Denied when we may not, BrokerLost when they do not answer.
    """
    new = [
        NewTopic(spec.name, num_partitions=spec.partitions, replication_factor=spec.replication_factor,
                 config=dict(spec.config))
        for spec in wanted
    ]  # fmt: skip
    made: list[str] = []
    for name, future in admin.create_topics(new, operation_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S).items():
        try:
            future.result()
        except KafkaException as exception:
            error = error_of(exception)
            if not means(error, Meaning.TOPIC_EXISTS):
                raise _refusal(f"topic {name} cannot be created", error) from None
        else:
            made.append(name)
    deadline = Deadline.after(TIMEOUT_S, clock)
    while not _all_led(admin, made) and not deadline.over:
        time.sleep(0.05)
    return made


def check(admin: AdminClient, wanted: Sequence[TopicSpec]) -> list[Finding]:
    """Compare the topics with how they should be; one finding each. Raises BrokerLost when no broker answers."""
    try:
        found = admin.list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as exception:
        raise _refusal("the topics cannot be listed", error_of(exception)) from None
    findings: list[Finding] = []
    for spec in wanted:
        what = f"topic {spec.name}"
        if spec.name not in found:
            hidden = _hidden(admin, spec.name)
            findings.append(Finding(what, *((HIDDEN, GRANT) if hidden else ("does not exist", CREATE))))
            continue
        partitions = found[spec.name].partitions
        copies = min((len(partition.replicas) for partition in partitions.values()), default=0)
        findings.append(_judged(what, _layout(spec, len(partitions), copies), _config(admin, spec)))
    return findings


def _hidden(admin: AdminClient, name: str) -> bool:
    """Tell whether a topic that is not listed is one that we may not see, there or not."""
    ask: Any = admin  # its type stubs know no options
    try:
        ask.describe_topics(TopicCollection([name]), request_timeout=TIMEOUT_S)[name].result()
    except KafkaException as exception:
        return means(error_of(exception), Meaning.DENIED)
    return False


def _all_led(admin: AdminClient, names: Sequence[str]) -> bool:
    """Tell whether every partition has a leader: the controller says yes to a topic before the brokers know of it."""
    found = admin.list_topics(timeout=TIMEOUT_S).topics
    return all(
        name in found and found[name].partitions and all(p.leader >= 0 for p in found[name].partitions.values())
        for name in names
    )


def _layout(spec: TopicSpec, partitions: int, copies: int) -> list[tuple[str, str]]:
    problems: list[tuple[str, str]] = []
    if partitions < spec.partitions:
        fix = f"kafka-topics.sh --alter --topic {spec.name} --partitions {spec.partitions} ({ALTERED})"
        problems.append((f"has {partitions} partitions, {spec.partitions} are wanted", fix))
    if copies < spec.replication_factor:
        fix = "kafka-reassign-partitions.sh, or topics.replication_factor if that many are meant"
        problems.append((f"has {copies} copies, {spec.replication_factor} are wanted", fix))
    return problems


def _config(admin: AdminClient, spec: TopicSpec) -> list[tuple[str, str]] | None:
    """Return what is wrong with a topic's settings, None when we may not look."""
    resource = ConfigResource(ConfigResource.Type.TOPIC, spec.name)
    try:
        future = admin.describe_configs([resource], request_timeout=TIMEOUT_S)[resource]
        actual = {name: str(entry.value) for name, entry in future.result().items()}
    except KafkaException as exception:
        error = error_of(exception)
        if means(error, Meaning.DENIED):
            return None
        return [(f"its settings cannot be read: {error.str()}", _describing(spec))]
    problems: list[tuple[str, str]] = []
    for name, value in spec.config.items():
        if not _enough(name, actual.get(name, ""), value):
            fix = f"kafka-configs.sh --alter --entity-type topics --entity-name {spec.name} --add-config {name}={value}"
            problems.append((f"{name} is {actual.get(name)}, {value} is wanted", fix))
    return problems


def _describing(spec: TopicSpec) -> str:
    return f"kafka-configs.sh --describe --entity-type topics --entity-name {spec.name}: does that say why?"


def _enough(name: str, actual: str, wanted: str) -> bool:
    """Tell whether a setting will do: policies must be equal, sizes and times at least as large, -1 is no limit."""
    if name == "cleanup.policy":
        return set(actual.split(",")) == set(wanted.split(","))
    return actual == "-1" or (actual.lstrip("-").isdigit() and int(actual) >= int(wanted))


def _judged(what: str, layout: list[tuple[str, str]], config: list[tuple[str, str]] | None) -> Finding:
    problems = [*layout, *(config or ())]
    unseen = "" if config is not None else UNSEEN
    if not problems:
        return Finding(what, fix=ASK if unseen else "", unseen=unseen)
    return Finding(what, "; ".join(problem for problem, _ in problems), problems[0][1], unseen)


def _refusal(what: str, error: KafkaError) -> Fatal:
    if means(error, Meaning.UNREACHABLE):
        return no_broker(f"{what}, no broker answers: {error.str()}")
    refused = f"{what}: {error.str().rstrip('.')}"
    if means(error, Meaning.DENIED):
        return Denied(refused, remedy=f"grant Create on it: {GRANT}")
    if means(error, Meaning.REPLICATION) and (helps := known(error)):
        return BadSettings(refused, setting=helps.setting, remedy=helps.remedy)
    return BadSettings(refused)

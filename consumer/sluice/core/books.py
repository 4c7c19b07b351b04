"""The books of the loop: what was read, what landed, what waits and where the time went, told as numbers."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from sluice.core.backlog import Backlog
from sluice.core.domain import Judged, Message, Outcome, Partition, Record, Rejected
from sluice.core.events import places, tell, trace_id
from sluice.core.seams import Observe, ObserveAll
from sluice.core.timesheet import Timesheet

_GENERATORS = 20
_NOBODY = "unknown"
_NAME = 64  # characters of a name that strangers choose
_KAFKA = {"messaging.system": "kafka"}
_POLL, _SEND, _COMMIT = ({**_KAFKA, "messaging.operation.name": name} for name in ("poll", "send", "commit"))


@dataclass(slots=True)
class Books:
    """Kept by the loop's thread alone."""

    observe: Observe
    observe_all: ObserveAll
    backlog: Backlog
    time: Timesheet
    _generators: set[str] = field(default_factory=set)

    def polled(self, records: Sequence[Record], seconds: float) -> None:
        """Note records that were read, all of one topic, and how long that took."""
        if records:
            place = {"messaging.destination.name": records[0].partition.topic}
            group = {"messaging.consumer.group.name": self.backlog.group}
            self.observe("messaging.client.consumed.messages", len(records), {**_POLL, **place, **group})
            self.observe("messaging.client.operation.duration", seconds, _POLL)

    def landed(self, outcomes: Sequence[Outcome], messages: Sequence[Message], seconds: float) -> None:
        """Note a landing: the outcomes in their order, everything that was published, and how long it took."""
        for topic, count in Counter([message.topic for message in messages]).items():
            self.observe("messaging.client.sent.messages", count, {**_SEND, "messaging.destination.name": topic})
        self.observe("messaging.client.operation.duration", seconds, _COMMIT)
        self.observe("sluice.landing.duration", seconds, {})
        self.observe("sluice.landing.records", len(outcomes), {})
        self.backlog.land(outcomes)
        self._count(outcomes)
        now_s = self.backlog.now_s()
        made_ms = [outcome.record.timestamp_ms for outcome in outcomes]
        self.observe_all("sluice.event.age", [max(0.0, now_s - ms / 1000) for ms in made_ms if ms >= 0])
        self._scores([outcome for outcome in outcomes if isinstance(outcome, Judged)])

    def assigned(self, partitions: Collection[Partition]) -> None:
        """Note that `partitions` are ours from now on."""
        self.observe("sluice.rebalances", 1, {"kind": "assigned"})
        tell("partitions_assigned", partitions=places(partitions))
        self.backlog.take(partitions)

    def gone(self, partitions: Collection[Partition], kind: str) -> None:
        """Note that `partitions` are ours no more: they were `revoked`, or `lost`."""
        self.observe("sluice.rebalances", 1, {"kind": kind})
        tell("partitions_lost" if kind == "lost" else "partitions_revoked", partitions=places(partitions))
        self.backlog.drop(partitions)

    def turn(self, waiting: Callable[[], Iterable[Record]]) -> None:
        """Tell what is told by the clock; call it every turn. `waiting` yields what was polled and has not landed."""
        self.backlog.look(waiting)
        self.time.report()

    def _count(self, outcomes: Sequence[Outcome]) -> None:
        verdicts = Counter([(o.verdict.status, _generator(o)) for o in outcomes])
        for (status, generator), count in verdicts.items():
            self.observe("sluice.verdicts", count, {"status": status, "generator": self._known(generator)})
        rejected = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
        errors = [outcome.dead_letter.error for outcome in rejected]
        for (stage, reason), count in Counter([(error.stage, error.reason) for error in errors]).items():
            self.observe("sluice.dead_letters", count, {"stage": stage, "reason": reason})
        for outcome in rejected:
            _tell_of(outcome)

    def _scores(self, judged: Sequence[Judged]) -> None:
        margins = [[concept.margin for concept in outcome.verdict.concepts] for outcome in judged]
        self.observe_all("sluice.margin", [max(each) for each in margins if each])
        self.observe_all("sluice.clip.cosine", [o.quality.clip.cosine for o in judged if o.quality.clip])
        aesthetics = [outcome.quality.aesthetic for outcome in judged]
        self.observe_all("sluice.aesthetic.score", [score for score in aesthetics if score is not None])

    def _known(self, generator: str) -> str:
        """Return a generator's name, `other` for one too many: each makes series for as long as the process lives."""
        name = generator[:_NAME]
        if name != _NOBODY and name not in self._generators:
            if len(self._generators) >= _GENERATORS:
                return "other"
            self._generators.add(name)
        return name


def _tell_of(letter: Rejected) -> None:
    record, error = letter.record, letter.dead_letter.error
    tell(
        "dead_letter",
        topic=record.partition.topic,
        partition=record.partition.index,
        offset=record.offset,
        stage=error.stage,
        reason=error.reason,
        trace_id=trace_id(record.headers),
    )


def _generator(outcome: Outcome) -> str:
    generator = outcome.quality.generator if isinstance(outcome, Judged) else None
    return generator.model_id if generator and generator.model_id else _NOBODY

"""The numbers of the loop: what was read and committed, what waits, and where the time went."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from sluice.core.log_events import log_event, places
from sluice.core.metrics import Observe, ObserveAll
from sluice.core.records import Message, Partition, Record
from sluice.stream.lag import LagReporter
from sluice.stream.outcome import Outcome
from sluice.stream.ports import CommitObserver

Activity = Literal["poll", "work", "backpressure", "commit", "idle"]
_REPORT_EVERY_S = 0.25  # to report each turn would cost more than the turn
_KAFKA = {"messaging.system": "kafka"}
_POLL, _SEND, _COMMIT = ({**_KAFKA, "messaging.operation.name": name} for name in ("poll", "send", "commit"))


@dataclass(slots=True)
class TimeAccounting:
    """Where a thread's time goes: every moment of `clock` belongs to one activity, so that their sum is time itself.

    Outside of `during` it is `work`.
    """

    clock: Callable[[], float]
    observe: Observe
    _activity: Activity = "work"
    _since_s: float = field(init=False)
    _report_at_s: float = field(init=False)
    _spent_s: dict[Activity, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._since_s = self.clock()
        self._report_at_s = self._since_s + _REPORT_EVERY_S

    @contextmanager
    def during(self, activity: Activity) -> Iterator[None]:
        """Count the block as `activity`; what came before it goes on afterwards."""
        before = self._activity
        self._switch(activity)
        try:
            yield
        finally:
            self._switch(before)

    def report(self) -> None:
        """Report what was spent since the last report, if it is time to; call it every turn."""
        self._switch(self._activity)
        if self._since_s < self._report_at_s:
            return
        self._report_at_s = self._since_s + _REPORT_EVERY_S
        for activity, seconds in self._spent_s.items():
            self.observe("sluice.activity.time", seconds, {"activity": activity})
        self._spent_s.clear()

    def _switch(self, activity: Activity) -> None:
        now_s = self.clock()
        self._spent_s[self._activity] = self._spent_s.get(self._activity, 0.0) + now_s - self._since_s
        self._activity, self._since_s = activity, now_s


def _unobserved(_: Sequence[Outcome]) -> None:
    pass


@dataclass(slots=True)
class LoopMetrics:
    """Kept by the loop's thread alone; `on_commit` is told of every commit besides."""

    observe: Observe
    observe_all: ObserveAll
    lag: LagReporter
    time: TimeAccounting
    on_commit: CommitObserver = _unobserved

    def polled(self, records: Sequence[Record], seconds: float) -> None:
        """Count records that were read, all of one topic, and how long that took."""
        if records:
            place = {"messaging.destination.name": records[0].partition.topic}
            group = {"messaging.consumer.group.name": self.lag.group}
            self.observe("messaging.client.consumed.messages", len(records), {**_POLL, **place, **group})
            self.observe("messaging.client.operation.duration", seconds, _POLL)

    def committed(self, outcomes: Sequence[Outcome], messages: Sequence[Message], seconds: float) -> None:
        """Count a commit: the outcomes in their order, everything that was published, and how long it took."""
        for topic, count in Counter([message.topic for message in messages]).items():
            self.observe("messaging.client.sent.messages", count, {**_SEND, "messaging.destination.name": topic})
        self.observe("messaging.client.operation.duration", seconds, _COMMIT)
        self.observe("sluice.commit.duration", seconds, {})
        self.observe("sluice.commit.records", len(outcomes), {})
        self.lag.committed(outcomes)
        now_s = self.lag.now_s()
        made_ms = [outcome.record.timestamp_ms for outcome in outcomes]
        self.observe_all("sluice.event.age", [max(0.0, now_s - ms / 1000) for ms in made_ms if ms >= 0])
        self.on_commit(outcomes)

    def assigned(self, partitions: Collection[Partition]) -> None:
        """Count an assignment: `partitions` are ours from now on."""
        self.observe("sluice.rebalances", 1, {"kind": "assigned"})
        log_event("partitions_assigned", partitions=places(partitions))
        self.lag.add(partitions)

    def gone(self, partitions: Collection[Partition], kind: Literal["revoked", "lost"]) -> None:
        """Count that `partitions` are ours no more."""
        self.observe("sluice.rebalances", 1, {"kind": kind})
        log_event("partitions_lost" if kind == "lost" else "partitions_revoked", partitions=places(partitions))
        self.lag.drop(partitions)

    def turn(self, waiting: Callable[[], Iterable[Record]]) -> None:
        """Report what is reported by the clock; call it every turn. `waiting` yields what was polled, uncommitted."""
        self.lag.report(waiting)
        self.time.report()

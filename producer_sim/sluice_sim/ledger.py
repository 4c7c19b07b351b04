"""The ledger: counts what came back against what was sent. Pure: no Kafka, no clock."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from sluice_schemas import Status, unreadable_image_id
from sluice_sim.figures import area_under_curve, mean, percentile, ratio
from sluice_sim.report import Clip, GeneratorFigures, Hostile, Latency, Report, Safety
from sluice_sim.truth import Place, Sent

Kind: TypeAlias = Literal["verdict", "quality", "dead_letter"]


class OrderKey(NamedTuple):
    """Records that must keep their order: those of one input partition that land in one output partition.

    A key has one partition in each topic, so order per key follows.
    """

    topic: str
    partition: int
    source_topic: str
    source_partition: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """One output record, reduced to what is counted. `place` is its own, `source` that of the input it answers."""

    kind: Kind
    place: Place
    source: Place
    image_id: str
    timestamp_ms: int
    status: Status | None = None
    reason: str | None = None
    sha256: str | None = None
    cosine: float | None = None


@dataclass(slots=True)
class _Entry:
    """All that was seen of one input record: the first sighting of each kind, and how many there were."""

    sent: Sent | None = None
    first: dict[Kind, Sighting] = field(default_factory=dict)
    seen: Counter[Kind] = field(default_factory=Counter)
    out_of_order: int = 0

    @property
    def whole(self) -> bool:
        """Whether there is a verdict and the one partner that belongs to it."""
        if "verdict" not in self.first:
            return False
        partner: Kind = "dead_letter" if self.first["verdict"].status is Status.INDETERMINATE else "quality"
        return self.first.keys() == {"verdict", partner}


@dataclass(frozen=True, slots=True)
class _Answer:
    """An input with its verdict, and the cosine if one was measured."""

    sent: Sent
    verdict: Sighting
    cosine: float | None

    @property
    def judged(self) -> bool:
        """Whether it counts for agreement with the truth: a sound input that got a definite verdict."""
        return self.sent.truth.judgeable and self.verdict.status is not Status.INDETERMINATE

    @property
    def blocked(self) -> bool:
        return self.verdict.status is Status.BLOCK

    @property
    def wait_ms(self) -> int:
        return self.verdict.timestamp_ms - self.sent.timestamp_ms


class Ledger:
    """Feed it what was sent and what was seen; ask for the report at any time."""

    def __init__(self) -> None:
        self._entries: defaultdict[Place, _Entry] = defaultdict(_Entry)
        self._newest: dict[OrderKey, int] = {}
        self._unreadable = 0
        self.furthest: dict[int, int] = {}
        """The highest offset of each input partition that anything answered."""

    def sent(self, sent: Sent) -> None:
        """Note a record the broker acknowledged, and the truth about it; before or after it is answered."""
        self._entries[sent.place].sent = sent

    def saw(self, sighting: Sighting) -> None:
        """Note one output record; those of one output partition in the order of their offsets."""
        source = sighting.source
        self.furthest[source.partition] = max(source.offset, self.furthest.get(source.partition, -1))
        entry = self._entries[sighting.source]
        entry.seen[sighting.kind] += 1
        if sighting.kind not in entry.first:
            entry.first[sighting.kind] = sighting
            entry.out_of_order += self._is_late(sighting)

    def unreadable(self) -> None:
        """Note an output record that is no event of its topic."""
        self._unreadable += 1

    @property
    def outstanding(self) -> int:
        """How many of the records that were sent wait for their verdict or its partner."""
        return sum(1 for entry in self._entries.values() if entry.sent and not entry.whole)

    def report(self) -> Report:
        """Sum up what has been seen so far."""
        entries = [entry for entry in self._entries.values() if entry.sent]
        answers = _answers(entries)
        judged = [answer for answer in answers if answer.judged]
        elapsed_s = _elapsed_s(entries, answers)
        return Report(
            published=len(entries),
            verdicts=sum(entry.seen["verdict"] for entry in entries),
            quality=sum(entry.seen["quality"] for entry in entries),
            dead_letters=sum(entry.seen["dead_letter"] for entry in entries),
            lost=len(entries) - len(answers),
            duplicated=sum(count - 1 for entry in entries for count in entry.seen.values() if count > 1),
            out_of_order=sum(entry.out_of_order for entry in entries),
            torn=sum(1 for entry in entries if entry.first and not entry.whole),
            misattributed=sum(_is_misattributed(entry.sent, s) for entry in entries for s in entry.first.values()),
            strangers=len(self._entries) - len(entries),
            unreadable=self._unreadable,
            status_counts=dict(Counter(str(answer.verdict.status) for answer in answers)),
            safety=_safety(judged),
            clip=_clip(judged),
            hostile=_hostile(answers),
            rejected=_rejected(answers),
            generators=_generators(judged),
            latency_ms=_latency(answers),
            events_per_s=len(answers) / elapsed_s if elapsed_s else 0.0,
            elapsed_s=elapsed_s,
        )

    def _is_late(self, sighting: Sighting) -> bool:
        lane = OrderKey(*sighting.place[:2], *sighting.source[:2])
        newest = self._newest.get(lane, -1)
        self._newest[lane] = max(newest, sighting.source.offset)
        return sighting.source.offset < newest


def _answers(entries: Sequence[_Entry]) -> list[_Answer]:
    answers = []
    for entry in entries:
        verdict, quality = entry.first.get("verdict"), entry.first.get("quality")
        if entry.sent and verdict:
            answers.append(_Answer(entry.sent, verdict, quality.cosine if quality else None))
    return answers


def _is_misattributed(sent: Sent | None, sighting: Sighting) -> bool:
    """Tell whether the record names another image than the one that was sent; None is never sent."""
    if sent is None:
        return False
    truth = sent.truth
    image_id = truth.image_id if truth.readable else unreadable_image_id(*sent.place)
    wrong_hash = truth.sha256 is not None and sighting.sha256 not in {None, truth.sha256}
    return sighting.image_id != image_id or wrong_hash


def _elapsed_s(entries: Sequence[_Entry], answers: Sequence[_Answer]) -> float:
    start = min((entry.sent.timestamp_ms for entry in entries if entry.sent), default=0)
    end = max((answer.verdict.timestamp_ms for answer in answers), default=start)
    return max(0, end - start) / 1000


def _latency(answers: Sequence[_Answer]) -> Latency:
    waits = sorted(answer.wait_ms for answer in answers)
    return Latency(*(percentile(waits, percent) for percent in (50, 95, 99)))


def _safety(judged: Sequence[_Answer]) -> Safety:
    hits = sum(1 for answer in judged if answer.blocked and answer.sent.truth.unsafe)
    return Safety(
        precision=ratio(hits, sum(1 for answer in judged if answer.blocked)),
        recall=ratio(hits, sum(1 for answer in judged if answer.sent.truth.unsafe)),
    )


def _clip(judged: Sequence[_Answer]) -> Clip:
    cosines: dict[bool | None, list[float]] = {True: [], False: [], None: []}
    for answer in judged:
        if answer.cosine is not None:
            cosines[answer.sent.truth.matching].append(answer.cosine)
    matching, mismatching = cosines[True], cosines[False]
    return Clip(mean(matching), mean(mismatching), area_under_curve(matching, mismatching))


def _hostile(answers: Sequence[_Answer]) -> Hostile:
    reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)
    hostile = [answer for answer in answers if not answer.sent.truth.judgeable]
    for answer in hostile:
        reasons[str(answer.sent.truth.fault)][answer.verdict.reason or str(answer.verdict.status)] += 1
    return Hostile(
        answered=len(hostile),
        handled=sum(1 for answer in hostile if answer.verdict.status is Status.INDETERMINATE),
        reasons={fault: dict(counts) for fault, counts in sorted(reasons.items())},
    )


def _rejected(answers: Sequence[_Answer]) -> dict[str, int]:
    sound = (answer for answer in answers if answer.sent.truth.judgeable)
    return dict(Counter(answer.verdict.reason or "unnamed" for answer in sound if not answer.judged))


def _generators(judged: Sequence[_Answer]) -> dict[str, GeneratorFigures]:
    by_name: defaultdict[str, list[_Answer]] = defaultdict(list)
    for answer in judged:
        by_name[answer.sent.truth.generator].append(answer)
    return {
        name: GeneratorFigures(
            verdicts=len(theirs),
            blocked=mean([answer.blocked for answer in theirs]),
            clip_mean=mean([answer.cosine for answer in theirs if answer.cosine is not None]),
        )
        for name, theirs in sorted(by_name.items())
    }

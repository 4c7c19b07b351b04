"""The values that travel down the road, in the order they appear on it.

Record -> Batch -> (ImageGenerated, Picture) -> Job -> Scores -> Decision -> Outcome -> Message

All are frozen and carry what the next step needs. Arrays are uint8, height x width x RGB.
"""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sluice.core.errors import DependencyDown, Rejection
from sluice_schemas import Clip, Concept, DeadLetter, ModelRef, Quality, Status, Technical, Verdict

Headers = tuple[tuple[str, bytes | None], ...]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """A partition of a topic."""

    topic: str
    index: int


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka message. `timestamp_ms` is the broker's or producer's, milliseconds since the epoch."""

    partition: Partition
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def next_offset(self) -> int:
        """The offset to commit once this record is done."""
        return self.offset + 1

    @property
    def size_bytes(self) -> int:
        """What holding this record costs in memory, near enough."""
        return len(self.value or b"") + len(self.key or b"")


class FillReason(StrEnum):
    """Why a batch was cut where it was."""

    COUNT = "count"
    BYTES = "bytes"
    GREEDY = "greedy"
    ALONE = "alone"


@dataclass(frozen=True, slots=True)
class Batch:
    """A slice of the log: per partition contiguous, in order. `cut_at_s` is on the monotonic clock.

    With a `rejection` its records are rejected for that, and nobody looks into them.
    """

    records: tuple[Record, ...]
    reason: FillReason
    cut_at_s: float
    rejection: Rejection | None = None

    @property
    def partitions(self) -> frozenset[Partition]:
        """The partitions this slice has records of."""
        return frozenset(record.partition for record in self.records)


class Thumbnail(NamedTuple):
    """How the whole first frame is made small for somebody who is not the checker, and to which edge in pixels.

    `fit`: the longest edge at most so long, antialiased, never enlarged. `sample`: the longest edge exactly so long,
    each pixel from its four nearest, which aliases like OpenCV's resize. `stretch`: a square, antialiased like
    Pillow's bilinear. A model is right only about what looks like the pictures it was trained on.
    """

    how: Literal["fit", "sample", "stretch"]
    edge_px: int

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of what is made of a frame so high and wide."""
        longest = max(height, width)
        match self.how:
            case "stretch":
                return self.edge_px, self.edge_px
            case "sample":
                return -(-height * self.edge_px // longest), -(-width * self.edge_px // longest)
            case "fit":
                kept = min(longest, self.edge_px)
                return max(1, height * kept // longest), max(1, width * kept // longest)


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image, ready to be scored.

    `tiles` is (N, 224, 224, 3): tile 0 is the reference view (first frame, upright, on white, centre crop); the rest
    are what that view does not show: tiles along a long side, further frames, the composite on black.
    `thumbnails` are the whole first frame, (h, w, 3) each, for plug-in models: one of each kind that was asked for.
    `coverage` is the share of the reference frame's pixels that some tile shows, 0 to 1.
    """

    sha256: str
    mime: str
    width: int
    height: int
    frames: int
    tiles: Pixels
    coverage: float
    technical: Technical
    thumbnails: Mapping[Thumbnail, Pixels] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """What the lane scores: one picture and, when there is one, its prompt; `exact` in float32 wherever it lies."""

    picture: Picture
    prompt: str | None
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Score:
    """One number from one model: a second opinion or an artefact probe."""

    model: str
    label: str
    value: float


@dataclass(frozen=True, slots=True)
class Scores:
    """Everything the models say of one picture; every number in it is finite.

    `concepts` holds all concepts, special care included, each from the tile where its margin is largest.
    `reference_has_nsfw` is the reference checker's answer for tile 0 alone.
    """

    concepts: tuple[Concept, ...]
    reference_has_nsfw: bool
    guard_band_recheck: bool
    clip: Clip | None
    aesthetic: float | None = None
    opinions: tuple[Score, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy makes of scores: a status and the stable codes of the rules that led to it."""

    status: Status
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a verdict must name so that it can be computed again."""

    models: tuple[ModelRef, ...]
    preprocess_digest: str


@dataclass(frozen=True, slots=True)
class Message:
    """One record to publish. `traced`: its image has a trace, and its headers name the span to send it under."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers = ()
    traced: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """The record was judged: one verdict, one quality event."""

    record: Record
    verdict: Verdict
    quality: Quality
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """The record could not be judged: one indeterminate verdict, one dead letter."""

    record: Record
    verdict: Verdict
    dead_letter: DeadLetter
    messages: tuple[Message, ...] = ()


Outcome = Judged | Rejected


@dataclass(slots=True)
class Flight:
    """A batch under way and the future of its outcomes, one per record and in its order.

    `lost` grows when partitions are revoked; landing skips their records. `held_by` names the dependency that stopped
    it last.
    """

    batch: Batch
    outcomes: Future[list[Outcome]]
    lost: set[Partition] = field(default_factory=set)
    held_by: str = ""

    @property
    def gone(self) -> bool:
        """Whether none of its records are ours any more."""
        return self.batch.partitions <= self.lost

    @property
    def down(self) -> DependencyDown | None:
        """What stopped it, if a dependency did."""
        error = self.outcomes.exception() if self.outcomes.done() else None
        return error if isinstance(error, DependencyDown) else None

    @property
    def finished(self) -> bool:
        """Whether nothing of it is waited for any more."""
        return self.outcomes.done() and (self.down is None or self.gone)

    @property
    def ours(self) -> Iterator[Outcome]:
        """The outcomes that are ours to land, once it is finished."""
        if self.down is None:
            yield from (outcome for outcome in self.outcomes.result() if outcome.record.partition not in self.lost)

    @property
    def waiting(self) -> Iterator[Record]:
        """The records that are ours to land, finished or not."""
        return (record for record in self.batch.records if record.partition not in self.lost)


@dataclass(frozen=True, slots=True)
class Span:
    """The offsets of a partition from `first` up to, not including, `end`; and in how many deaths of the process.

    `deaths` counts those with these records in flight, `alone` the ones of them with nothing else in flight.
    """

    partition: Partition
    first: int
    end: int
    deaths: int = 0
    alone: int = 0

    def covers(self, offset: int) -> bool:
        """Whether `offset` lies in it."""
        return self.first <= offset < self.end


@dataclass(frozen=True, slots=True)
class Notes:
    """What one life of the process leaves to the next: what is on the road, and what was when earlier lives ended."""

    flying: tuple[Span, ...] = ()
    suspects: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a partition reaches: up to, not including, `end`; nothing before `settled` waits, None where unknown.

    `settled` is what the group had committed before, or where reading found nothing further.
    """

    end: int
    settled: int | None = None


Offsets = Mapping[Partition, int]
GroupMetadata = Any  # confluent_kafka's opaque value; only the bus looks inside


def next_offsets(outcomes: Iterable[Outcome]) -> Offsets:
    """Return the offset to commit in each partition once `outcomes`, in their order, have landed."""
    return {outcome.record.partition: outcome.record.next_offset for outcome in outcomes}

"""Hostile files on the whole road, from their bytes to a verdict, and what may never happen to any of them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import islice

import numpy as np

from sluice.core.metrics import unobserved
from sluice.core.records import Partition, Record
from sluice.media.decoding import tiles
from sluice.media.decoding.limits import REASONS, Limits
from sluice.media.fetching.fetcher import Fetcher
from sluice.moderation.pipeline import Pipeline, Steps
from sluice.moderation.values import Judged, Judgement, Picture, Pixels
from sluice.services.moderator.judging import CLOCKS, Judging, judging
from sluice.settings import MIB, Fetch, Media, Models, Settings
from sluice.stream.batch import Batch, FillReason
from sluice_schemas import Generator, Image, ImageGenerated, Status
from tests.hostile.bench import FORMATS, Answer, Bench, Notes
from tests.hostile.specimen import Fate, Specimen

BATCH = 48
MAX_RESIDENT_BYTES = 544 * MIB  # what a decoder may take, and what a kernel that reclaims shared pages hides of it
MAX_SECONDS = 2.0
_HERE = Partition("hostile", 0)
_LIMITS = Limits(formats=FORMATS)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one file; `status` is None where no verdict was asked for."""

    name: str
    fate: Fate
    reason: str
    status: Status | None
    wall_s: float
    cpu_s: float
    resident_bytes: int
    complaints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """Runs files on `bench`, and to a verdict by `judge` where `asks` says so."""

    bench: Bench
    judge: Judging
    asks: Callable[[Specimen], bool] = lambda _: True

    def results(self, specimens: Iterable[Specimen]) -> Iterator[Result]:
        """Yield one result per file, in order; two batches are under way at a time."""
        source = iter(specimens)
        with ThreadPoolExecutor(2) as threads:
            flights = [threads.submit(self._flight, batch) for batch in islice(_batches(source), 2)]
            while flights:
                yield from flights.pop(0).result()
                flights += [threads.submit(self._flight, batch) for batch in islice(_batches(source), 1)]

    def _flight(self, batch: Sequence[Specimen]) -> list[Result]:
        notes: Notes = {}
        asked = [specimen for specimen in batch if self.asks(specimen)]
        wait([self.bench.submit(specimen.data, notes) for specimen in batch if not self.asks(specimen)])
        outcomes = {id(specimen): outcome for specimen, outcome in self._outcomes(asked, notes)}
        return [_result(specimen, notes, outcomes.get(id(specimen))) for specimen in batch]

    def _outcomes(self, asked: Sequence[Specimen], notes: Notes) -> Iterator[tuple[Specimen, Judgement]]:
        """Send files down the road of a batch of events."""
        if not asked:
            return
        records = tuple(Record(_HERE, number, -1, None, None) for number in range(len(asked)))
        with (
            Fetcher(Fetch(), Media(max_inline_bytes=32 * MIB, max_event_bytes=32 * MIB)) as fetcher,
            ThreadPoolExecutor(1) as threads,
        ):
            steps = Steps(
                decode=partial(_event, asked),
                fetch=fetcher.submit,
                picture=partial(self.bench.submit, notes=notes),
                score=self.judge.inference.submit,
                judge=self.judge.policy.judge,
                encode=lambda _outcome: (),
            )
            road = Pipeline(steps, self.judge.verdict_builder, CLOCKS, threads, unobserved)
            outcomes = road.outcomes(Batch(records, FillReason.COUNT, CLOCKS.monotonic()))
        assert [outcome.record for outcome in outcomes] == list(records), "not exactly one outcome per record, in order"
        yield from zip(asked, outcomes, strict=True)


@contextmanager
def starter() -> Iterator[Judging]:
    """Load the models that know the simulator's hazards, on the CPU, with the recommended policy."""
    settings = Settings(models=Models(bundle="starter", device="cpu"), media=Media(decoders=1))
    with judging(settings, worker="hostile", observe=unobserved) as judge:
        yield judge


def complaints(specimen: Specimen, answer: Answer, outcome: Judgement | None) -> Iterator[str]:
    """Yield what should not have happened."""
    picture, status = answer.picture, outcome.verdict.status if outcome else None
    if (picture is None) != (answer.reason in REASONS):
        yield f"neither a picture nor a known reason: {answer.reason!r}"
    if isinstance(outcome, Judged) != (picture is not None) and outcome is not None:
        yield f"{outcome.verdict.status} of {answer.reason or 'a picture'}"
    if picture is None and status not in {None, Status.INDETERMINATE}:
        yield f"{status} of what cannot be decoded"
    if answer.resident_bytes > MAX_RESIDENT_BYTES:
        yield f"{answer.resident_bytes / MIB:.0f} MiB resident"
    if answer.cpu_s > MAX_SECONDS and not specimen.costly:
        yield f"{answer.cpu_s:.1f} s of CPU"
    yield from _strayed(specimen, answer, status)
    if picture is not None and not all(is_judged(look, picture, specimen.tolerance) for look in specimen.shows):
        yield "what a person may see is not among the tiles"


def _strayed(specimen: Specimen, answer: Answer, status: Status | None) -> Iterator[str]:
    """Yield how a file missed its fate."""
    fate, reason = specimen.fate, answer.reason
    if reason and fate in {Fate.SHOWN, Fate.BLOCKED}:
        yield f"turned away: {reason}"
    if fate is Fate.REFUSED and (not reason or (specimen.reasons and reason not in specimen.reasons)):
        yield f"{reason or 'a picture'} instead of {' or '.join(sorted(specimen.reasons)) or 'a refusal'}"
    if status is not None and not reason and fate in {Fate.BLOCKED, Fate.NEVER_ALLOWED} and status is not Status.BLOCK:
        yield f"a hazard is {status}"


def is_judged(look: Pixels, picture: Picture, tolerance: float) -> bool:
    """Whether every tile of a look, (h, w, 3), is among the tiles of a picture, by mean absolute difference."""
    return distance(look, picture) <= tolerance


def distance(look: Pixels, picture: Picture) -> float:
    """Return how far the tile of a look that is judged least is from its nearest judged tile, 0 to 255."""
    height, width = look.shape[:2]
    layout = tiles.plan(height, width, tile_above_aspect=_LIMITS.tile_above_aspect, max_tiles=_LIMITS.max_tiles)
    judged = picture.tiles.astype(np.int16)
    return max(float(np.abs(judged - tile).mean(axis=(1, 2, 3)).min()) for tile in tiles.tiles(look.copy(), layout))


def _event(asked: Sequence[Specimen], record: Record) -> ImageGenerated:
    return ImageGenerated(
        image_id=asked[record.offset].name,
        created_at=CLOCKS.now(),
        image=Image(bytes=asked[record.offset].data),
        generator=Generator("hostile"),
    )


def _result(specimen: Specimen, notes: Notes, outcome: Judgement | None) -> Result:
    answer = notes[sha256(specimen.data).digest()]
    status = outcome.verdict.status if outcome else None
    found = tuple(complaints(specimen, answer, outcome))
    cost = (answer.wall_s, answer.cpu_s, answer.resident_bytes)
    return Result(specimen.name, specimen.fate, answer.reason, status, *cost, found)


def _batches(source: Iterator[Specimen]) -> Iterator[list[Specimen]]:
    while batch := list(islice(source, BATCH)):
        yield batch

"""The straight road of a batch: decode, fetch, picture, score, judge. One outcome per record, in order.

Every step is a pass over the whole batch, so that fetches and decodes overlap; what differs by record is a value.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from datetime import datetime

from sluice.core.domain import Batch, Decision, Job, Message, Outcome, Picture, Record, Rejected, Scores
from sluice.core.errors import DependencyDown, Fatal, Rejection, Undecodable, Unscorable
from sluice.core.outcomes import Clerk, Subject
from sluice.core.seams import Lane, Observe
from sluice.core.spans import process_span
from sluice_schemas import Image, ImageGenerated, Status, Timings

_MAX_NAMES = 16_384  # characters; an image_id stands in a verdict thrice: as its field, its key and its ce_subject


@dataclass(frozen=True, slots=True)
class Steps:
    """What the road is paved with; each is a plain callable, so a fake is a function."""

    decode: Callable[[Record], ImageGenerated]
    fetch: Callable[[Image], Future[bytes]]
    picture: Callable[[bytes], Future[Picture]]
    score: Lane
    judge: Callable[[Scores, ImageGenerated, Picture], Decision]
    encode: Callable[[Outcome], tuple[Message, ...]]


@dataclass(frozen=True, slots=True)
class Clocks:
    """Time as arguments: seconds that only grow, and what the calendar says (UTC)."""

    monotonic: Callable[[], float]
    now: Callable[[], datetime]


@dataclass(slots=True)
class _Passage:
    """One record on its way; `failure` ends the way."""

    record: Record
    event: ImageGenerated | None = None
    fetched: Future[bytes] | None = None
    decoded: Future[Picture] | None = None
    job: Job | None = None
    scores: Scores | None = None
    outcome: Outcome | None = None
    failure: Rejection | None = None


@dataclass(slots=True)
class _Stopwatch:
    """Milliseconds per stage of one batch."""

    clock: Callable[[], float]
    observe: Observe
    laps: dict[str, float] = field(default_factory=dict)

    def lap(self, stage: str, started_s: float) -> None:
        seconds = self.clock() - started_s
        self.laps[stage] = seconds * 1000
        self.observe("sluice.stage.duration", seconds, {"stage": stage})


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Batch -> Future[list[Outcome]]. Raises DependencyDown through the future; the loop tries again later."""

    steps: Steps
    clerk: Clerk
    clocks: Clocks
    threads: Executor
    observe: Observe

    def launch(self, batch: Batch) -> Future[list[Outcome]]:
        """Start the road of `batch` on a thread of its own."""
        return self.threads.submit(self.outcomes, batch)

    def outcomes(self, batch: Batch) -> list[Outcome]:
        """Return exactly one outcome per record, in the batch's order."""
        with process_span(batch):
            passages = [_Passage(record, failure=batch.rejection) for record in batch.records]
            watch = _Stopwatch(self.clocks.monotonic, self.observe)
            self._gather(passages, watch)
            self._score(passages, watch)
            timings = self._timings(batch, watch)
            return [self._finish(passage, timings(passage.record)) for passage in passages]

    def _gather(self, passages: Sequence[_Passage], watch: _Stopwatch) -> None:
        started = watch.clock()
        for passage in passages:
            _step(passage, self._admit)
        for passage in passages:
            _step(passage, self._decode)
        watch.lap("fetch", started)
        started = watch.clock()
        for passage in passages:
            _step(passage, _collect)
        watch.lap("decode", started)

    def _admit(self, passage: _Passage) -> None:
        event = self.steps.decode(passage.record)
        _refuse_long_names(event)
        passage.event = event
        passage.fetched = self.steps.fetch(event.image)

    def _decode(self, passage: _Passage) -> None:
        if passage.fetched:
            passage.decoded = self.steps.picture(passage.fetched.result())

    def _score(self, passages: Sequence[_Passage], watch: _Stopwatch) -> None:
        ready = [(passage, passage.job) for passage in passages if passage.job]
        if not ready:
            return
        started = watch.clock()
        results = self.steps.score([job for _, job in ready]).result()
        watch.lap("model", started)
        for (passage, _), result in zip(ready, results, strict=True):
            if isinstance(result, Rejection):
                passage.failure = result
            else:
                passage.scores = result

    def _finish(self, passage: _Passage, timings: Timings) -> Outcome:
        _step(passage, lambda p: self._judge(p, timings))
        return passage.outcome or self._reject(passage, timings)

    def _judge(self, passage: _Passage, timings: Timings) -> None:
        event, job, scores = passage.event, passage.job, passage.scores
        if not (event and job and scores):
            raise Unscorable("not_scored")
        decision = self.steps.judge(scores, event, job.picture)
        if decision.status is Status.INDETERMINATE:
            raise Unscorable(decision.reasons[0])
        judged = self.clerk.judged(Subject(passage.record, event, job, timings), scores, decision, self.clocks.now())
        passage.outcome = replace(judged, messages=self.steps.encode(judged))

    def _reject(self, passage: _Passage, timings: Timings) -> Rejected:
        failure = passage.failure or Unscorable("not_scored")
        rejected = self.clerk.rejected(
            passage.record, failure, event=passage.event, timings=timings, now=self.clocks.now()
        )
        return replace(rejected, messages=self.steps.encode(rejected))

    def _timings(self, batch: Batch, watch: _Stopwatch) -> Callable[[Record], Timings]:
        """Return what tells a record's timings; they differ in how long it was queued."""
        total = (watch.clock() - batch.cut_at_s) * 1000
        cut_at_ms = self.clocks.now().timestamp() * 1000 - total
        wait = max(0.0, total - sum(watch.laps.values()))
        fetch, decode, model = (watch.laps.get(stage) for stage in ("fetch", "decode", "model"))

        def of(record: Record) -> Timings:
            queued = max(0.0, cut_at_ms - record.timestamp_ms) if record.timestamp_ms >= 0 else None
            return Timings(queued=queued, fetch=fetch, decode=decode, wait=wait, model=model, total=total)

        return of


def _refuse_long_names(event: ImageGenerated) -> None:
    """Raise Undecodable when what our events repeat of this one would not fit a topic that takes 1 MiB a message."""
    repeated = (event.image_id, event.tenant_id, event.request_id, event.generator, event.experiment)
    size = sum(len(str(part)) for part in repeated)
    if size > _MAX_NAMES:
        raise Undecodable("names_too_long", f"{size} characters of ids and generator, the limit is {_MAX_NAMES}")


def _collect(passage: _Passage) -> None:
    if passage.decoded and passage.event:
        passage.job = Job(passage.decoded.result(), passage.event.prompt)


def _step(passage: _Passage, step: Callable[[_Passage], None]) -> None:
    """Take one step; a failure of this record stays with it, whatever it is, and its neighbours go on."""
    if passage.failure:
        return
    try:
        step(passage)
    except Rejection as failure:
        passage.failure = failure
    except (DependencyDown, Fatal):
        raise
    except Exception as bug:  # noqa: BLE001  the per-record edge: one record must not take its batch along
        passage.failure = Unscorable("internal_error", type(bug).__name__)

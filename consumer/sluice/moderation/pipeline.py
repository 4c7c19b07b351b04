"""The pipeline of a batch: admit, decode, score, judge. One judgement per record, in order.

Every step is a pass over the whole batch, so that fetches and decodes overlap. What fails becomes `Failed` where it
fails, and the steps after it pass it on.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from sluice.core.errors import DependencyDown, Fatal, Rejection, Undecodable, Unscorable
from sluice.core.metrics import Observe
from sluice.core.records import Message, Record
from sluice.moderation.image_tracing import ImageSpan, image_spans
from sluice.moderation.ports import Infer
from sluice.moderation.values import Decision, Job, Judgement, Picture, Rejected, Scores
from sluice.moderation.verdicts import Subject, VerdictBuilder
from sluice.stream.batch import Batch
from sluice.stream.outcome import Outcome
from sluice.stream.tracing import process_span
from sluice_schemas import Image, ImageGenerated, Status, Timings

_PROCESS = {"messaging.system": "kafka", "messaging.operation.name": "process"}
_MAX_NAMES = 16_384  # characters; an image_id stands in a verdict thrice: as its field, its key and its ce_subject
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Steps:
    """What the steps call; each is a plain callable, so a fake is a function."""

    decode: Callable[[Record], ImageGenerated]
    fetch: Callable[[Image], Future[bytes]]
    picture: Callable[[bytes], Future[Picture]]
    score: Infer
    judge: Callable[[Scores, ImageGenerated, Picture], Decision]
    encode: Callable[[Judgement], tuple[Message, ...]]


@dataclass(frozen=True, slots=True)
class Clocks:
    """Time as arguments: seconds that only grow, and what the calendar says (UTC)."""

    monotonic: Callable[[], float]
    now: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Admitted:
    """A record whose event was read and may be judged; its image is being fetched."""

    record: Record
    span: ImageSpan | None
    event: ImageGenerated
    fetching: Future[bytes]


@dataclass(frozen=True, slots=True)
class Decoded:
    """A record whose picture is decoded."""

    record: Record
    span: ImageSpan | None
    event: ImageGenerated
    job: Job


@dataclass(frozen=True, slots=True)
class Scored:
    """A record whose picture was scored."""

    record: Record
    span: ImageSpan | None
    event: ImageGenerated
    job: Job
    scores: Scores


@dataclass(frozen=True, slots=True)
class Failed:
    """A record that cannot be judged, why, and its event if it was read."""

    record: Record
    span: ImageSpan | None
    event: ImageGenerated | None
    failure: Rejection


@dataclass(slots=True)
class _Turn:
    """When the models began with a batch: on the clock and on the calendar. Their thread says so and goes on."""

    clocks: Clocks
    at_s: float | None = None
    at: datetime | None = None

    def begin(self) -> None:
        self.at_s, self.at = self.clocks.monotonic(), self.clocks.now()


@dataclass(slots=True)
class _Stopwatch:
    """Milliseconds per stage of one batch; each begins where the one before ended."""

    clock: Callable[[], float]
    observe: Observe
    laps: dict[str, float] = field(default_factory=dict)
    began_s: float = field(init=False)
    lapped_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.began_s = self.lapped_s = self.clock()

    def lap(self, stage: str, at_s: float | None = None) -> None:
        now = self.clock() if at_s is None else at_s
        seconds, self.lapped_s = now - self.lapped_s, now
        self.laps[stage] = seconds * 1000
        self.observe("sluice.stage.duration", seconds, {"stage": stage})


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Batch -> Future[Sequence[Outcome]]. Raises DependencyDown through the future; the loop tries again later."""

    steps: Steps
    verdicts: VerdictBuilder
    clocks: Clocks
    threads: Executor
    observe: Observe
    traced: bool = False
    """Whether images whose trace is sampled get spans of their own."""

    def launch(self, batch: Batch) -> Future[Sequence[Outcome]]:
        """Start the steps of `batch` on a thread of its own."""
        return self.threads.submit(self.outcomes, batch)

    def outcomes(self, batch: Batch) -> Sequence[Judgement]:
        """Return exactly one judgement per record, in the batch's order."""
        watch = _Stopwatch(self.clocks.monotonic, self.observe)
        with process_span(batch) as span, image_spans(batch, span, wanted=self.traced) as images:
            records = zip(batch.records, images, strict=True)
            admitted = [self._admit(record, image, batch.rejection) for record, image in records]
            decoded = self._decode(admitted, watch)
            scored = self._score(decoded, watch)
            timings = self._timings(batch, watch)
            judgements = [self._judge(each, timings(each.record)) for each in scored]
            watch.lap("policy")
        self.observe("messaging.process.duration", watch.lapped_s - watch.began_s, _PROCESS)
        return judgements

    def _admit(self, record: Record, span: ImageSpan | None, rejection: Rejection | None) -> Admitted | Failed:
        """Read the event and begin to fetch its image."""
        if rejection:
            return Failed(record, span, None, rejection)
        event = _attempt(lambda: _named_within_bounds(self.steps.decode(record)))
        if isinstance(event, Rejection):
            return Failed(record, span, None, event)
        fetch = span.over("fetch", self.steps.fetch) if span else self.steps.fetch
        fetching = _attempt(lambda: fetch(event.image))
        if isinstance(fetching, Rejection):
            return Failed(record, span, event, fetching)
        return Admitted(record, span, event, fetching)

    def _decode(self, admitted: Sequence[Admitted | Failed], watch: _Stopwatch) -> list[Decoded | Failed]:
        """Decode what was fetched; all are decoding before the first is waited for."""
        decoding = [each if isinstance(each, Failed) else self._decoding(each) for each in admitted]
        watch.lap("fetch")
        decoded = [each if isinstance(each, Failed) else _decoded(*each) for each in decoding]
        watch.lap("decode")
        return decoded

    def _decoding(self, admitted: Admitted) -> tuple[Admitted, Future[Picture]] | Failed:
        span = admitted.span
        picture = span.over("decode", self.steps.picture) if span else self.steps.picture
        decoding = _attempt(lambda: picture(admitted.fetching.result()))
        return _failed(admitted, decoding) if isinstance(decoding, Rejection) else (admitted, decoding)

    def _score(self, decoded: Sequence[Decoded | Failed], watch: _Stopwatch) -> list[Scored | Failed]:
        """Score all pictures of the batch at once."""
        ready = [each for each in decoded if isinstance(each, Decoded)]
        answers = iter(self._answers(ready, watch) if ready else ())
        return [each if isinstance(each, Failed) else _scored(each, next(answers)) for each in decoded]

    def _answers(self, ready: Sequence[Decoded], watch: _Stopwatch) -> list[Scores | Rejection]:
        spans, turn = [each.span for each in ready if each.span], _Turn(self.clocks)
        for span in spans:
            span.enter("wait")
        scoring = self.steps.score([each.job for each in ready], turn.begin)
        try:
            answers = scoring.result()
        finally:
            for span in spans:
                span.enter("model", turn.at)
        for span in spans:
            span.leave()
        watch.lap("wait", turn.at_s)
        watch.lap("model")
        if len(answers) != len(ready):
            raise ValueError(f"{len(ready)} pictures, {len(answers)} answers")
        return answers

    def _judge(self, scored: Scored | Failed, timings: Timings) -> Judgement:
        """Decide, and write down what was decided; what failed is rejected."""
        if scored.span:
            scored.span.enter("policy")
        made = scored if isinstance(scored, Failed) else self._judged(scored, timings)
        judgement = self._rejected(made, timings) if isinstance(made, Failed) else made
        failure = made.failure if isinstance(made, Failed) else None
        return scored.span.conclude(judgement, failure) if scored.span else judgement

    def _judged(self, scored: Scored, timings: Timings) -> Judgement | Failed:
        def judge() -> Judgement:
            decision = self.steps.judge(scored.scores, scored.event, scored.job.picture)
            if decision.status is Status.INDETERMINATE:
                raise Unscorable(decision.reasons[0])
            subject = Subject(scored.record, scored.event, scored.job, timings)
            judged = self.verdicts.judged(subject, scored.scores, decision, self.clocks.now())
            return replace(judged, messages=self.steps.encode(judged))

        made = _attempt(judge)
        return _failed(scored, made) if isinstance(made, Rejection) else made

    def _rejected(self, failed: Failed, timings: Timings) -> Rejected:
        rejected = self.verdicts.rejected(
            failed.record, failed.failure, event=failed.event, timings=timings, now=self.clocks.now()
        )
        return replace(rejected, messages=self.steps.encode(rejected))

    def _timings(self, batch: Batch, watch: _Stopwatch) -> Callable[[Record], Timings]:
        """Return what gives a record's timings; they differ in how long it was queued."""
        total = (watch.clock() - batch.cut_at_s) * 1000
        cut_at_ms = self.clocks.now().timestamp() * 1000 - total
        fetch, decode, wait, model = (watch.laps.get(stage) for stage in ("fetch", "decode", "wait", "model"))

        def of(record: Record) -> Timings:
            queued = max(0.0, cut_at_ms - record.timestamp_ms) if record.timestamp_ms >= 0 else None
            return Timings(queued=queued, fetch=fetch, decode=decode, wait=wait, model=model, total=total)

        return of


def _named_within_bounds(event: ImageGenerated) -> ImageGenerated:
    """Return the event. Raises Undecodable when what our events repeat of it would not fit a message of 1 MiB."""
    repeated = (event.image_id, event.tenant_id, event.request_id, event.generator, event.experiment)
    size = sum(len(str(part)) for part in repeated)
    if size > _MAX_NAMES:
        raise Undecodable("names_too_long", f"{size} characters of ids and generator, the limit is {_MAX_NAMES}")
    return event


def _decoded(admitted: Admitted, decoding: Future[Picture]) -> Decoded | Failed:
    picture = _attempt(decoding.result)
    if isinstance(picture, Rejection):
        return _failed(admitted, picture)
    return Decoded(admitted.record, admitted.span, admitted.event, Job(picture, admitted.event.prompt))


def _scored(decoded: Decoded, answer: Scores | Rejection) -> Scored | Failed:
    if isinstance(answer, Rejection):
        return _failed(decoded, answer)
    return Scored(decoded.record, decoded.span, decoded.event, decoded.job, answer)


def _failed(before: Admitted | Decoded | Scored, failure: Rejection) -> Failed:
    return Failed(before.record, before.span, before.event, failure)


def _attempt(step: Callable[[], T]) -> T | Rejection:
    """Take a step of one record; whatever fails stays with that record, and its neighbours go on."""
    try:
        return step()
    except Rejection as failure:
        return failure
    except (DependencyDown, Fatal):
        raise
    except Exception as bug:  # noqa: BLE001  the per-record edge: one record must not take its batch along
        return Unscorable("internal_error", type(bug).__name__)

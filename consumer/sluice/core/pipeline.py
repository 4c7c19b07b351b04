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
from sluice.core.spans import ImageSpan, image_spans, process_span
from sluice_schemas import Image, ImageGenerated, Status, Timings

_PROCESS = {"messaging.system": "kafka", "messaging.operation.name": "process"}
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
    """One record on its way; `failure` ends the way. `image` is its span, when its trace is recorded."""

    record: Record
    steps: Steps
    image: ImageSpan | None = None
    event: ImageGenerated | None = None
    fetched: Future[bytes] | None = None
    decoded: Future[Picture] | None = None
    job: Job | None = None
    scores: Scores | None = None
    outcome: Outcome | None = None
    failure: Rejection | None = None


@dataclass(slots=True)
class _Turn:
    """When the lane began with a batch: on the clock and on the calendar. The lane's thread says so and goes on."""

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
    """Batch -> Future[list[Outcome]]. Raises DependencyDown through the future; the loop tries again later."""

    steps: Steps
    clerk: Clerk
    clocks: Clocks
    threads: Executor
    observe: Observe
    traced: bool = False
    """Whether images whose trace is sampled get spans of their own."""

    def launch(self, batch: Batch) -> Future[list[Outcome]]:
        """Start the road of `batch` on a thread of its own."""
        return self.threads.submit(self.outcomes, batch)

    def outcomes(self, batch: Batch) -> list[Outcome]:
        """Return exactly one outcome per record, in the batch's order."""
        watch = _Stopwatch(self.clocks.monotonic, self.observe)
        with process_span(batch) as span, image_spans(batch, span, wanted=self.traced) as images:
            on_the_way = zip(batch.records, images, strict=True)
            passages = [self._passage(record, image, batch.rejection) for record, image in on_the_way]
            self._gather(passages, watch)
            self._score(passages, watch)
            timings = self._timings(batch, watch)
            outcomes = [self._finish(passage, timings(passage.record)) for passage in passages]
            watch.lap("policy")
        self.observe("messaging.process.duration", watch.lapped_s - watch.began_s, _PROCESS)
        return outcomes

    def _passage(self, record: Record, image: ImageSpan | None, failure: Rejection | None) -> _Passage:
        steps = self.steps
        if image:
            fetch, picture = image.over("fetch", steps.fetch), image.over("decode", steps.picture)
            steps = replace(steps, fetch=fetch, picture=picture)
        return _Passage(record, steps, image, failure=failure)

    def _gather(self, passages: Sequence[_Passage], watch: _Stopwatch) -> None:
        for passage in passages:
            _step(passage, _admit)
        for passage in passages:
            _step(passage, _decode)
        watch.lap("fetch")
        for passage in passages:
            _step(passage, _collect)
        watch.lap("decode")

    def _score(self, passages: Sequence[_Passage], watch: _Stopwatch) -> None:
        ready = [(passage, passage.job) for passage in passages if passage.job]
        if not ready:
            return
        images, turn = [passage.image for passage, _ in ready if passage.image], _Turn(self.clocks)
        for image in images:
            image.enter("wait")
        scoring = self.steps.score([job for _, job in ready], turn.begin)
        try:
            results = scoring.result()
        finally:
            for image in images:
                image.enter("model", turn.at)
        for image in images:
            image.leave()
        watch.lap("wait", turn.at_s)
        watch.lap("model")
        for (passage, _), result in zip(ready, results, strict=True):
            if isinstance(result, Rejection):
                passage.failure = result
            else:
                passage.scores = result

    def _finish(self, passage: _Passage, timings: Timings) -> Outcome:
        if passage.image:
            passage.image.enter("policy")
        _step(passage, lambda p: self._judge(p, timings))
        outcome = passage.outcome or self._reject(passage, timings)
        return passage.image.conclude(outcome, passage.failure) if passage.image else outcome

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
        fetch, decode, wait, model = (watch.laps.get(stage) for stage in ("fetch", "decode", "wait", "model"))

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


def _admit(passage: _Passage) -> None:
    event = passage.steps.decode(passage.record)
    _refuse_long_names(event)
    passage.event = event
    passage.fetched = passage.steps.fetch(event.image)


def _decode(passage: _Passage) -> None:
    if passage.fetched:
        passage.decoded = passage.steps.picture(passage.fetched.result())


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

"""The inference worker: one thread that owns the models and their device. Jobs go in, a future of scores comes out.

Batches are scored in the order they come, so that no early one is overtaken again and again while everything behind it
waits to land. How many there are is the loop's business. Nothing here decides what a hung device means: `check` says
it, the loop leaves.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from threading import Condition, Thread

from sluice.core.errors import DependencyDown, DeviceLost, Fatal, Rejection, SluiceError, Unscorable
from sluice.moderation.ports import Began
from sluice.moderation.values import Job, Scores
from sluice_schemas import ModelRef

Answers = list[Scores | Rejection]
Score = Callable[[Sequence[Job]], Answers]
_Turn = tuple[Sequence[Job], Began, Future[Answers]]

DIED = "the inference worker died"
CLOSED = "the inference worker is closed"
FLOAT32_SCATTER = 1e-4
"""Between machines and releases of torch, scores in float32 differ by some 1e-6."""
NO_ROOM = ("device memory", "one image does not fit")

BUGS = (ArithmeticError, AssertionError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""What torch, a tokenizer or a plug-in raises when it cannot cope with an input."""


class PassWatchdog:
    """When the device last showed life: beaten before each pass, still while there is nothing to do."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._beaten_at_s: float | None = None

    def beat(self) -> None:
        """Say that a pass begins."""
        self._beaten_at_s = self._clock()

    def rest(self) -> None:
        """Say that nothing is under way."""
        self._beaten_at_s = None

    @property
    def silent_s(self) -> float:
        """Seconds since the pass under way began; 0 when none is."""
        beaten_at_s = self._beaten_at_s
        return 0.0 if beaten_at_s is None else self._clock() - beaten_at_s


class InferenceWorker:
    """Scores batches one after the other in a thread of its own; built running."""

    def __init__(
        self,
        score: Score,
        models: Sequence[ModelRef],
        pulse: PassWatchdog,
        *,
        timeout_s: float,
        tolerance: float = FLOAT32_SCATTER,
    ) -> None:
        self._score = score
        self._models = tuple(models)
        self._pulse = pulse
        self._timeout_s = timeout_s
        self._tolerance = tolerance
        self._turn = Condition()
        self._waiting: deque[_Turn] = deque()
        self._running: Future[Answers] | None = None
        self._closed = False
        # A daemon: a thread that hangs in a driver must not keep the process from leaving.
        self._thread = Thread(target=self._run, name="sluice-inference", daemon=True)
        self._thread.start()

    @property
    def provenance(self) -> tuple[ModelRef, ...]:
        """Every model that takes part, for the verdict."""
        return self._models

    @property
    def tolerance(self) -> float:
        """How far a score may lie from the exact one, by rounding alone."""
        return self._tolerance

    def submit(self, jobs: Sequence[Job], begun: Began = lambda: None, *, ahead: bool = False) -> Future[Answers]:
        """Queue a batch, `ahead` of all that wait or behind; `begun` is called in the inference thread at its turn.

        Raises DeviceLost when the worker is closed or dead. The future may raise DependencyDown (no memory for now) or
        DeviceLost.
        """
        future: Future[Answers] = Future()
        with self._turn:
            if self._closed:
                raise DeviceLost(CLOSED)
            (self._waiting.appendleft if ahead else self._waiting.append)((jobs, begun, future))
            self._turn.notify()
        return future

    def score(self, jobs: Sequence[Job]) -> Answers:
        """Score a batch and wait for it; for one-shot use."""
        return self.submit(jobs).result()

    @property
    def trouble(self) -> str:
        """Why the device counts as lost, empty while it does not; any thread may ask."""
        if not self._thread.is_alive():
            return DIED
        if self._pulse.silent_s > self._timeout_s:
            return f"a model pass takes longer than models.pass_timeout_s ({self._timeout_s:g} s)"
        return ""

    def check(self) -> None:
        """Raise DeviceLost when the thread died or a pass takes longer than the timeout. The loop asks every turn.

        Every open future raises it too: the threads that wait for a hung device must be able to end.
        """
        if trouble := self.trouble:
            self._abandon(trouble)
            raise DeviceLost(trouble)

    def close(self, timeout_s: float = 10.0) -> None:
        """Finish what was submitted and end the thread; after the timeout it is left behind."""
        with self._turn:
            self._closed = True
            self._turn.notify()
        self._thread.join(timeout_s)
        self._abandon(CLOSED)

    def _run(self) -> None:
        try:
            while (taken := self._take()) is not None and self._serve(*taken):
                pass
        finally:
            self._abandon(DIED)

    def _take(self) -> _Turn | None:
        with self._turn:
            self._turn.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            taken = self._waiting.popleft()
            self._running = taken[2]
            return taken

    def _serve(self, jobs: Sequence[Job], begun: Began, future: Future[Answers]) -> bool:
        """Answer one batch. False, or an unforeseen exception, ends the thread and so the process."""
        begun()
        # Done already: a pass that was given up as hung came back after all.
        with suppress(InvalidStateError):
            try:
                future.set_result(self._scored(jobs))
            except SluiceError as error:
                future.set_exception(error)
                return not isinstance(error, Fatal)
        return True

    def _scored(self, jobs: Sequence[Job]) -> Answers:
        try:
            return isolating(self._score, jobs)
        finally:
            self._pulse.rest()

    def _abandon(self, why: str) -> None:
        """Close, and fail every open future, so that nothing waits for a device that does not answer."""
        with self._turn:
            self._closed = True
            left = [self._running, *(future for *_, future in self._waiting)]
            self._waiting.clear()
            self._turn.notify()
        for future in left:
            if future is not None:
                with suppress(InvalidStateError):
                    future.set_exception(DeviceLost(why))


def isolating(score: Score, jobs: Sequence[Job]) -> Answers:
    """Score a batch; when that fails, halve it down to the images that fail alone. Those get Unscorable.

    What fails for want of memory does so because of others on the device: one image that does not fit waits.
    """
    try:
        return score(jobs)
    except Rejection as rejection:
        if len(jobs) == 1:
            return [rejection]
    except MemoryError as error:
        if len(jobs) == 1:
            raise DependencyDown(*NO_ROOM) from error
    except BUGS:
        if len(jobs) == 1:
            return [_second_try(score, jobs)]
    half = len(jobs) // 2
    return isolating(score, jobs[:half]) + isolating(score, jobs[half:])


def _second_try(score: Score, jobs: Sequence[Job]) -> Scores | Rejection:
    try:
        return score(jobs)[0]
    except Rejection as rejection:
        return rejection
    except MemoryError as error:
        raise DependencyDown(*NO_ROOM) from error
    except BUGS as error:
        return Unscorable("model_error", type(error).__name__)

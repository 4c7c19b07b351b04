"""A trial: workers, a source and an observer at once; a plan injects its faults, then everything is counted twice."""

import signal
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from math import inf
from random import Random
from time import monotonic

from sluice_sim.observer import Observer
from sluice_sim.options import Options, Shares
from sluice_sim.report import Report
from sluice_sim.truth import Inbox, Sent
from tests.chaos.feed import Feed, deck
from tests.chaos.outcome import Fault, Finding
from tests.chaos.stage import Stage
from tests.chaos.watch import Watch
from tests.chaos.worker import Worker

POLL_S = 0.05
SETTLE_S = 2.0  # after the last answer, how long to look for one too many
SAY_EVERY_S = 10.0
WATCH_WITHIN_S = 10.0  # the coordinator may be moving
DECK = 1000  # events drawn for a trial; what counts is the place of a record in the log
OUTPUTS = 2  # of every event: a verdict, and a quality event or a dead letter
MOST_ENDINGS = 25  # of workers that leave by themselves


@dataclass(frozen=True, slots=True)
class Size:
    """How big a trial is: so many events, or as many more as its faults take.

    With nothing new for `patience_s` it gives up and counts what is missing as lost.
    """

    events: int
    faults: int
    workers: int = 1
    seed: int = 1
    backlog: int = 600
    pictures: int = 12
    poison: int = 0
    """How many of the events kill whoever decodes their picture."""
    by_http: float = 0.0
    """Which share of the pictures lies in the stage's store."""
    patience_s: float = 120.0

    @property
    def options(self) -> Options:
        """What the simulator draws: hostile inputs among sound ones; a trial longer than the deck repeats it."""
        shares = Shares(by_file=0, by_http=self.by_http)
        return Options(seed=self.seed, events=min(self.events, DECK), pictures=self.pictures, shares=shares)


class GaveUp(AssertionError):
    """Nothing came out for longer than the trial's patience."""


@dataclass(frozen=True, slots=True)
class _Wound:
    """A fault whose consequences last; `ends` is how far the input went at that moment."""

    fault: Fault
    mended: Callable[[], bool]
    ends: Mapping[int, int]

    def closed(self, answered: Mapping[int, int]) -> bool:
        """Whether everything that waited has been answered; order per partition is kept, so the last one tells."""
        return all(answered.get(index, -1) + 1 >= end for index, end in self.ends.items())


class Trial:
    """What a plan acts upon; it must call `turn` or `until` all the time, which keeps the observer reading."""

    def __init__(self, stage: Stage, size: Size, stack: ExitStack) -> None:
        self.size = size
        self.rng = Random(f"{size.seed}/faults")
        self.stage = stage
        self.group = stage.group
        self.faults: list[Fault] = []
        self._wounds: list[_Wound] = []
        self.workers: list[Worker] = []
        self._stack = stack
        self._dismissed: list[Worker] = []
        for _ in range(size.workers):
            self.hire()
        self.answered = 0
        self.budget = inf  # of events; what a fault takes long to get over shall not use up those of the next
        self.enough = False  # of faults; until then events go on, so that there is always work
        events = cycle(deck(size.options, poison=size.poison, shelf=stage.shelf))
        self.feed = stack.enter_context(Feed(stage, events, may_go=self._may_go, enough=self._is_enough))
        self.observer = stack.enter_context(Observer(stage.broker, self.feed.inbox, topics=stage.topics))
        stable = partial(stage.group.committed, stable=True, within_s=WATCH_WITHIN_S)
        self.watch = stack.enter_context(Watch(stable, lambda: self.observer.furthest))
        self._outputs = 0
        self._busy_at = self._said_at = self._started_at = monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return monotonic() - self._started_at

    @property
    def unanswered(self) -> int:
        """How many events wait for their answer."""
        return len(self.feed.sent) - self.answered

    @property
    def settled(self) -> bool:
        """Whether everything is sent and answered in full."""
        return self.feed.over and self.answered >= len(self.feed.sent) and not self.observer.outstanding

    def turn(self) -> None:
        """Start again what ended, take in what came out; raises GaveUp."""
        for worker in self.workers:
            if worker.tend():
                assert len(worker.endings) <= MOST_ENDINGS + len(self.faults) * len(self.workers), worker.endings
        seen = self.observer.poll(POLL_S)
        self._outputs += seen
        self.answered = self._outputs // OUTPUTS
        self._follow()
        if seen:
            self._busy_at = monotonic()
        elif monotonic() - self._busy_at > self.size.patience_s:
            raise GaveUp(f"nothing came out for {self.size.patience_s:g} s")
        self._say()

    def until(self, condition: Callable[[], bool]) -> None:
        """Turn until the condition holds."""
        while not condition():
            self.turn()

    def doze(self, seconds: float) -> None:
        """Turn for a while."""
        wake_at = monotonic() + seconds
        self.until(lambda: monotonic() >= wake_at)

    def hire(self) -> Worker:
        """Start one more worker."""
        worker = Worker(self.stage, len(self.workers) + len(self._dismissed) + 1)
        self.workers.append(self._stack.enter_context(worker))
        return worker

    def dismiss(self) -> Worker:
        """Ask the newest worker to leave for good."""
        worker = self.workers.pop()
        worker.send(signal.SIGTERM)
        self._dismissed.append(worker)
        return worker

    def note(self, kind: str, target: str, *, mended: Callable[[], bool], waiting: int | None = None) -> Fault:
        """Note a fault that was just injected; `turn` asks whether it is `mended` and notes when outputs come again."""
        if waiting is None:
            waiting = self.unanswered
        fault = Fault(kind, target, self.answered, waiting, self.elapsed_s)
        self.faults.append(fault)
        self._wounds.append(_Wound(fault, mended, dict(self.feed.ends)))
        return fault

    def waiting(self, partitions: Collection[int], committed: Mapping[int, int]) -> int:
        """Count the events sent to these partitions that are not committed."""
        places = [sent.place for sent in self.feed.sent]
        return sum(at.partition in partitions and at.offset >= committed.get(at.partition, 0) for at in places)

    def drain(self) -> dict[str, list[int]]:
        """Ask every worker to leave; return the exit codes of all their lives."""
        for worker in self.workers:
            worker.send(signal.SIGTERM)
        return {worker.name: [*worker.endings, worker.wait()] for worker in [*self.workers, *self._dismissed]}

    def _may_go(self, number: int) -> bool:
        return number < min(self.answered + self.size.backlog, self.budget)

    def _is_enough(self, number: int) -> bool:
        return self.enough and number >= self.size.events

    def _follow(self) -> None:
        answered = self.observer.furthest
        for wound in self._wounds:
            fault, since_s = wound.fault, self.elapsed_s - wound.fault.at_s
            if fault.recovered_s is None and wound.closed(answered):
                fault.recovered_s = since_s
            if fault.ready_s is None and wound.mended():
                fault.ready_s = since_s
        self._wounds = [wound for wound in self._wounds if None in (wound.fault.ready_s, wound.fault.recovered_s)]

    def _say(self) -> None:
        if monotonic() - self._said_at >= SAY_EVERY_S:
            self._said_at = monotonic()
            standing = f"{self.answered} answered, {self.unanswered} wait, {len(self.faults)} faults"
            sys.stderr.write(f"{self.elapsed_s:5.0f} s  {standing}\n")


Plan = Callable[[Trial], None]


def hold(stage: Stage, size: Size, name: str, plan: Plan) -> Finding:
    """Hold a trial on a stage that is set up and return what it found."""
    with ExitStack() as stack:
        trial = Trial(stage, size, stack)
        try:
            plan(trial)
            trial.enough, trial.budget = True, inf
            trial.until(lambda: trial.settled and all(worker.ready for worker in trial.workers))
        except GaveUp as error:
            sys.stderr.write(f"{error}\n")
        trial.feed.close()
        endings = trial.drain()
        read_on(trial.observer)
        return Finding(
            plan=name,
            seed=size.seed,
            broker=stage.address,
            protocol=stage.protocol,
            workers=size.workers,
            faults_wanted=size.faults,
            faults=trial.faults,
            endings=endings,
            offsets=stage.offsets(),
            offset_samples=trial.watch.samples,
            offsets_back=trial.watch.back,
            offsets_behind=trial.watch.behind,
            live=trial.observer.report(),
            afterwards=read_again(stage, trial.feed.sent),
            elapsed_s=trial.elapsed_s,
            sent=trial.feed.sent,
        )


def read_again(stage: Stage, sent: Iterable[Sent]) -> Report:
    """Read every output from the start with an observer that has seen nothing yet."""
    inbox = Inbox()
    for one in sent:
        inbox.put(one)
    with Observer(stage.broker, inbox, topics=stage.topics) as observer:
        read_on(observer)
        return observer.report()


def read_on(observer: Observer) -> None:
    """Read until nothing has come for a while."""
    quiet_since = monotonic()
    while monotonic() - quiet_since < SETTLE_S:
        if observer.poll(POLL_S):
            quiet_since = monotonic()

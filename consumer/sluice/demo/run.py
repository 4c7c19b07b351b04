"""The demo from curtain to curtain: broker, topics, consumers, simulator, observer, report."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from sluice.demo.embedded_broker import embedded_broker, free_port
from sluice.demo.plan import Plan, Stage
from sluice.demo.processes import Processes, Simulator
from sluice.demo.snapshot import Snapshot, Speed, spent_s
from sluice.kafka import topics
from sluice.kafka.client import admin_config, open_admin
from sluice.top.scrape import scrape
from sluice_sim.broker import Broker
from sluice_sim.observer import Observer
from sluice_sim.report import Report
from sluice_sim.truth import TruthReader

SHOW_EVERY_S = 0.5
POLL_S = 0.1
SCRAPE_S = 1.0
"""How long to wait for the metrics of one consumer."""
SETTLE_S = 1.0
"""After the last answer, how long to look for one too many."""

Show = Callable[[Snapshot], None]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a demo ended. `complete`: everything was sent, and answered in time."""

    report: Report
    complete: bool
    notes: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        """Whether every event was answered exactly once and in order."""
        return self.complete and self.report.exactly_once


def run(plan: Plan, folder: Path, show: Show, *, clock: Clock) -> Ending:
    """Run the demo in `folder` and return how it ended. Leaves no process behind, however it is left.

    Raises BadSettings without the embedded broker, BrokerLost when it does not start, ProcessFailed when the simulator
    or a consumer ends for good.
    """
    show(Snapshot(plan, "starting the broker"))
    with ExitStack() as stack:
        address = stack.enter_context(embedded_broker(folder / "broker", clock))
        stage = Stage(folder, address, free_port(), plan.bundle)
        _create_topics(stage)
        crew = stack.enter_context(Processes(stage, plan))
        truths = TruthReader(stage.truth)
        observer = stack.enter_context(Observer(Broker(address), truths))
        watch = _Watch(plan, crew, observer, show, clock)
        if watch.until(lambda: crew.ready, "loading the models"):
            simulator = stack.enter_context(Simulator(stage, plan))
            watch.until(lambda: simulator.alive() and truths.complete and not observer.outstanding, "judging")
        settled_s = clock() + SETTLE_S
        watch.until(lambda: clock() >= settled_s, "looking for duplicates")
        return Ending(observer.report(), truths.complete and not observer.outstanding, tuple(watch.notes))


def _create_topics(stage: Stage) -> None:
    settings = stage.settings(1)
    admin = open_admin(admin_config(settings.kafka), lambda _: None)
    topics.create(admin, topics.specs(settings.topics, settings.media))


@dataclass(slots=True)
class _Watch:
    """Looks after the consumers, reads what comes out, shows how it goes."""

    plan: Plan
    crew: Processes
    observer: Observer
    show: Show
    clock: Clock
    notes: list[str] = field(default_factory=list)
    began_s: float = 0.0
    speed: Speed = field(default_factory=Speed)
    killed: int = 0

    def __post_init__(self) -> None:
        self.began_s = self.clock()

    def until(self, done: Callable[[], bool], doing: str) -> bool:
        """Watch until `done`; False, with a note, when nothing new came for as long as the plan is patient."""
        quiet_since_s = self.clock()
        due_s = 0.0
        while not done():
            restarted = self.crew.tend()
            self.notes += restarted
            if self.observer.poll(POLL_S) or restarted:
                quiet_since_s = self.clock()
            if self.clock() - quiet_since_s >= self.plan.patience_s:
                self.notes.append(f"{doing}: nothing new for {self.plan.patience_s:.0f} s, gave up")
                return False
            if self.clock() >= due_s:
                due_s = self.clock() + SHOW_EVERY_S
                self._kill_one_if_due(self._look(doing))
        self._look(doing)
        return True

    def _look(self, doing: str) -> Snapshot:
        report = self.observer.report()
        elapsed_s = self.clock() - self.began_s
        snapshot = Snapshot(
            self.plan,
            doing,
            report,
            spent_s=spent_s(scrape(each.address, SCRAPE_S) for each in self.crew.consumers if each.ready),
            rates=self.speed(elapsed_s, report.published - report.lost),
            elapsed_s=elapsed_s,
            notes=tuple(self.notes),
        )
        self.show(snapshot)
        return snapshot

    def _kill_one_if_due(self, snapshot: Snapshot) -> None:
        """Spread the planned kills evenly over the events, and over the consumers in turn."""
        due = self.plan.events * (self.killed + 1) / (self.plan.kills + 1)
        if self.killed < self.plan.kills and snapshot.answered >= due:
            self.crew.consumers[self.killed % len(self.crew.consumers)].kill()
            self.killed += 1

"""`sluice run` under a steady flow for minutes: what grows, of its memory, threads, open files and processes.

The simulator is the source, broken and hostile inputs among the rest. On Apache Kafka with KAFKA_HOME, else on the
embedded broker. Needs Linux.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from signal import SIGTERM
from statistics import linear_regression
from threading import Event
from time import monotonic, sleep

from sluice.settings import MIB
from sluice_sim.options import Options, Shares
from sluice_sim.sender import Delivery, send
from sluice_sim.stream import Emission, Stream
from tests.bench import rig
from tests.chaos.feed import now, small
from tests.chaos.stage import Stage
from tests.chaos.worker import Worker
from tests.support.usage import Usage, usage

LOOK_EVERY_S = 1.0
PACE_S = 0.02
WARM_SHARE = 0.2  # of the time: caches fill, decoders are replaced for the first time, arenas grow
BACKLOG = 400
READY_WITHIN_S = 120.0
ENDLESS = 10_000_000
SHARES = Shares(by_file=0, by_http=0, hostile=0.03)  # the fuse stops the consumer at 0.05


@dataclass(frozen=True, slots=True)
class Look:
    """What the consumer used at a moment, in seconds since the start, and how many events it had landed."""

    at_s: float
    landed: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class Soak:
    """All looks of a soak; what is said of it leaves the warm-up out."""

    looks: Sequence[Look]

    @property
    def steady(self) -> Sequence[Look]:
        """The looks after the warm-up."""
        return [look for look in self.looks if look.at_s >= WARM_SHARE * self.looks[-1].at_s]

    def slope(self, figure: Callable[[Usage], float]) -> float:
        """Return how much a figure grows in a minute, by least squares."""
        minutes = [look.at_s / 60 for look in self.steady]
        return linear_regression(minutes, [figure(look.usage) for look in self.steady]).slope

    def range(self, figure: Callable[[Usage], float]) -> tuple[float, float]:
        """Return the least and the most of a figure."""
        figures = [figure(look.usage) for look in self.steady]
        return min(figures), max(figures)

    def as_json(self) -> dict[str, object]:
        """Return the figures: sizes in MiB, slopes in MiB a minute, ranges as least and most."""
        last = self.looks[-1]
        return {
            "minutes": round(last.at_s / 60, 1),
            "events": last.landed,
            "events_per_s": round((last.landed - self.looks[0].landed) / last.at_s, 1),
            "rss_slope": round(self.slope(lambda u: u.rss) / MIB, 3),
            "rss": [round(size / MIB) for size in self.range(lambda u: u.rss)],
            "decoders_rss_slope": round(self.slope(lambda u: u.children_rss) / MIB, 3),
            "threads": self.range(lambda u: u.threads),
            "files": self.range(lambda u: u.files),
            "children": self.range(lambda u: u.children),
            "rss_by_minute": [round(look.usage.rss / MIB, 1) for look in self._minutes()],
        }

    def as_text(self) -> str:
        """Return the figures in words."""
        return "soak: " + ", ".join(f"{name} {figure}" for name, figure in self.as_json().items())

    def _minutes(self) -> Iterator[Look]:
        return (look for before, look in pairwise(self.looks) if int(before.at_s / 60) != int(look.at_s / 60))


def soak(stage: Stage, seconds: float) -> Soak:
    """Keep one consumer busy for so long, look at it every second, then let it leave."""
    with Worker(stage) as worker:
        _await_ready(worker)
        stream = small(Stream(Options(events=ENDLESS, pictures=60, shares=SHARES), now=now))
        with ThreadPoolExecutor(1) as source:
            over = Event()
            delivery = Delivery(stage.broker, stage.topics.images)
            sending = source.submit(send, _paced(stream, worker, over), delivery, on_sent=lambda _: None)
            try:
                looks = list(_looks(worker, seconds))
            finally:
                over.set()
        assert sending.result() > 0
        worker.send(SIGTERM)
        assert worker.wait() == 0
    return Soak(looks)


def soaked(minutes: float) -> Iterator[Soak]:
    """Soak on a broker of our own."""
    with rig.broker() as (address, folder):
        ground = rig.stage(address, folder, given={"SLUICE_POISON__JOURNAL_FOLDER": f"{folder}/journal"})
        yield soak(ground, 60 * minutes)


def _paced(stream: Iterable[Emission], worker: Worker, over: Event) -> Iterator[Emission]:
    """Hold events back while enough of them wait for the worker."""
    for number, emission in enumerate(stream):
        while number >= worker.landed + BACKLOG and not over.wait(PACE_S):
            pass
        if over.is_set():
            return
        yield emission


def _await_ready(worker: Worker) -> None:
    deadline = monotonic() + READY_WITHIN_S
    while not worker.ready:
        assert monotonic() < deadline, worker.log.read_text()
        assert not worker.over, worker.log.read_text()
        sleep(LOOK_EVERY_S)


def _looks(worker: Worker, seconds: float) -> Iterator[Look]:
    started = monotonic()
    while (at_s := monotonic() - started) < seconds:
        assert not worker.over, worker.log.read_text()
        yield Look(at_s, worker.landed, usage(worker._life.pid))
        sleep(LOOK_EVERY_S)

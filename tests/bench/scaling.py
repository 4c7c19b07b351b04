"""What more workers bring, and whether an event costs the same behind a long backlog: time, processor, memory.

The workers judge nothing (`tests.bench.blank`). For the first question their lane sleeps as long as a device would
take, for the second it answers at once, so that the processor is what counts. Memory grows with a backlog until what
is fetched ahead is full (`kafka.queued_max_kbytes`), some 100,000 of these small events, and is flat from there.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle, islice, repeat
from pathlib import Path
from random import Random
from statistics import median
from threading import Event, Thread
from time import monotonic, sleep, time

import psutil

from sluice.settings import MIB
from tests.bench.rig import PATIENCE_S, WARM_SHARE, Flow, broker, consuming, event, fill, flow, stage
from tests.bench.sender import TINY
from tests.bench.tables import Cell, Table
from tests.chaos.stage import Stage
from tests.support.usage import peak_rss

DEVICE = {"BENCH_PASS_MS": "10", "BENCH_IMAGE_MS": "1"}
WORKERS = (1, 2)
ROUNDS = 2
SHARED = 3000
BACKLOGS = (1_000, 10_000, 100_000)
LONG = (*BACKLOGS, 1_000_000)
LOOK_EVERY_S = 0.02


@dataclass(slots=True)
class Spent:
    """How much processor time a process had used, at moments since the epoch, both in seconds."""

    at_s: list[float] = field(default_factory=list)
    used_s: list[float] = field(default_factory=list)

    def note(self, at_s: float, used_s: float) -> None:
        """Add what was seen."""
        self.at_s.append(at_s)
        self.used_s.append(used_s)

    def until(self, moment_s: float) -> float:
        """Return how much had been used by then, on a line between two looks."""
        after = min(max(bisect_left(self.at_s, moment_s), 1), len(self.at_s) - 1)
        (began, ended), (less, more) = self.at_s[after - 1 : after + 1], self.used_s[after - 1 : after + 1]
        return less + (more - less) * min(1.0, max(0.0, (moment_s - began) / (ended - began)))


@contextmanager
def spending(process: psutil.Popen) -> Iterator[Spent]:
    """Look at a process again and again within the block."""
    spent, over = Spent(), Event()

    def look() -> None:
        with suppress(psutil.NoSuchProcess):
            while not over.wait(LOOK_EVERY_S):
                spent.note(time(), sum(process.cpu_times()[:2]))

    looking = Thread(target=look)
    looking.start()
    try:
        yield spent
    finally:
        over.set()
        looking.join()


def measured(backlogs: Sequence[int] = BACKLOGS) -> Iterator[Table]:
    """Answer both questions, each on a broker of its own."""
    with broker() as (address, folder):
        rates: dict[int, list[float]] = {count: [] for count in WORKERS}
        for _ in range(ROUNDS):
            for count in WORKERS:
                rates[count].append(_together(address, folder, count))
        yield Table("workers on one topic, each with a device of its own", list(_scaled(rates)))
    with broker() as (address, folder):
        yield Table("one worker whose device takes no time, by backlog", [_cost(address, folder, n) for n in backlogs])


def _scaled(rates: Mapping[int, Sequence[float]]) -> Iterator[Mapping[str, Cell]]:
    alone = median(rates[1])
    for count, measured in rates.items():
        yield {"workers": count, "events/s": median(measured), "times": median(measured) / alone}


def _together(address: str, folder: Path, count: int) -> float:
    """Return the events a second of so many workers, once each has its share of the partitions."""
    ground = stage(address, folder, given=DEVICE)
    with ExitStack() as stack:
        names = [f"worker-{number}" for number in range(count)]
        alive = [stack.enter_context(consuming(ground, worker=name)) for name in names]
        await_owners(ground, names)
        sent = fill(ground, repeat(event(0, TINY), SHARED * count))
        return flow(ground, sent, alive=lambda: all(process.poll() is None for process in alive)).rate


def await_owners(ground: Stage, names: Sequence[str]) -> None:
    """Wait until every partition has an owner and every worker owns some."""
    deadline = monotonic() + PATIENCE_S
    while len(owners := ground.group.owners()) < ground.partitions or set(owners.values()) != set(names):
        assert monotonic() < deadline, owners
        sleep(0.2)


def _cost(address: str, folder: Path, backlog: int) -> Mapping[str, Cell]:
    ground = stage(address, folder)
    fill(ground, islice(cycle(unlike()), backlog))
    with consuming(ground) as process, spending(process) as spent:
        seen = flow(ground, backlog, alive=lambda: process.poll() is None)
        peak = peak_rss(process.pid)
        sleep(5 * LOOK_EVERY_S)  # one look beyond the last verdict
    return {"backlog": backlog, "events/s": seen.rate, "us of processor": cost_us(seen, spent), "peak MiB": peak / MIB}


def unlike(count: int = 1024) -> list[bytes]:
    """Return events that do not compress into each other, as pictures do not: a fetch is bounded as it travels."""
    return [event(number, Random(number).randbytes(len(TINY))) for number in range(count)]


def cost_us(seen: Flow, spent: Spent) -> float:
    """Return the microseconds of processor time an event took, the first tenth left out."""
    warm = int(len(seen.at_s) * WARM_SHARE)
    used_s = spent.until(seen.at_s[-1]) - spent.until(seen.at_s[warm])
    return used_s / (len(seen.at_s) - 1 - warm) * 1e6

"""What more workers bring, and whether an event costs the same behind a long backlog: time, processor, memory.

The workers judge nothing (`tests.bench.blank`). For the first question they sleep, instead of inference, as long as a
device would take; for the second they answer at once, so that the processor is what counts. Memory grows with a
backlog until what is fetched ahead is full (`kafka.queued_max_kbytes`), some 100,000 of these small events, and is
flat from there.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import cycle, islice, repeat
from pathlib import Path
from random import Random
from statistics import median
from time import monotonic, sleep, time

from sluice.settings import MIB
from tests.bench.rig import DEVICE, PATIENCE_S, WARM_SHARE, Flow, broker, consuming, event, fill, flow, stage
from tests.bench.rounds import interleaved
from tests.bench.sender import TINY
from tests.bench.spent import Course, seconds
from tests.bench.tables import Cell, Table
from tests.chaos.stage import Stage
from tests.support.usage import peak_rss

WORKERS = (1, 2)
ROUNDS = 2
SHARED = 3000
BACKLOGS = (1_000, 10_000, 100_000)
LONG = (*BACKLOGS, 1_000_000)


def measured(backlogs: Sequence[int] = BACKLOGS) -> Iterator[Table]:
    """Answer both questions, each on a broker of its own."""
    with broker() as (address, folder):
        ways = {str(count): partial(_together, address, folder, count) for count in WORKERS}
        yield Table("workers on one topic, each with a device of its own", list(_scaled(interleaved(ways, ROUNDS))))
    with broker() as (address, folder):
        yield Table("one worker whose device takes no time, by backlog", [_cost(address, folder, n) for n in backlogs])


def _scaled(rates: Mapping[str, Sequence[float]]) -> Iterator[Mapping[str, Cell]]:
    alone = median(rates["1"])
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
    with consuming(ground) as process:
        course = Course(process)
        seen = flow(ground, backlog, alive=course.alive)
        peak = peak_rss(process.pid)
        course.note(time(), seconds(process))  # one look beyond the last verdict
    return {"backlog": backlog, "events/s": seen.rate, "us of processor": cost_us(seen, course), "peak MiB": peak / MIB}


def unlike(count: int = 1024) -> list[bytes]:
    """Return events that do not compress into each other, as pictures do not: a fetch is bounded as it travels."""
    return [event(number, Random(number).randbytes(len(TINY))) for number in range(count)]


def cost_us(seen: Flow, course: Course) -> float:
    """Return the microseconds of processor time an event took, the first tenth left out."""
    warm = int(len(seen.at_s) * WARM_SHARE)
    return course.between(seen.at_s[warm], seen.at_s[-1]) / (len(seen.at_s) - 1 - warm) * 1e6

"""How old events are when their verdict is produced, by load, and after a burst: the product beside a fill timer.

The workers judge nothing (`tests.bench.blank`): instead of inference they sleep as long as a device would take. Each
rule has a worker of its own, and they are given the same loads in turn. Saturation is what the product gets out of a
backlog.
"""

import json
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from time import monotonic, perf_counter

import psutil

from sluice.core.records import Record
from sluice.kafka.client import open_consumer, reader_config
from sluice.kafka.reader import Reader
from sluice_schemas import Verdict, decode
from tests.bench.altered import ALTERED
from tests.bench.rig import (
    BLANK,
    DEVICE,
    DEVICE_PER_S,
    PATIENCE_S,
    ROOT,
    broker,
    consumed,
    consuming,
    event,
    fill,
    stage,
)
from tests.bench.sender import TINY, Phase
from tests.bench.tables import Cell, Table, percentiles
from tests.chaos.stage import Stage

RULES: Mapping[str, tuple[Sequence[str], Mapping[str, str]]] = {
    "fill timer 20 ms": (ALTERED, {"BENCH_FILL_TIMER_MS": "20"}),
    "greedy": (BLANK, {}),
}
SHARES = (0.25, 0.5, 0.75, 0.9)
STEADY_S = 5.0
BACKLOG = 4000
CALM, BURST = 0.2, 10  # of saturation; times that
PHASES_S = (1.0, 5.0, 8.0)  # calm, burst, calm again
SENDING = (sys.executable, "-m", "tests.bench.sender")


@dataclass(frozen=True, slots=True)
class Judged:
    """When an event was sent and when its verdict was produced, seconds since the epoch."""

    sent_s: float
    at_s: float

    @property
    def age_ms(self) -> float:
        """How old it was."""
        return (self.at_s - self.sent_s) * 1000


class Course:
    """A worker with topics of its own, and what it says."""

    def __init__(self, ground: Stage, process: psutil.Popen, verdicts: Iterator[Record]) -> None:
        self._ground = ground
        self._process = process
        self._verdicts = verdicts

    def run(self, phases: Sequence[Phase]) -> tuple[list[Judged], list[float], float]:
        """Send the phases; return what was judged, the edges of the phases, and how many cores the worker used."""
        began, used = perf_counter(), sum(self._process.cpu_times()[:2])
        where = (self._ground.address, self._ground.topics.images, str(self._ground.partitions))
        command = (*SENDING, *where, *map(str, phases))
        sent = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
        cores = (sum(self._process.cpu_times()[:2]) - used) / (perf_counter() - began)
        began_s = sent["edges_s"][0] - 0.001  # moments are read in whole milliseconds
        return [each for each in self.judged(sent["sent"]) if each.sent_s >= began_s], sent["edges_s"], cores

    def judged(self, count: int) -> list[Judged]:
        """Return the next `count` verdicts, waiting for them."""
        return [judged(record) for record in islice(self._verdicts, count)]


def judged(record: Record) -> Judged:
    """Read both moments off a verdict."""
    source = decode(record.value or b"", Verdict).source
    assert source.timestamp
    return Judged(source.timestamp.timestamp(), record.timestamp_ms / 1000)


@contextmanager
def course(address: str, folder: Path, rule: str) -> Iterator[Course]:
    """Start a worker and have it judge a first few events."""
    program, altered = RULES[rule]
    ground = stage(address, folder, given={**DEVICE, **altered})
    fill(ground, repeat(event(0, TINY), ground.partitions))
    reader = Reader(open_consumer(reader_config(ground.kafka), lambda _: None), ground.topics.verdicts)
    deadline = monotonic() + PATIENCE_S
    with consuming(ground, program) as process:

        def stopping() -> bool:
            assert process.poll() is None, "the worker died"
            return monotonic() > deadline

        one = Course(ground, process, reader.records("earliest", follow=True, stopping=stopping))
        assert len(one.judged(ground.partitions)) == ground.partitions
        yield one
    reader.close()


def measured() -> Iterator[Table]:
    """Find the saturation, then give both rules every load in turn, then the burst."""
    with broker() as (address, folder), ExitStack() as stack:
        ground = stage(address, folder, given=DEVICE)
        count = fill(ground, repeat(event(0, TINY), BACKLOG))
        rate = consumed(ground, count).rate
        yield Table("a backlog", [{"events": count, "events/s": rate, "device's limit": DEVICE_PER_S}])
        courses = {rule: stack.enter_context(course(address, folder, rule)) for rule in RULES}
        yield Table("event age in ms under a steady load", list(_steady(courses, rate)))
        yield Table(f"a burst of {BURST} times for {PHASES_S[1]:g} s", list(_bursts(courses, rate * CALM)))


def _steady(courses: Mapping[str, Course], rate: float) -> Iterator[Mapping[str, Cell]]:
    for share in SHARES:
        for rule, one in courses.items():
            seen, _, cores = one.run([Phase(rate * share, STEADY_S)])
            yield {"load": f"{share:.0%}", "events/s": rate * share, "rule": rule, **ages(seen), "cores": cores}


def _bursts(courses: Mapping[str, Course], calm: float) -> Iterator[Mapping[str, Cell]]:
    phases = [Phase(rate, seconds) for rate, seconds in zip((calm, calm * BURST, calm), PHASES_S, strict=True)]
    for rule, one in courses.items():
        seen, (_, began, ended, _), _ = one.run(phases)
        burst = [each for each in seen if began <= each.sent_s < ended]
        yield {"rule": rule, "calm events/s": calm, "in the burst": len(burst), **after_burst(burst, ended)}


def ages(seen: Collection[Judged]) -> dict[str, float]:
    """Return the percentiles that count, in milliseconds."""
    return percentiles([each.age_ms for each in seen])


def after_burst(burst: Collection[Judged], ended_s: float) -> dict[str, float]:
    """Return how old the oldest of a burst was, and how long after its end the last of it was judged."""
    oldest = max(each.age_ms for each in burst)
    return {"oldest ms": oldest, "drained after s": max(0.0, max(each.at_s for each in burst) - ended_s)}

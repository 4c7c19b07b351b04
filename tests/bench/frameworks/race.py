"""Sluice, frameworks and a loop written by hand do the same work on one broker; how many events a second each does.

Apache Kafka with KAFKA_HOME, else the embedded broker. What is compared is the framework: decoding, digest, both
events and their encoding are the same code in all of them (`work`), and so are the clients' settings (`ends`). Each
runs in one process with its defaults otherwise.

Events a second are taken from the verdicts' own timestamps (`rig.Flow`), and hold waiting for the broker as well;
events a second of processor time are those of the consumer alone between the same two moments, and hold on a machine
that others use, too.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

from sluice.kafka.client import open_consumer, reader_config
from sluice.kafka.reader import Reader
from sluice_schemas import Quality, Verdict, decode
from tests.bench import rig
from tests.bench.frameworks.environments import HERE, ROOT, NotInstalled, python_of
from tests.bench.frameworks.work import Place, Work, what_counts
from tests.bench.rates import Rates
from tests.bench.spent import Course
from tests.chaos.stage import Stage

E = TypeVar("E", Verdict, Quality)
ROUNDS = 2
PICTURE = rig.photograph(1, 96)
CHILD = {"PYTHONPATH": f"{ROOT / 'schemas'}:{HERE.parent}"}
"""Loops are `frameworks.NAME_loop` to their interpreter: some frameworks install a package called `tests`."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way of doing the work; `events` is how many keep it busy for some seconds, a burst of it a twentieth."""

    name: str
    guarantee: str
    events: int
    program: Sequence[str]

    def __str__(self) -> str:
        return f"{self.name}, {self.guarantee}"


@dataclass(frozen=True, slots=True)
class Missing:
    """A framework that could not take part."""

    why: str

    def as_text(self) -> str:
        """Say it in a line."""
        return f"not measured: {self.why}"

    def as_json(self) -> dict[str, object]:
        """Say it in a word."""
        return {"missing": self.why}


BARE = Way("bare loop", "exactly once", 20_000, (sys.executable, "-m", "frameworks.bare_loop"))
SLUICE = Way("Sluice", "exactly once", 12_000, rig.BLANK)
FRAMEWORKS = (
    ("quixstreams", "exactly once", 12_000),
    ("faststream", "at least once", 12_000),
    ("arroyo", "at least once", 12_000),
    ("bytewax", "at least once", 20_000),
)


def rates() -> Iterator[Rates | Missing]:
    """Let all of them work in turn."""
    ways = [BARE, SLUICE]
    for name, guarantee, events in FRAMEWORKS:
        try:
            python = python_of(name)
        except NotInstalled as missing:
            yield Missing(str(missing))
        else:
            ways.append(Way(name, guarantee, events, (str(python), "-m", f"frameworks.{name}_loop")))
    found: dict[str, list[tuple[float, float]]] = {str(way): [] for way in ways}
    with rig.broker() as (address, folder):
        for _ in range(ROUNDS):
            for way in ways:
                found[str(way)].append(_rates(way, address, folder))
    for number, what in enumerate(("a second", "a second of processor time")):
        per_s = {way: median(rates[number] for rates in rounds) for way, rounds in found.items()}
        yield Rates(f"events {what}, Avro in and Avro out, null model", per_s, str(BARE))


def _rates(way: Way, address: str, folder: Path) -> tuple[float, float]:
    """Let one of them work off a backlog of its own; fails when it says something else of a picture than the work.

    Returns events a second, and events a second of its processor time.
    """
    ground = rig.stage(address, folder, given=CHILD)
    rig.fill(ground, (rig.event(number, PICTURE) for number in range(way.events)))
    with rig.consuming(ground, way.program) as process:
        course = Course(process)
        flow = rig.flow(ground, way.events, alive=course.alive)
    said = what_counts(
        _of_first(ground, ground.topics.verdicts, Verdict), _of_first(ground, ground.topics.quality, Quality)
    )
    assert said == what_counts(*expected()), f"{way} published something else: {said}"
    warm = int(way.events * rig.WARM_SHARE)
    return flow.rate, (way.events - 1 - warm) / course.between(flow.at_s[warm], flow.at_s[-1])


def expected() -> tuple[Verdict, Quality]:
    """Do the work of the first event here."""
    verdict, quality = Work("", "", "").judged(rig.event(0, PICTURE), Place("", 0, 0, 0))
    return decode(verdict.value, Verdict), decode(quality.value, Quality)


def _of_first(ground: Stage, topic: str, kind: type[E]) -> E:
    """Return what was published of the first event."""
    reader = Reader(open_consumer(reader_config(ground.kafka), lambda _: None), topic)
    try:
        records = reader.records("earliest", follow=False, stopping=lambda: False)
        return next(decode(record.value, kind) for record in records if record.key == b"image-0")
    finally:
        reader.close()

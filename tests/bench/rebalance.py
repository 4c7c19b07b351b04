"""How long partitions stand still when a replica comes, and when one dies: by group protocol. Needs KAFKA_HOME.

Two workers that judge at once are fed evenly; a third comes, and is killed. How long a partition stood still is the
longest gap between its verdicts. The brokers of the tests let the consumer protocol beat five times a second, not
every five seconds as theirs do by default, so that its figures are those of its steps alone.
"""

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import count, pairwise
from pathlib import Path
from statistics import median
from threading import Event, Thread
from time import monotonic, sleep, time

from sluice.kafka.client import open_consumer, open_producer, plain_producer_config, reader_config
from sluice.kafka.reader import Reader
from sluice.settings import Kafka
from sluice_schemas import Verdict, decode
from tests.bench.rig import consuming, event, mortal, stage
from tests.chaos.stage import Protocol, Stage
from tests.support.brokers import apache_kafka

PARTITIONS = 12
PER_S = 360
SETTLED_S = 4.0  # longer than a heartbeat of production's settings
SESSION_S, TRANSACTION_S = Kafka().session_timeout_s, Kafka().transaction_timeout_s
GIVEN = {"SLUICE_KAFKA__SESSION_TIMEOUT_S": f"{SESSION_S:g}"}
STILL_S = 1.0
PROTOCOLS: Sequence[Protocol] = ("classic", "consumer")
PATIENCE_S = 120.0

Window = tuple[float, float]
"""From when until when, seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Stood:
    """How long partitions stood still: how many of them for more than a second, the median one, the longest."""

    what: str
    still: int
    median_s: float
    longest_s: float

    def as_text(self) -> str:
        """Say it in a line."""
        return (
            f"{self.what}: {self.still} of {PARTITIONS} partitions stood still for more than {STILL_S:g} s, "
            f"median {self.median_s:.2f} s, longest {self.longest_s:.2f} s"
        )

    def as_json(self) -> dict[str, object]:
        """Return the figures."""
        return asdict(self)


def measured() -> Iterator[Stood]:
    """Measure a coming with both protocols, and a death with classic, whose session is ours to set."""
    with tempfile.TemporaryDirectory() as name, apache_kafka(folder := Path(name)) as address:
        for protocol in PROTOCOLS:
            ground = replace(stage(address, folder, partitions=PARTITIONS, given=GIVEN), protocol=protocol)
            windows = _live(ground)
            for what, gaps in gaps_in(list(_verdicts(ground)), windows).items():
                yield stood(f"{protocol}: {what}", gaps)


def _live(ground: Stage) -> Mapping[str, Window]:
    """Let a third worker come, and die where that is soon noticed; return when."""
    with _fed(ground), consuming(ground, worker="a"), consuming(ground, worker="b"):
        _until(lambda: _ready(ground, "a") and _ready(ground, "b"))
        sleep(SETTLED_S)
        with mortal(ground, worker="c") as third:
            _until(lambda: _ready(ground, "c"))
            came = time()
            sleep(2 * SETTLED_S)
            third.kill()
            died = time()
        if ground.protocol == "consumer":
            return {"a replica comes": (came, died)}
        sleep(SESSION_S + TRANSACTION_S + 2 * SETTLED_S)  # it may die within a transaction, whose end others await
        return {"a replica comes": (came, died), "a replica dies": (died, time())}


@contextmanager
def _fed(ground: Stage) -> Iterator[None]:
    """Publish events evenly for as long as the block lasts."""
    over = Event()

    def feed() -> None:
        producer = open_producer(plain_producer_config(ground.kafka), lambda _: None)
        started = monotonic()
        for number in count():
            if over.wait(max(0.0, started + number / PER_S - monotonic())):
                break
            value = event(number, b"picture")
            producer.produce(ground.topics.images, value, str(number), partition=number % ground.partitions)
            producer.poll(0)
        producer.flush(PATIENCE_S)

    thread = Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _ready(ground: Stage, worker: str) -> bool:
    return (ground.folder / f"{worker}.ready").exists()


def _until(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + PATIENCE_S
    while not condition():
        assert monotonic() < deadline, "not in time"
        sleep(0.05)


def _verdicts(ground: Stage) -> Iterator[tuple[int, float]]:
    """Yield the partition of every event that has a verdict, and when that was published."""
    reader = Reader(open_consumer(reader_config(ground.kafka), lambda _: None), ground.topics.verdicts)
    for record in reader.records("earliest", follow=False, stopping=lambda: False):
        yield decode(record.value or b"", Verdict).source.partition, record.timestamp_ms / 1000
    reader.close()


def gaps_in(verdicts: Sequence[tuple[int, float]], windows: Mapping[str, Window]) -> Mapping[str, Sequence[float]]:
    """Return, for each window, every partition's longest gap whose middle is in it.

    A partition that said nothing more stood still to the end of the last window.
    """
    over = max(end for _, end in windows.values())
    times: defaultdict[int, list[float]] = defaultdict(list)
    for partition, at in sorted(verdicts):
        times[partition].append(at)
    return {
        what: [
            max((b - a for a, b in pairwise([*each, max(over, each[-1])]) if begin <= (a + b) / 2 < end), default=0.0)
            for each in times.values()
        ]
        for what, (begin, end) in windows.items()
    }


def stood(what: str, gaps: Sequence[float]) -> Stood:
    """Sum up."""
    return Stood(what, sum(gap > STILL_S for gap in gaps), round(median(gaps), 3), round(max(gaps), 3))

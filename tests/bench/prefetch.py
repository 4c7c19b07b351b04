"""What prefetching gives and takes: large inline pictures at line rate, the memory they fill, and small events.

Every reading of large pictures has a process of its own, so that its memory is nobody else's.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random
from uuid import uuid4

import psutil

from sluice.kafka.client import FETCH_MAX_BYTES, Config, consumer_config, open_consumer
from sluice.settings import MIB, Kafka
from tests.bench.rates import Rates
from tests.bench.rig import consumed, event, fill, joined, stage
from tests.bench.rounds import interleaved, medians

PICTURE_BYTES = 300 * 1024
PICTURES = 700  # twice what may be prefetched
BATCH = 32
ROUNDS = 2
SLACK_BYTES = 16 * MIB  # buffers of sockets, allocators, and Python's own
FULL_AFTER_S = 1.0
LIBRDKAFKA: Config = {"queued.min.messages": 100_000, "queued.max.messages.kbytes": 65_536, "fetch.max.bytes": 50 * MIB}
AHEAD = (256, 1024, 100_000)
SMALL = 6000
ALONE = 10_000


@dataclass(frozen=True, slots=True)
class Way:
    """A way to read: the product's source, or a bare consumer and its `consume`; the latter with `changes`."""

    name: str
    bare: bool
    changes: Config


WAYS = (
    Way("KafkaSource", bare=False, changes={}),
    Way("consume()", bare=True, changes={}),
    Way("consume(), librdkafka's settings", bare=True, changes=LIBRDKAFKA),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading the pictures took. `held_bytes` is what a consumer that stopped polling took on."""

    per_s: float
    cpu_us: float
    held_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Readings:
    """Median reading of each way, and the most that a consumer may hold."""

    of: Mapping[str, Reading]
    bound_bytes: int

    def as_text(self) -> str:
        """Return a line for each way."""
        bare = self.of["consume()"]
        lines = (
            f"  {name}: {found.per_s:.0f}/s, {found.per_s * PICTURE_BYTES / 1e6:.0f} MB/s "
            f"({found.per_s / bare.per_s:.2f}), "
            f"{found.cpu_us:.0f} us of CPU ({found.cpu_us / bare.cpu_us:.2f}), held {found.held_bytes / MIB:.0f} MiB"
            for name, found in self.of.items()
        )
        head = f"events of 300 KiB, bound of memory {self.bound_bytes / MIB:.0f} MiB; ratio to consume()"
        return "\n".join((head, *lines))

    def as_json(self) -> dict[str, object]:
        """Return the figures, rounded to what means something."""
        of = {name: {k: round(v, 1) for k, v in asdict(found).items()} for name, found in self.of.items()}
        return {"what": "events of 300 KiB", "bound_bytes": self.bound_bytes, "of": of}


def large(address: str, folder: Path) -> Readings:
    """Read a backlog of large pictures by each way, in turn."""
    ground = stage(address, folder)
    picture = Random(1).randbytes(PICTURE_BYTES)
    fill(ground, (event(number, picture) for number in range(PICTURES)))

    def apart(way: Way) -> Reading:
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            return process.submit(read, address, ground.topics.images, way).result()

    found = interleaved({way.name: partial(apart, way) for way in WAYS}, ROUNDS)
    bound = Kafka().queued_max_kbytes * 1024 + FETCH_MAX_BYTES + SLACK_BYTES
    return Readings({name: medians(readings) for name, readings in found.items()}, bound)


def read(address: str, topic: str, way: Way) -> Reading:
    """See what a consumer takes on when nobody polls it, then read all of them with another."""
    memory = psutil.Process().memory_info
    rest = memory().rss
    with _polling(address, topic, way) as poll:
        while not poll():
            pass
        time.sleep(FULL_AFTER_S)
        held = memory().rss - rest
    with _polling(address, topic, way) as poll:
        return replace(_read(poll, PICTURES), held_bytes=held)


def _read(poll: Callable[[], int], count: int) -> Reading:
    """Read so many events, and count from the first on."""
    while not (first := poll()):
        pass
    seen, cpu, started = first, time.process_time(), time.perf_counter()
    while seen < count:
        seen += poll()
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return Reading((seen - first) / seconds, cpu / (seen - first) * 1e6)


@contextmanager
def _polling(address: str, topic: str, way: Way) -> Iterator[Callable[[], int]]:
    """Join a group of one's own; yields what reads up to a batch and returns how many records that were."""
    config = consumer_config(Kafka(bootstrap_servers=address, group_id=uuid4().hex)) | way.changes
    if way.bare:
        consumer = open_consumer(config, lambda _: None)
        consumer.subscribe([topic])
        yield lambda: len([message.value() for message in consumer.consume(BATCH, 0.1)])
        consumer.close()
    else:
        with joined(config, topic) as source:
            yield lambda: len(source.poll(BATCH, 0.1))


def alone(address: str, folder: Path) -> Rates:
    """Let the source alone eat a backlog of small events from one partition, by when it is fetched again."""
    ground, dice = stage(address, folder, partitions=1), Random(1)
    count = fill(ground, (event(number, dice.randbytes(500)) for number in range(ALONE)))
    ways = [Way(str(ahead), bare=False, changes={"queued.min.messages": ahead}) for ahead in AHEAD]
    ways.append(Way("256, fetch.queue.backoff.ms 1000", bare=False, changes={"fetch.queue.backoff.ms": 1000}))

    def eat(way: Way) -> float:
        with _polling(address, ground.topics.images, way) as poll:
            return _read(poll, count).per_s

    found = interleaved({way.name: partial(eat, way) for way in ways}, ROUNDS)
    return Rates.of("small events of one partition, by queued_min_messages", found, str(AHEAD[0]))


def small(address: str, folder: Path) -> Rates:
    """Let a worker that judges nothing eat a backlog of small events, by how many are fetched ahead."""

    def eat(ahead: str) -> float:
        ground = stage(address, folder, given={"SLUICE_KAFKA__QUEUED_MIN_MESSAGES": ahead})
        count = fill(ground, (event(number, b"picture") for number in range(SMALL)))
        return consumed(ground, count).rate

    found = interleaved({ahead: partial(eat, ahead) for ahead in map(str, (AHEAD[0], AHEAD[-1]))}, ROUNDS)
    return Rates.of("small events through a worker, by queued_min_messages", found, str(AHEAD[0]))

"""What end-to-end benchmarks stand on: a broker, a backlog of events, a consumer, and when its outputs came.

A rate is taken from the outputs' own timestamps and leaves the first tenth out, so that neither the start of a process
nor the loading of its models counts.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from time import monotonic

import numpy as np
import psutil
from PIL import Image as Pillow

from sluice.kafka.client import Config, open_consumer, open_producer, plain_producer_config, reader_config
from sluice.kafka.reader import Reader
from sluice.kafka.source import KafkaSource
from sluice.settings import Kafka
from sluice_schemas import Generator, Image, ImageGenerated
from sluice_schemas.wire import encode
from sluice_sim.pictures import Format
from tests.chaos.stage import Stage
from tests.support.brokers import apache_kafka, embedded
from tests.support.expiries import expiry_of

SLUICE = (str(Path(sys.executable).with_name("sluice")), "--debug", "run")
BLANK = (sys.executable, "-m", "tests.bench.blank")
"""What consumes: the real thing, or one whose decoders and models answer at once (`tests.bench.blank`)."""

DEVICE = {"BENCH_PASS_MS": "10", "BENCH_IMAGE_MS": "1"}
DEVICE_PER_S = 32 / 0.042
"""What a blank worker gets that has a device of its own, and the events a second of one never without a full batch."""

PATIENCE_S = 600.0
WARM_SHARE = 0.1
ROOT = Path(__file__).parents[2]


@contextmanager
def broker() -> Iterator[tuple[str, Path]]:
    """Run a broker, Apache Kafka with KAFKA_HOME and else the embedded one; yields its address and a folder."""
    opened: Callable[[Path], AbstractContextManager[str]] = apache_kafka if "KAFKA_HOME" in os.environ else embedded
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder)) as address:
        yield address, Path(folder)


def stage(address: str, folder: Path, *, partitions: int = 6, given: Mapping[str, str] | None = None) -> Stage:
    """Set up topics and a group that are one measurement's own. `given` holds the consumer's settings by variable."""
    kafka = "KAFKA_HOME" in os.environ
    return Stage(address, folder, partitions=partitions, evicts=kafka, given=given or {}).set_up()


@cache
def photograph(number: int, edge_px: int, kind: Format = "JPEG") -> bytes:
    """Draw what compresses as a photograph does: soft shapes at every scale, and a little grain."""
    rng = np.random.default_rng(number)
    drawn = np.zeros((edge_px, edge_px, 3), np.float32)
    for cells in (4, 16, 64):
        field = Pillow.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
        drawn += np.asarray(field.resize((edge_px, edge_px), Pillow.Resampling.BICUBIC), np.float32) * (2 / cells**0.5)
    drawn = drawn / drawn.max() * 255 + rng.normal(0, 3, drawn.shape)
    out = BytesIO()
    Pillow.fromarray(drawn.clip(0, 255).astype(np.uint8)).save(out, kind, quality=88)
    return out.getvalue()


def event(number: int, picture: bytes, prompt: str | None = None) -> bytes:
    """Encode an event that carries its picture."""
    event = ImageGenerated(
        image_id=f"image-{number}",
        created_at=datetime.now(UTC),
        image=Image(bytes=picture, sha256=sha256(picture).hexdigest()),
        prompt=prompt,
        generator=Generator("bench"),
    )
    return encode(event)


def fill(ground: Stage, values: Iterable[bytes]) -> int:
    """Publish events, spread evenly over the partitions; return how many."""
    producer = open_producer(plain_producer_config(ground.kafka), lambda _: None)
    count = 0
    for value in values:
        while True:
            try:
                producer.produce(ground.topics.images, value, str(count), partition=count % ground.partitions)
                break
            except BufferError:
                producer.poll(0.1)
        count += 1
    assert producer.flush(PATIENCE_S) == 0
    return count


@contextmanager
def consuming(ground: Stage, program: Sequence[str] = BLANK, *, worker: str = "worker") -> Iterator[psutil.Popen]:
    """Run one consumer; at the end it gets SIGTERM and must leave with 0."""
    with mortal(ground, program, worker=worker) as process:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, _log(ground, worker).read_text()


@contextmanager
def mortal(ground: Stage, program: Sequence[str] = BLANK, *, worker: str = "worker") -> Iterator[psutil.Popen]:
    """Run one consumer that may die; at the end it is killed."""
    with _log(ground, worker).open("wb") as output:
        process = psutil.Popen(
            program, cwd=ROOT, env=ground.environment(worker), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _log(ground: Stage, worker: str) -> Path:
    return ground.folder / f"{ground.name}-{worker}.log"


@contextmanager
def joined(config: Config, topic: str) -> Iterator[KafkaSource]:
    """Be the product's source of a topic, a member of its group as `config` says."""
    connect = partial(open_consumer, config)
    kafka = Kafka(bootstrap_servers=config["bootstrap.servers"], group_id=config["group.id"])
    source = KafkaSource(connect, topic, kafka, expiry=expiry_of(kafka), clock=monotonic)
    source.subscribe(on_revoke=lambda _: None, on_lost=lambda _: None)
    try:
        yield source
    finally:
        source.close()


@dataclass(frozen=True, slots=True)
class Flow:
    """When the outputs of a backlog were produced, seconds since the epoch, in order."""

    at_s: Sequence[float]

    @property
    def rate(self) -> float:
        """Events a second, the first tenth left out."""
        warm = int(len(self.at_s) * WARM_SHARE)
        return (len(self.at_s) - 1 - warm) / (self.at_s[-1] - self.at_s[warm])


def flow(ground: Stage, count: int, *, alive: Callable[[], bool] = lambda: True) -> Flow:
    """Follow the verdicts, as committed, until there are `count`; fails when the consumer dies or it takes too long."""
    reader = Reader(open_consumer(reader_config(ground.kafka), lambda _: None), ground.topics.verdicts)
    deadline = monotonic() + PATIENCE_S

    def stopping() -> bool:
        assert alive(), "the consumer died"
        assert monotonic() < deadline, f"{len(at_s)} of {count} events in {PATIENCE_S:g} s"
        return len(at_s) >= count

    at_s: list[float] = []
    try:
        for record in reader.records("earliest", follow=True, stopping=stopping):
            at_s.append(record.timestamp_ms / 1000)  # noqa: PERF401  `stopping` counts them meanwhile
    finally:
        reader.close()
    return Flow(sorted(at_s))


def consumed(ground: Stage, count: int, program: Sequence[str] = BLANK) -> Flow:
    """Let one consumer judge a backlog of `count` events."""
    with consuming(ground, program) as process:
        return flow(ground, count, alive=lambda: process.poll() is None)

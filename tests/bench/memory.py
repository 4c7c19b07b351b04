"""Memory of `sluice run` while every partition is full of large pictures and the models are slow.

Needs KAFKA_HOME and Linux. `bound` is the formula of docs/resources.md; what is measured must stay below it.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from random import Random
from time import monotonic, sleep

from confluent_kafka import Producer
from PIL import Image as Pillow

from sluice.kafka.client import FETCH_MAX_BYTES
from sluice.settings import MIB, Settings
from sluice_schemas import Generator, Image, ImageGenerated, encode
from tests.chaos.stage import Stage
from tests.chaos.worker import Worker
from tests.support.brokers import apache_kafka
from tests.support.plugins import installed
from tests.support.usage import children_peaks, forget_peak, peak_rss, usage

TILE_BYTES = 224 * 224 * 3
SLACK_BYTES = 64 * MIB  # what the allocators of Python, torch and C keep or lose between pieces
EDGES = (320, 400, 480, 560)  # of noise, which does not compress: 0.3 to 0.9 MB
LOOK_EVERY_S = 0.1
QUEUED = 64  # messages a producer may hold: it shall not be larger than what it fills
WITHIN_S = 900.0  # on a crowded machine; alone it takes two minutes


@dataclass(frozen=True, slots=True)
class Load:
    """How full the partitions are, how long a picture takes, and how many verdicts are waited for."""

    partitions: int
    events_each: int
    picture_s: float
    verdicts: int


@dataclass(frozen=True, slots=True)
class Measured:
    """The consumer's memory at rest and at its peak, and the largest decoder, in bytes."""

    backlog_bytes: int
    rest: int
    peak: int
    bound: int
    decoder_peak: int

    def as_text(self) -> str:
        """Return the figures in words."""
        figures = (f"{name} {size / MIB:.0f} MiB" for name, size in asdict(self).items())
        return f"memory: {', '.join(figures)}, peak over rest {(self.peak - self.rest) / MIB:.0f} MiB"

    def as_json(self) -> dict[str, object]:
        """Return the figures."""
        return asdict(self)


def bound(settings: Settings, *, rest: int, brokers: int, largest_event: int, tiles: int) -> int:
    """Return the most bytes the consumer may take, its decoders not counted.

    `rest` is what it takes when ready and idle, `tiles` what a picture is cut into; all pictures are inline.
    """
    kafka, batching = settings.kafka, settings.batching
    fetched = int(kafka.consumer_options.get("fetch.max.bytes", FETCH_MAX_BYTES))
    prefetched = kafka.queued_max_kbytes * 1024 + brokers * fetched
    waiting = batching.max_bytes + batching.max_records * largest_event
    # A batch holds its values, the pictures read from them, their tiles; and the tiles once more while it is scored.
    flying = batching.max_flights * (2 * batching.max_bytes + batching.max_records * tiles * TILE_BYTES)
    scored = batching.max_records * tiles * TILE_BYTES
    return rest + prefetched + waiting + flying + scored + SLACK_BYTES


def measure(folder: Path, address: str, load: Load, settings: Settings) -> Measured:
    """Let one consumer come to rest, fill the partitions, and watch it until it has landed what the load says."""
    plain = Stage(address, folder, partitions=load.partitions).set_up()
    slow = installed(folder / "site", f"time.sleep({load.picture_s})", at_every_picture=True)
    stage = replace(plain, given={**slow, **variables(settings)})
    deadline = monotonic() + WITHIN_S
    with Worker(stage) as worker:
        watch = Watch(worker, deadline)
        watch.until(lambda: worker.ready)
        rest = watch.begin()
        backlog, largest = fill(stage, load)
        watch.until(lambda: worker.landed >= load.verdicts)
        most = bound(settings, rest=rest, brokers=1, largest_event=largest, tiles=1)
        return Measured(backlog, rest, peak_rss(worker._life.pid), most, watch.decoder_peak)


class Watch:
    """Follows a consumer's decoders, which come and go; its own peak the kernel keeps."""

    def __init__(self, worker: Worker, deadline_s: float) -> None:
        self._worker = worker
        self._deadline_s = deadline_s
        self.decoder_peak = 0

    def begin(self) -> int:
        """Start at what is resident now, and return it."""
        pid = self._worker._life.pid
        forget_peak(pid)
        return usage(pid).rss

    def until(self, condition: Callable[[], bool]) -> None:
        """Look again and again until the condition holds."""
        while not condition():
            assert monotonic() < self._deadline_s, f"{self._worker.stats}\n{self._worker.log.read_text()}"
            assert not self._worker.over, self._worker.log.read_text()
            self.decoder_peak = max([self.decoder_peak, *children_peaks(self._worker._life.pid)])
            sleep(LOOK_EVERY_S)


def fill(stage: Stage, load: Load) -> tuple[int, int]:
    """Fill every partition with large pictures; return the bytes of all events and of the largest."""
    events = [event(noise(edge)) for edge in EDGES]
    producer = Producer(stage.broker.config() | {"queue.buffering.max.kbytes": 256 * 1024, "linger.ms": 5})
    total = 0
    for number in range(load.events_each * load.partitions):
        value = events[number % len(events)]
        producer.produce(stage.topics.images, value, partition=number % load.partitions)
        total += len(value)
        while len(producer) > QUEUED:
            producer.poll(0.1)
    assert producer.flush(WITHIN_S) == 0
    return total, max(map(len, events))


def event(data: bytes) -> bytes:
    """Return an event with this picture inline."""
    image = Image(bytes=data, mime="image/png")
    return encode(ImageGenerated(image_id="same", created_at=datetime.now(UTC), image=image, generator=Generator("g")))


def noise(edge_px: int) -> bytes:
    """Return a PNG as large as its pixels."""
    out = BytesIO()
    Pillow.frombytes("RGB", (edge_px, edge_px), Random(edge_px).randbytes(3 * edge_px**2)).save(out, "PNG")
    return out.getvalue()


def variables(settings: Settings) -> Mapping[str, str]:
    """Return what the formula reads of the settings, as the environment of a consumer."""
    kafka, batching = settings.kafka, settings.batching
    return {
        "SLUICE_KAFKA__QUEUED_MAX_KBYTES": str(kafka.queued_max_kbytes),
        "SLUICE_KAFKA__CONSUMER_OPTIONS": json.dumps(kafka.consumer_options),
        "SLUICE_BATCHING__MAX_RECORDS": str(batching.max_records),
        "SLUICE_BATCHING__MAX_BYTES": str(batching.max_bytes),
        "SLUICE_BATCHING__MAX_FLIGHTS": str(batching.max_flights),
    }


def measured() -> Iterator[Measured]:
    """Measure production's settings against 64 partitions of 24 pictures each, 0.9 GB together."""
    with tempfile.TemporaryDirectory() as folder, apache_kafka(Path(folder)) as address:
        yield measure(Path(folder), address, Load(64, 24, 0.05, 300), Settings())

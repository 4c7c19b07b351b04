"""A short life of consumers with everything that can go wrong in it, one thing after the other, under a Prometheus.

One replica is `sluice run` with a picture store, a collector that dies, and a plug-in model that is
slow with marked pictures and holds on to them while a file exists. Another is a fork that a poisonous picture kills.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from uuid import uuid4

import numpy as np
from confluent_kafka import Producer
from safetensors.numpy import save_file

from sluice_schemas import Generator, Image, ImageGenerated, encode
from sluice_sim.options import Options, Shares
from sluice_sim.sender import Delivery, Pace, send
from sluice_sim.store import Store
from sluice_sim.stream import Stream
from tests.chaos.feed import deck, now, small
from tests.chaos.stage import Stage
from tests.chaos.worker import Worker
from tests.observability.prometheus import SCRAPE_S, Prometheus, Series, scraping
from tests.support.collector import Collector, collector
from tests.support.fetching import IMPATIENT, fetching
from tests.support.plugins import installed, marked_picture
from tests.support.ports import free_port

JOB, POISONED = "sluice", "poisoned"
WITHIN_S = 240.0
LOOK_EVERY_S = 0.5
RATE_PER_S = 20.0
SHARES = Shares(hostile=0, by_file=0, by_http=0.1, unsafe=0.3)
WELL_S = 4.0
HOSTILE = 60
OLD_S = 300.0
SLOW = 40  # marked pictures, each of which takes the model SLOW_S
SLOW_S = 0.2


@dataclass(slots=True)
class Life:
    """What happened when: `spans` holds the times (of the calendar) of each fault, from its beginning to its end."""

    prometheus: Prometheus
    worker: Worker
    poisoned: Worker
    began_s: float = field(default_factory=time.time)
    spans: dict[str, tuple[float, float]] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    """A description of each alert that fired."""
    resting: Event = field(default_factory=Event)
    """While it is set nothing is published."""

    @contextmanager
    def fault(self, name: str) -> Iterator[None]:
        """Note when it was."""
        began_s = time.time()
        yield
        self.spans[name] = (began_s, time.time())

    def until(self, condition: Callable[[set[str]], bool]) -> None:
        """Wait until it holds for the names of the alerts that fire."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            self.poisoned.tend()
            firing = self.prometheus.firing()
            self.told |= {name: texts[0] for name, texts in firing.items()}
            if condition(set(firing)):
                return
            assert not self.worker.over, self.worker.log.read_text()
            assert time.monotonic() < deadline, f"in vain, only {sorted(firing)}\n{self.worker.log.read_text()[-4000:]}"
            time.sleep(LOOK_EVERY_S)

    def fires(self, *names: str) -> None:
        """Wait until all these alerts have fired together."""
        self.until(lambda firing: set(names) <= firing)

    def seen(self, expr: str, span: str = "") -> Series:
        """Evaluate an expression over the time of a fault, or over the whole life."""
        began_s, ended_s = self.spans[span] if span else (self.began_s, time.time())
        return self.prometheus.history(expr, began_s, ended_s + SCRAPE_S)

    def catches_up(self) -> bool:
        """Whether hardly anything waits."""
        return self.counts("kafka_consumer_group_lag") < RATE_PER_S

    def idle(self) -> bool:
        """Whether nothing waits, and nothing has landed for a while."""
        landed = self.prometheus.now(f'increase(sluice_verdicts_total{{job="{JOB}"}}[3s])')
        return not self.counts("kafka_consumer_group_lag") and not sum(landed.values())

    def counts(self, metric: str) -> float:
        """Return the sum of a metric of the first replica, as it was told last."""
        return sum(self.prometheus.now(f'{metric}{{job="{JOB}"}}').values())


@contextmanager
def lived(address: str, folder: Path) -> Iterator[Life]:
    """Live it all on the broker at `address`; what Prometheus has seen of it can be asked for in the block."""
    with ExitStack() as stack:
        store = stack.enter_context(Store(folder / "pictures"))
        listening = stack.enter_context(ExitStack())
        taking = listening.enter_context(collector())
        taking.listen()
        ports = {JOB: free_port(), POISONED: free_port()}
        stage = _stage(Stage(address, folder, partitions=2, evicts=False), store, taking, ports[JOB])
        grave = replace(
            Stage(address, folder / "grave", lives="fork", partitions=1, evicts=False),
            given={"SLUICE_TELEMETRY__HTTP_PORT": str(ports[POISONED]), "SLUICE_KAFKA__SESSION_TIMEOUT_S": "6"},
        )
        grave.folder.mkdir()
        for each in (stage, grave):
            each.set_up()
        targets = {job: f"127.0.0.1:{port}" for job, port in ports.items()}
        prometheus = stack.enter_context(scraping(targets, folder))
        worker = stack.enter_context(Worker(stage))
        life = Life(prometheus, worker, stack.enter_context(Worker(grave)))
        life.until(lambda _: worker.ready and life.poisoned.ready)
        stack.enter_context(_busy(stage, store, life.resting))
        _live(life, stage, grave, store, listening)
        yield life


def _live(life: Life, stage: Stage, grave: Stage, store: Store, listening: ExitStack) -> None:
    life.until(lambda firing: life.worker.landed > 0 and not firing)
    with life.fault("none"):
        well_until = time.monotonic() + WELL_S
        life.until(lambda _: time.monotonic() > well_until)
    with life.fault("poison"):
        sound = Shares(hostile=0, by_file=0, by_http=0)
        _send(grave, Options(events=40, pictures=8, shares=sound), poison=1)
        _suffer(life, stage, store, listening)
        life.until(lambda _: {"SluicePoisonRecord", "SluiceRestarting"} <= set(life.told))


def _suffer(life: Life, stage: Stage, store: Store, listening: ExitStack) -> None:
    with life.fault("bad inputs"):
        hostile = Options(events=HOSTILE, pictures=8, shares=Shares(hostile=1, by_file=0, by_http=0))
        _send(stage, hostile)
        life.until(lambda _: life.counts("sluice_dead_letters_total") >= HOSTILE)
        _send(stage, hostile)  # what a scrape sees first of a reason is no increase yet
        life.fires("SluiceDeadLetters")
    with life.fault("slow model"):
        _publish(stage, SLOW)
        life.fires("SluiceEventAgeBudgetBurning", "SluiceLagNotDraining")
        life.until(lambda _: life.catches_up())
    with life.fault("dead collector"):
        listening.close()
        life.fires("SluiceTelemetryLost")
    with life.fault("store down"):
        store.outage.set()
        life.fires("SluiceDependencyDown", "SluiceStoreFailing")
    store.outage.clear()
    life.until(lambda firing: "SluiceDependencyDown" not in firing and life.catches_up())
    life.resting.set()  # of a batch the first record tells the age, and it shall be an old one
    life.until(lambda _: life.idle())
    with life.fault("stuck partition"):
        _hold(stage).touch()
        _publish(stage, 1)
        life.fires("SluicePartitionStuck")
    _hold(stage).unlink()
    life.resting.clear()
    life.until(lambda firing: "SluicePartitionStuck" not in firing and life.catches_up())


def _hold(stage: Stage) -> Path:
    """Name the file that keeps the model on marked pictures while it exists."""
    return stage.folder / "hold"


def _stage(stage: Stage, store: Store, taking: Collector, port: int) -> Stage:
    deed = f"time.sleep({SLOW_S})\nwhile os.path.exists({str(_hold(stage))!r}): time.sleep(0.05)"
    given = {
        "TELEMETRY__HTTP_PORT": str(port),
        "TELEMETRY__LAG_EVERY_S": "0.5",
        "TELEMETRY__OTLP": "true",
        "BATCHING__MAX_FLIGHTS": "2",  # few and small, so that a fault of seconds is back-pressure
        "BATCHING__MAX_RECORDS": "16",
        "FUSE__MAX_SHARE": "1",
        "FUSE__MAX_RUN": "1000",
        "SELF_TEST__EVERY_S": "2",
        "MODELS__AESTHETIC_V1": str(_aesthetic_head(stage.folder)),
    }
    collector = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": taking.address,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "true",
    }
    ours = fetching(store) | IMPATIENT | {f"SLUICE_{name}": value for name, value in given.items()}
    return replace(stage, given={**installed(stage.folder / "site", deed), **ours, **collector})


def _aesthetic_head(folder: Path) -> Path:
    """Write a head for the starter bundle's embeddings of 128 numbers."""
    file = folder / "aesthetic.safetensors"
    weight = np.random.default_rng(0).normal(0, 0.1, (1, 128)).astype(np.float32)
    save_file({"weight": weight, "bias": np.full(1, 5.0, np.float32)}, file)
    return file


@dataclass(slots=True)
class _Gate:
    """Lets events through at a steady pace, and none while it rests."""

    resting: Event
    pace: Pace = field(default_factory=lambda: Pace(RATE_PER_S))

    def due_in_s(self) -> float:
        """Return when to ask again, or that the next one may go."""
        return LOOK_EVERY_S if self.resting.is_set() else self.pace.due_in_s()

    def take(self) -> None:
        """Count it."""
        self.pace.take()


@contextmanager
def _busy(stage: Stage, store: Store, resting: Event) -> Iterator[None]:
    """Publish drawn events while the block lasts."""
    stream = Stream(Options(events=None, pictures=32, shares=SHARES), now=now, shelf=store)
    delivery, over = Delivery(stage.broker, stage.topics.images), Event()
    with ThreadPoolExecutor(1) as thread:
        sending = thread.submit(
            send, small(stream), delivery, on_sent=lambda _: None, stop=over.is_set, gate=_Gate(resting)
        )
        try:
            yield
        finally:
            over.set()
    sending.result()


def _send(stage: Stage, options: Options, poison: int = 0) -> None:
    send(deck(options, poison=poison), Delivery(stage.broker, stage.topics.images), on_sent=lambda _: None)


def _publish(stage: Stage, events: int) -> None:
    """Publish marked pictures that were drawn a while ago, to the first partition."""
    producer = Producer(stage.broker.config())
    drawn_ms = int((time.time() - OLD_S) * 1000)
    for _ in range(events):
        picture = Image(bytes=marked_picture(), mime="image/png")
        event = ImageGenerated(
            image_id=uuid4().hex, created_at=datetime.now(UTC), image=picture, generator=Generator("marked")
        )
        producer.produce(stage.topics.images, encode(event), event.image_id, partition=0, timestamp=drawn_ms)
    assert producer.flush(30.0) == 0

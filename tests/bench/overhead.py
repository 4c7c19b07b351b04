"""What an event costs in Python when nothing is judged: by stage, and a whole consumer with and without telemetry.

`stages`: the processor time of the thread that runs a stage. `whole`: that of all threads of a consumer but
librdkafka's own, while it works off a backlog; no less than the time it holds the interpreter lock.
"""

import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import time

import psutil
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from sluice.cli.run import Stop
from sluice.moderation.values import Judged, Picture
from sluice.services.moderator import app
from sluice.services.moderator.judging import CLOCKS
from sluice.settings.sources import load
from sluice.stream.batch import Batch, FillReason
from sluice.telemetry.metrics import Meter
from tests.bench import blank, rig
from tests.bench.overhead_ends import fill, on_kafka, turning
from tests.bench.overhead_stages import BATCH, LANDING, SEEN_FUTURE, apart, events, interleaved, on_the_road, road
from tests.bench.tables import Table
from tests.chaos.stage import Stage
from tests.support.collector import collector

SAMPLED = 0.01
WORKER = (sys.executable, "-m", "tests.bench.overhead")
BACKLOG = 8000
WARM = 1000
ROUNDS = 2


def measured() -> Iterator[Table]:
    """Measure the stages, then whole consumers in interleaved rounds."""
    us = apart(stages(sampled=SAMPLED))
    rows: list[dict[str, str | float]] = [{"stage": name, "us an event": each} for name, each in us.items()]
    yield Table(f"Python by stage, spans of {SAMPLED:.0%} of the batches recorded", rows)
    yield Table("whole consumer, null decoders and model", whole())


def stages(*, sampled: float, rounds: int = 40) -> dict[str, float]:
    """Return microseconds an event by stage, as they were measured: `road` and `landing` hold others."""
    backlog = list(events((rounds + 2) * BATCH))
    batch, landing = (Batch(tuple(backlog[:count]), FillReason.COUNT, CLOCKS.monotonic()) for count in (BATCH, LANDING))
    with telemetry(sampled) as meter, road(meter) as pipeline:
        outcomes = [outcome for outcome in pipeline.outcomes(landing) if isinstance(outcome, Judged)]
        with on_kafka(backlog, outcomes, meter) as kafka:
            turn = turning([*outcomes[:BATCH]], meter, meter.all)
            return interleaved(on_the_road(pipeline, batch) | {"loop": turn} | kafka, rounds)


@contextmanager
def telemetry(sampled: float) -> Iterator[Meter]:
    """Record the share `sampled` of all spans, and every metric."""
    tracers = TracerProvider(sampler=ParentBased(TraceIdRatioBased(sampled)))
    tracers.add_span_processor(BatchSpanProcessor(InMemorySpanExporter()))
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(MeterProvider(metric_readers=[InMemoryMetricReader()]))
    yield Meter()
    tracers.shutdown()


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of processor time an event, in Python's threads and in librdkafka's; and events a second."""

    python_us: float
    librdkafka_us: float
    rate: float


def whole() -> list[dict[str, str | float]]:
    """Measure a consumer without telemetry, with spans sampled, and with a collector that does not answer."""
    found: dict[str, list[Cost]] = {}
    with rig.broker() as (address, folder), collector() as listening, collector() as dead:
        listening.listen()
        ways = {
            "no telemetry": {},
            "spans at 1 %": exporting(listening.address),
            "dead collector": exporting(dead.address),
        }
        for _ in range(ROUNDS):
            for name, given in ways.items():
                found.setdefault(name, []).append(consumer(rig.stage(address, folder, given=given)))
    return compared(found)


def exporting(address: str) -> dict[str, str]:
    """Return what makes a consumer send metrics and sampled spans there."""
    return {
        "SLUICE_TELEMETRY__OTLP": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": address,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": str(SAMPLED),
    }


def consumer(ground: Stage) -> Cost:
    """Measure one consumer on a backlog of its own, its start left out."""
    fill(ground.kafka, ground.topics.images, events(BACKLOG), partitions=ground.partitions)
    with rig.consuming(ground, WORKER) as process:
        alive = lambda: process.poll() is None  # noqa: E731
        rig.flow(ground, WARM, alive=alive)
        began_s, before = time(), spent(process.pid)
        flow = rig.flow(ground, BACKLOG, alive=alive)
        ended_s, after = time(), spent(process.pid)
    count = sum(began_s < at_s <= ended_s for at_s in flow.at_s)
    python, librdkafka = ((after[who] - before[who]) / count * 1e6 for who in (True, False))
    return Cost(python, librdkafka, flow.rate)


def spent(pid: int) -> dict[bool, float]:
    """Return the processor seconds of a process, of its Python threads and of the others; librdkafka names its own."""
    seconds = {True: 0.0, False: 0.0}
    for thread in psutil.Process(pid).threads():
        with suppress(FileNotFoundError):  # it has just ended
            name = Path(f"/proc/{pid}/task/{thread.id}/comm").read_text()
            seconds[not name.startswith("rdk:")] += thread.user_time + thread.system_time
    return seconds


def compared(found: Mapping[str, list[Cost]]) -> list[dict[str, str | float]]:
    """Return the median round of each way, and its rate as a share of the first way's."""
    middle = {
        name: Cost(*(median(getattr(cost, field) for cost in costs) for field in Cost.__slots__))
        for name, costs in found.items()
    }
    base = next(iter(middle.values())).rate
    return [
        {
            "way": name,
            "us an event, Python": cost.python_us,
            "librdkafka": cost.librdkafka_us,
            "events/s": cost.rate,
            "share": cost.rate / base,
        }
        for name, cost in middle.items()
    ]


class Decoders:
    """Decoders that cost nothing: the real ones spend their time in processes of their own."""

    def submit(self, _: bytes) -> Future[Picture]:
        """Answer with the same picture."""
        return SEEN_FUTURE

    known = submit


def main() -> None:
    """Run until SIGTERM."""
    factories = app.Factories(decoders=lambda *_, **__: nullcontext(Decoders()), inference=blank.inference)
    app.run(load(None).settings, Stop(), factories)


if __name__ == "__main__":
    main()

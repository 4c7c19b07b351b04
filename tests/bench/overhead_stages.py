"""What each stage of an event costs the thread that runs it, on values as production has them, with nothing judged.

Microseconds of the thread's own processor time (waiting is none), the median of interleaved rounds. Kafka is
librdkafka's cluster in memory, so that `poll` and `produce` are the real ones; its own threads do not count.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from statistics import median
from typing import Any

from sluice.core.errors import Rejection
from sluice.core.metrics import Observe
from sluice.core.records import Partition, Record
from sluice.kafka.codec import Codec
from sluice.media.fetching.fetcher import Fetcher
from sluice.moderation.pipeline import Pipeline, Steps
from sluice.moderation.ports import Began
from sluice.moderation.values import Job, Picture, Provenance, Scores
from sluice.moderation.verdicts import Subject, VerdictBuilder
from sluice.policies import chosen
from sluice.services.moderator.judging import CLOCKS
from sluice.settings import Fetch, Media, Topics
from sluice.settings import Policy as PolicySettings
from sluice.stream.batch import Batch
from sluice.stream.tracing import process_span
from sluice_schemas import (
    CloudEvent,
    Generator,
    Image,
    ImageGenerated,
    Mode,
    SingleObjectFraming,
    Timings,
    Trace,
    encode,
)
from tests.bench.blank import MODEL, SCORES, TECHNICAL, TILES

BATCH = 32
LANDING = 2 * BATCH
PICTURE = bytes(3600)
TOPICS = Topics()
PLACE = Partition(TOPICS.images, 0)
SEEN = Picture(sha256(PICTURE).hexdigest(), "image/jpeg", 512, 512, 1, TILES, 1.0, TECHNICAL)
SEEN_FUTURE: Future[Picture] = Future()
SEEN_FUTURE.set_result(SEEN)
TIMINGS = Timings(1.0, 2.0, 3.0, 4.0, 5.0, 15.0)

Way = Callable[[], int]
"""Runs a stage; returns for how many events."""


def events(count: int) -> Iterator[Record]:
    """Make records as the simulator's are: an inline picture, CloudEvents headers, and a trace context."""
    for number in range(count):
        event = ImageGenerated(
            image_id=f"image-{number}",
            created_at=CLOCKS.now(),
            image=Image(bytes=PICTURE, sha256=SEEN.sha256),
            prompt="a red fox in the snow",
            generator=Generator("sdxl", "1.0", "txt2img", "euler", 30, 7.0, number),
        )
        sampled = number % 100 == 50  # by its producer; such an image is traced stage by stage
        context = Trace(traceparent=f"00-{number + 1:032x}-{number + 1:016x}-{sampled:02x}")
        headers = CloudEvent.of(event, source="/generators/sdxl", trace=context).headers()
        now_ms = int(event.created_at.timestamp() * 1000)
        yield Record(PLACE, number, now_ms, event.image_id.encode(), encode(event), headers)


class Aside(Executor):
    """Runs at once, on the thread that asks."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Answer."""
        done: Future[Any] = Future()
        done.set_result(function(*args, **kwargs))
        return done


def scored(jobs: Sequence[Job], begun: Began) -> Future[list[Scores | Rejection]]:
    """Score alike."""
    begun()
    done: Future[list[Scores | Rejection]] = Future()
    done.set_result([SCORES] * len(jobs))
    return done


@contextmanager
def road(observe: Observe) -> Iterator[Pipeline]:
    """Lay the product's road, with decoders and models that answer at once."""
    policy = chosen(PolicySettings())
    codec = Codec(SingleObjectFraming(), TOPICS, "/sluice/bench", Media().max_event_bytes)
    verdict_builder = VerdictBuilder(
        policy.ref,
        Provenance((MODEL, replace(MODEL, role="clip")), "0" * 64),
        Mode.ENFORCE,
        "bench",
        max_value_bytes=65536,
        include_inline_images=False,
    )
    with Fetcher(Fetch(), Media()) as fetcher:
        steps = Steps(
            decode=codec.decode,
            fetch=fetcher.submit,
            picture=lambda _: SEEN_FUTURE,
            score=scored,
            judge=policy.judge,
            encode=codec.encode,
        )
        yield Pipeline(steps, verdict_builder, CLOCKS, Aside(), observe, traced=True)


def on_the_road(pipeline: Pipeline, batch: Batch) -> dict[str, Way]:
    """Return the stages that a batch's thread runs; `road` is all of them and what holds them together."""
    steps, verdict_builder, records = pipeline.steps, pipeline.verdicts, batch.records
    read = [steps.decode(record) for record in records]
    subjects = [
        Subject(record, event, Job(SEEN, event.prompt), TIMINGS) for record, event in zip(records, read, strict=True)
    ]
    decision = steps.judge(SCORES, read[0], SEEN)
    judged = [verdict_builder.judged(subject, SCORES, decision, CLOCKS.now()) for subject in subjects]

    def spans() -> None:
        with process_span(batch):
            pass

    def laps() -> None:
        for name in ("fetch", "decode", "model"):
            pipeline.observe("sluice.stage.duration", 0.01, {"stage": name})

    stages: dict[str, Callable[[], object]] = {
        "Avro decode": lambda: [steps.decode(record) for record in records],
        "fetch": lambda: [steps.fetch(event.image).result() for event in read],
        "policy": lambda: [steps.judge(SCORES, event, SEEN) for event in read],
        "outcomes": lambda: [verdict_builder.judged(subject, SCORES, decision, CLOCKS.now()) for subject in subjects],
        "Avro encode": lambda: [steps.encode(outcome) for outcome in judged],
        "spans": spans,
        "metrics": laps,
        "road": lambda: pipeline.outcomes(batch),
    }
    return {name: counting(stage, len(records)) for name, stage in stages.items()}


def counting(stage: Callable[[], object], count: int) -> Way:
    """Say for how many events a stage runs."""

    def way() -> int:
        stage()
        return count

    return way


def interleaved(
    ways: Mapping[str, Way], rounds: int, clock: Callable[[], float] = time.thread_time
) -> dict[str, float]:
    """Return each way's median microseconds an event, measured in turn."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = clock()
            count = way()
            taken[name].append((clock() - started) / count * 1e6)
    return {name: median(each) for name, each in taken.items()}


def apart(us: Mapping[str, float]) -> dict[str, float]:
    """Take `road` and `landing` apart, so that the stages add up to an event."""
    alone = {name: each for name, each in us.items() if name not in ("road", "loop", "poll", "commit", "landing")}
    rest = {"pipeline, the rest": us["road"] - sum(alone.values())}
    ends = {"poll": us["poll"], "loop": us["loop"], "produce": us["landing"] - us["commit"], "commit": us["commit"]}
    stages = alone | rest | ends
    return stages | {"all": sum(stages.values())}

"""Settings in, a consumer out: the one file that sees every class.

`consumer` puts what judges (`judging`) between a source and a committer.
"""

import gc
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from sluice.core.log_events import log_event
from sluice.core.metrics import Observe
from sluice.kafka import preflight
from sluice.kafka.client import (
    Config,
    OpenConsumer,
    OpenProducer,
    consumer_config,
    open_consumer,
    open_producer,
    producer_config,
    transactional_id,
)
from sluice.kafka.codec import Codec, framing_of, signing_of
from sluice.kafka.committer import Connect, KafkaCommitter
from sluice.kafka.end_offsets import EndOffsets
from sluice.kafka.expiry import Expiry
from sluice.kafka.group_offsets import Commits, silent_admin
from sluice.kafka.offset_lookup import inquirer
from sluice.kafka.source import KafkaSource
from sluice.media.fetching.fetcher import Fetcher
from sluice.moderation.pipeline import Pipeline, Steps
from sluice.moderation.verdict_metrics import VerdictMetrics
from sluice.services.moderator.judging import CLOCKS, JudgeFactories, Judging, judging
from sluice.settings import Settings
from sluice.state.crash_journal import Journal
from sluice.stream.batcher import Batcher
from sluice.stream.fuse import Fuse
from sluice.stream.lag import LagReporter
from sluice.stream.loop import Loop, Pace
from sluice.stream.loop_metrics import LoopMetrics, TimeAccounting
from sluice.stream.poison import PoisonDetector, Suspects
from sluice.stream.ports import Duty
from sluice.telemetry import export, logs
from sluice.telemetry.health import HeartbeatFile
from sluice.telemetry.metrics import Meter
from sluice.telemetry.observability import Observability

if TYPE_CHECKING:
    from sluice.models.worker import InferenceWorker


@dataclass(frozen=True, slots=True)
class Factories(JudgeFactories):
    """How a consumer's ends to the outside are opened; a trial that injects faults opens its own."""

    consumer: OpenConsumer = open_consumer
    producer: OpenProducer = open_producer


PRODUCTION = Factories()


@contextmanager
def consumer(
    settings: Settings, factories: Factories = PRODUCTION, watched: Observability | None = None
) -> Iterator[Loop]:
    """Build a consumer that is ready to run; leaving the block releases everything, the producer first.

    Raises Fatal errors: BadSettings, WeightsNotAttested, SelfTestFailed, BrokerLost, Denied.
    """
    observability = watched or Observability.of(settings)
    batching, meter, health = settings.batching, observability.meter, observability.health
    # Asked first, so that what cannot work is refused before any model is loaded.
    inbound, outbound = consumer_config(settings.kafka), producer_config(settings.kafka)
    codec, poison = _codec(settings), _poison_detector(settings)
    with ExitStack() as stack:
        preflight.check(settings.kafka, settings.topics, time.monotonic)
        worker, started = transactional_id(settings.kafka), time.monotonic()
        judge = stack.enter_context(judging(settings, worker=worker, observe=meter, factories=factories))
        observability.loaded(settings.models.bundle, time.monotonic() - started, judge.inference)
        ask = _asked(settings, judge, observability)
        fetcher = stack.enter_context(Fetcher(settings.fetch, settings.media))
        meter.ask("sluice.breaker.open", lambda: [(fetcher.resting, {})])
        threads = stack.enter_context(batch_threads(batching.max_flights, judge.inference))
        pipeline = _pipeline(settings, _steps(codec, fetcher, judge), judge, threads, meter)
        commits = stack.enter_context(closing(Commits(settings.kafka)))
        source = _source(settings, inbound, factories, commits, meter)
        # The group is left last: the next owner of our partitions starts after our last transaction.
        stack.callback(source.close)
        committer = _committer(settings, partial(factories.producer, outbound), meter)
        stack.callback(committer.close)
        committer.open(settings.kafka.connect_deadline_s)
        stack.enter_context(health.judging())
        entry = observability.entering(lambda: source.trouble, worker, settings.models.bundle)
        yield Loop(
            source,
            committer,
            pipeline.launch,
            Batcher(max_records=batching.max_records, max_bytes=batching.max_bytes),
            Fuse(settings.fuse.max_share, settings.fuse.window, settings.fuse.max_run),
            Pace(batching.max_flights, batching.drain_timeout_s, batching.retry_pause_s),
            clock=time.monotonic,
            sleep=time.sleep,
            metrics=_loop_metrics(settings, source, commits, meter),
            duties=_duties(settings, observability, judge.inference.check, ask, entry),
            poison=poison,
        )


@contextmanager
def batch_threads(flights: int, inference: "InferenceWorker", *, patience_s: float = 10.0) -> Iterator[Executor]:
    """Give each flight a thread, and let all of them go at the end.

    The inference worker is closed before they are joined: one that hangs would keep the process from leaving.
    """
    with ThreadPoolExecutor(flights, thread_name_prefix="batch") as threads:
        try:
            yield threads
        finally:
            inference.close(patience_s)


def run(settings: Settings, stopping: Callable[[], bool], factories: Factories = PRODUCTION) -> None:
    """Consume until `stopping` says so, then drain. Raises Fatal errors as they come."""
    telemetry, worker = settings.telemetry, transactional_id(settings.kafka)
    logs.configure(telemetry.log_level, telemetry.log_format)
    log_event("starting", version=version("sluice"), worker=worker, bundle=settings.models.bundle)
    observability = Observability.of(settings)
    told = export.exporting(telemetry, version("sluice"), worker, observability.meter)
    with told, observability.served(telemetry, stopping), consumer(settings, factories, observability) as loop:
        gc.collect()
        gc.freeze()  # what is built by now stays; looking at all of it again and again took a fifth of the processor
        log_event("drained", left=loop.run(observability.heeding(stopping)))


def _asked(settings: Settings, judge: Judging, observability: Observability) -> Callable[[], None]:
    """Run the self-test before the process joins the group; return the duty that repeats it."""
    if not settings.self_test.enabled:
        return lambda: None
    from sluice.services.moderator import self_test_file

    observability.health.answered("not answered yet", right=False)
    asked = self_test_file.of(
        settings.self_test, judge.decoders.known, judge.inference, judge.policy, observability.meter
    )
    self_test_file.settle(asked, judge.inference, time.sleep)
    observability.health.answered(f"{len(asked.known)} right", right=True)
    known = "itself" if asked.by_itself else "file" if settings.self_test.file else "shipped"
    log_event("self_test_passed", pictures=len(asked.known), known=known)
    return asked.turn


def _codec(settings: Settings) -> Codec:
    framing = framing_of(settings.registry, settings.topics)
    return Codec(
        framing,
        settings.topics,
        f"/sluice/{settings.kafka.group_id}",
        settings.media.max_event_bytes,
        signing_of(settings.signing),
    )


def _steps(codec: Codec, fetcher: Fetcher, judge: Judging) -> Steps:
    return Steps(
        decode=codec.decode,
        fetch=fetcher.submit,
        picture=judge.decoders.submit,
        score=judge.inference.submit,
        judge=judge.policy.judge,
        encode=codec.encode,
    )


def _pipeline(settings: Settings, steps: Steps, judge: Judging, threads: Executor, meter: Meter) -> Pipeline:
    traced = settings.telemetry.otlp and settings.telemetry.image_spans
    return Pipeline(steps, judge.verdict_builder, CLOCKS, threads, meter, traced)


def _source(
    settings: Settings, config: Config, factories: Factories, commits: Commits, observe: Observe
) -> KafkaSource:
    kafka, clock = settings.kafka, time.monotonic
    expiry = Expiry(inquirer(silent_admin(kafka), commits.ask, kafka.group_id), kafka.expired_images, observe, clock)
    return KafkaSource(partial(factories.consumer, config), settings.topics.images, kafka, expiry=expiry, clock=clock)


def _committer(settings: Settings, connect: Connect, observe: Observe) -> KafkaCommitter:
    timeout_s = settings.kafka.transaction_timeout_s
    return KafkaCommitter(connect, timeout_s=timeout_s, clock=time.monotonic, observe=observe)


def _loop_metrics(settings: Settings, source: KafkaSource, commits: Commits, meter: Meter) -> LoopMetrics:
    clock, kafka = time.monotonic, settings.kafka
    ends = EndOffsets.of(kafka, commits.ask, source.reached, every_s=settings.telemetry.lag_every_s, clock=clock)
    lag = LagReporter(ends, kafka.group_id, meter, clock, time.time)
    return LoopMetrics(meter, meter.all, lag, TimeAccounting(clock, meter), VerdictMetrics(meter, meter.all))


def _duties(
    settings: Settings,
    observability: Observability,
    check_models: Callable[[], None],
    self_test: Callable[[], None],
    look_at_group: Callable[[], None],
) -> tuple[Duty, ...]:
    """Return what this service does once a turn besides moving records."""
    heartbeat = HeartbeatFile(time.monotonic, settings.telemetry.heartbeat_file)
    return (
        Duty("check the models", check_models),
        Duty("self-test", self_test),
        Duty("look at the group", look_at_group),
        Duty("tell the probes", observability.health.turned),
        Duty("touch the heartbeat", heartbeat.beat),
    )


def _poison_detector(settings: Settings) -> PoisonDetector:
    poison = settings.poison
    suspects = Suspects(poison.deaths_before_alone, poison.deaths_alone)
    if poison.journal_folder is None:
        return PoisonDetector(suspects)
    journal = Journal(poison.journal_folder, transactional_id(settings.kafka))
    return PoisonDetector.resumed(suspects, journal.open(), journal)

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
from sluice.kafka.end_offsets import Ends
from sluice.kafka.expiry import Expiry
from sluice.kafka.group_offsets import Commits, silent_admin
from sluice.kafka.offset_lookup import inquirer
from sluice.kafka.preflight import enter
from sluice.kafka.source import KafkaSource
from sluice.media.fetching.fetcher import Fetcher
from sluice.moderation.pipeline import Pipeline, Steps
from sluice.moderation.verdict_metrics import VerdictMetrics
from sluice.services.moderator.judging import CLOCKS, JudgeOpening, Judging, judging
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
from sluice.telemetry.health import Pulse
from sluice.telemetry.metrics import Meter
from sluice.telemetry.observability import Watchers

if TYPE_CHECKING:
    from sluice.models.worker import Lane


@dataclass(frozen=True, slots=True)
class Opening(JudgeOpening):
    """How a consumer's ends to the outside are opened; a trial that injects faults opens its own."""

    consumer: OpenConsumer = open_consumer
    producer: OpenProducer = open_producer


PRODUCTION = Opening()


@contextmanager
def consumer(settings: Settings, opening: Opening = PRODUCTION, watchers: Watchers | None = None) -> Iterator[Loop]:
    """Build a consumer that is ready to run; leaving the block releases everything, the producer first.

    Raises Fatal errors: BadSettings, WeightsNotAttested, WrongCanary, BrokerLost, Denied.
    """
    watchers = watchers or Watchers.of(settings)
    batching, meter, health = settings.batching, watchers.meter, watchers.health
    # Asked first, so that what cannot work is refused before any model is loaded.
    inbound, outbound = consumer_config(settings.kafka), producer_config(settings.kafka)
    poison = _poison_detector(settings)
    with ExitStack() as stack:
        codec = _codec(settings)
        enter(settings.kafka, settings.topics, time.monotonic)
        worker, started = transactional_id(settings.kafka), time.monotonic()
        judge = stack.enter_context(judging(settings, worker=worker, observe=meter, opening=opening))
        watchers.loaded(settings.models.bundle, time.monotonic() - started, judge.lane)
        ask = _asked(settings, judge, watchers)
        fetcher = stack.enter_context(Fetcher(settings.fetch, settings.media))
        meter.ask("sluice.breaker.open", lambda: [(fetcher.resting, {})])
        threads = stack.enter_context(batch_threads(batching.max_flights, judge.lane))
        traced = settings.telemetry.otlp and settings.telemetry.image_spans
        pipeline = Pipeline(_steps(codec, fetcher, judge), judge.clerk, CLOCKS, threads, meter, traced)
        commits = stack.enter_context(closing(Commits(settings.kafka)))
        source = _source(settings, inbound, opening, commits, meter)
        # The group is left last: whoever owns our partitions next starts after our last transaction.
        stack.callback(source.close)
        committer = _committer(settings, partial(opening.producer, outbound), meter)
        stack.callback(committer.close)
        committer.open(settings.kafka.connect_deadline_s)
        stack.enter_context(health.judging())
        entry = watchers.entering(lambda: source.trouble, worker, settings.models.bundle)
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
            duties=_duties(settings, watchers, judge.lane.check, ask, entry),
            poison=poison,
        )


@contextmanager
def batch_threads(flights: int, lane: "Lane", *, patience_s: float = 10.0) -> Iterator[Executor]:
    """Give each flight a thread, and let all of them go at the end.

    The lane is closed before they are joined: one that hangs would keep the process from leaving.
    """
    with ThreadPoolExecutor(flights, thread_name_prefix="batch") as threads:
        try:
            yield threads
        finally:
            lane.close(patience_s)


def run(settings: Settings, stopping: Callable[[], bool], opening: Opening = PRODUCTION) -> None:
    """Consume until `stopping` says so, then drain. Raises Fatal errors as they come."""
    telemetry, worker = settings.telemetry, transactional_id(settings.kafka)
    logs.configure(telemetry.log_level, telemetry.log_format)
    log_event("starting", version=version("sluice"), worker=worker, bundle=settings.models.bundle)
    watchers = Watchers.of(settings)
    told = export.exporting(telemetry, version("sluice"), worker, watchers.meter)
    with told, watchers.served(telemetry, stopping), consumer(settings, opening, watchers) as loop:
        gc.collect()
        gc.freeze()  # what is built by now stays; looking at all of it again and again took a fifth of the processor
        log_event("drained", left=loop.run(watchers.heeding(stopping)))


def _asked(settings: Settings, judge: Judging, watchers: Watchers) -> Callable[[], None]:
    """Let the canaries be answered before anybody joins the group, and return what asks them further, turn by turn."""
    if not settings.canary.enabled:
        return lambda: None
    from sluice.services.moderator import self_test_file

    watchers.health.answered("not answered yet", right=False)
    asked = self_test_file.of(settings.canary, judge.decoders.known, judge.lane, judge.policy, watchers.meter)
    self_test_file.settle(asked, judge.lane, time.sleep)
    watchers.health.answered(f"{len(asked.known)} right", right=True)
    known = "itself" if asked.by_itself else "file" if settings.canary.file else "shipped"
    log_event("canaries_right", canaries=len(asked.known), known=known)
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
        score=judge.lane.submit,
        judge=judge.policy.judge,
        encode=codec.encode,
    )


def _source(settings: Settings, config: Config, opening: Opening, commits: Commits, observe: Observe) -> KafkaSource:
    kafka, clock = settings.kafka, time.monotonic
    expiry = Expiry(inquirer(silent_admin(kafka), commits.ask, kafka.group_id), kafka.expired_images, observe, clock)
    return KafkaSource(partial(opening.consumer, config), settings.topics.images, kafka, expiry=expiry, clock=clock)


def _committer(settings: Settings, connect: Connect, observe: Observe) -> KafkaCommitter:
    timeout_s = settings.kafka.transaction_timeout_s
    return KafkaCommitter(connect, timeout_s=timeout_s, clock=time.monotonic, observe=observe)


def _loop_metrics(settings: Settings, source: KafkaSource, commits: Commits, meter: Meter) -> LoopMetrics:
    clock, kafka = time.monotonic, settings.kafka
    ends = Ends.of(kafka, commits.ask, source.reached, every_s=settings.telemetry.lag_every_s, clock=clock)
    lag = LagReporter(ends, kafka.group_id, meter, clock, time.time)
    return LoopMetrics(meter, meter.all, lag, TimeAccounting(clock, meter), VerdictMetrics(meter, meter.all))


def _duties(
    settings: Settings,
    watchers: Watchers,
    check_models: Callable[[], None],
    self_test: Callable[[], None],
    look_at_group: Callable[[], None],
) -> tuple[Duty, ...]:
    """Return what this service does once a turn besides moving records."""
    heartbeat, stats = settings.telemetry.heartbeat_file, settings.telemetry.stats_file
    pulse = Pulse(time.monotonic, heartbeat=heartbeat, stats=stats, meter=watchers.meter)
    return (
        Duty("check the models", check_models),
        Duty("self-test", self_test),
        Duty("look at the group", look_at_group),
        Duty("tell the probes", watchers.health.turned),
        Duty("touch the heartbeat", pulse.beat),
    )


def _poison_detector(settings: Settings) -> PoisonDetector:
    poison = settings.poison
    suspects = Suspects(poison.deaths_before_alone, poison.deaths_alone)
    if poison.journal_folder is None:
        return PoisonDetector(suspects)
    journal = Journal(poison.journal_folder, transactional_id(settings.kafka))
    return PoisonDetector.resumed(suspects, journal.open(), journal)

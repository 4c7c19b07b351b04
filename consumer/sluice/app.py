"""Settings in, a consumer out: the one file that sees every class.

`judging` is everything that judges, without Kafka; `consumer` puts it between a source and a committer.
"""

import gc
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Protocol

from sluice.bus.admission import enter
from sluice.bus.asking import Commits, silent_admin
from sluice.bus.client import (
    Config,
    OpenConsumer,
    OpenProducer,
    consumer_config,
    open_consumer,
    open_producer,
    producer_config,
    transactional_id,
)
from sluice.bus.codec import Codec, framing_of, signing_of
from sluice.bus.committer import Connect, KafkaCommitter
from sluice.bus.expiry import Expiry
from sluice.bus.lag import Ends
from sluice.bus.places import inquirer
from sluice.bus.source import KafkaSource
from sluice.core.backlog import Backlog
from sluice.core.batcher import Batcher
from sluice.core.books import Books
from sluice.core.deadletter import Fuse
from sluice.core.domain import Picture, Provenance, Thumbnail
from sluice.core.events import tell
from sluice.core.loop import Loop, Pace
from sluice.core.outcomes import Clerk
from sluice.core.pipeline import Clocks, Pipeline, Steps
from sluice.core.poison import Suspects, Watch
from sluice.core.policy import Policy
from sluice.core.seams import Observe
from sluice.core.timesheet import Timesheet
from sluice.media.fetch import Fetcher
from sluice.media.pixels import preprocess_digest
from sluice.media.pool import DecoderPool
from sluice.models import canaries
from sluice.models.lane import Lane
from sluice.models.load import Turning, load, opinions, plugins
from sluice.policies import chosen, refuse_missing_opinions, with_plugins
from sluice.settings import Media, Models, Settings
from sluice.telemetry import export, logs
from sluice.telemetry.health import Pulse
from sluice.telemetry.journal import Journal
from sluice.telemetry.metrics import Meter
from sluice.telemetry.watchers import Watchers
from sluice_schemas import Mode

CLOCKS = Clocks(monotonic=time.monotonic, now=lambda: datetime.now(UTC))


class Decoders(Protocol):
    """What the decoders are asked."""

    def submit(self, data: bytes) -> Future[Picture]:
        """Decode an image. The future raises Unreadable, or DependencyDown when that cannot be done now."""

    def known(self, data: bytes) -> Future[Picture]:
        """Decode a picture of our own, which no limit of the settings holds for, likewise."""


class OpenDecoders(Protocol):
    """Makes decoders that end with the block."""

    def __call__(
        self, media: Media, /, *, observe: Observe, thumbnails: tuple[Thumbnail, ...]
    ) -> AbstractContextManager[Decoders]:
        """Start them."""


class OpenLane(Protocol):
    """Makes a lane."""

    def __call__(self, models: Models, /, *, observe: Observe, turning: Turning) -> Lane:
        """Load its models. Raises BadSettings or WeightsNotAttested."""


@dataclass(frozen=True, slots=True)
class Opening:
    """How a consumer's ends to the outside are opened; a trial that injects faults opens its own."""

    consumer: OpenConsumer = open_consumer
    producer: OpenProducer = open_producer
    decoders: OpenDecoders = DecoderPool
    lane: OpenLane = load


PRODUCTION = Opening()


@dataclass(frozen=True, slots=True)
class Judging:
    """What it takes to judge a picture: decoders, models, a policy, and a clerk who writes it down."""

    decoders: Decoders
    lane: Lane
    policy: Policy
    clerk: Clerk


@contextmanager
def judging(
    settings: Settings,
    *,
    worker: str,
    observe: Observe,
    preview: Thumbnail | None = None,
    opening: Opening = PRODUCTION,
) -> Iterator[Judging]:
    """Load the policy and the models and start the decoders; all end with the block.

    `preview` is a thumbnail to make besides those that plug-ins want. Raises BadSettings or
    WeightsNotAttested.
    """
    policy, settings = chosen(settings.policy), with_plugins(settings)
    further = plugins(settings.models)
    refuse_missing_opinions(policy, opinions(settings.models, further))
    with ExitStack() as stack:
        lane = opening.lane(settings.models, observe=observe, turning=policy.turning_cosines)
        stack.callback(lane.close)
        wanted = tuple(dict.fromkeys((*(model.thumbnail for model in further), *filter(None, [preview]))))
        decoders = stack.enter_context(opening.decoders(settings.media, observe=observe, thumbnails=wanted))
        provenance = Provenance(lane.provenance, preprocess_digest(settings.media.tile_above_aspect))
        letters = settings.dead_letters
        clerk = Clerk(
            policy.ref,
            provenance,
            Mode(settings.policy.mode),
            worker,
            max_value_bytes=letters.max_value_bytes,
            include_inline_images=letters.include_inline_images,
        )
        yield Judging(decoders, lane, policy, clerk)


@contextmanager
def consumer(settings: Settings, opening: Opening = PRODUCTION, watchers: Watchers | None = None) -> Iterator[Loop]:
    """Build a consumer that is ready to run; leaving the block releases everything, the producer first.

    Raises Fatal errors: BadSettings, WeightsNotAttested, WrongCanary, BrokerLost, Denied.
    """
    watchers = watchers or Watchers.of(settings)
    batching, meter, health = settings.batching, watchers.meter, watchers.health
    # Asked first, so that what cannot work is refused before any model is loaded.
    inbound, outbound = consumer_config(settings.kafka), producer_config(settings.kafka)
    watch = _watch(settings)
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
        road = Pipeline(_steps(codec, fetcher, judge), judge.clerk, CLOCKS, threads, meter, traced)
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
            road.launch,
            Batcher(max_records=batching.max_records, max_bytes=batching.max_bytes),
            Fuse(settings.fuse.max_share, settings.fuse.window, settings.fuse.max_run),
            Pace(batching.max_flights, batching.drain_timeout_s, batching.retry_pause_s),
            clock=time.monotonic,
            sleep=time.sleep,
            books=_books(settings, source, commits, meter),
            each_turn=_each_turn(settings, watchers, judge.lane.check, committer.serve, ask, entry),
            watch=watch,
        )


@contextmanager
def batch_threads(flights: int, lane: Lane, *, patience_s: float = 10.0) -> Iterator[Executor]:
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
    tell("starting", version=version("sluice"), worker=worker, bundle=settings.models.bundle)
    watchers = Watchers.of(settings)
    told = export.exporting(telemetry, version("sluice"), worker, watchers.meter)
    with told, watchers.served(telemetry, stopping), consumer(settings, opening, watchers) as loop:
        gc.collect()
        gc.freeze()  # what is built by now stays; looking at all of it again and again took a fifth of the processor
        tell("drained", left=loop.run(watchers.heeding(stopping)))


def _asked(settings: Settings, judge: Judging, watchers: Watchers) -> Callable[[], None]:
    """Let the canaries be answered before anybody joins the group, and return what asks them further, turn by turn."""
    if not settings.canary.enabled:
        return lambda: None
    watchers.health.answered("not answered yet", right=False)
    asked = canaries.of(settings.canary, judge.decoders.known, judge.lane, judge.policy, watchers.meter)
    canaries.settle(asked, judge.lane, time.sleep)
    watchers.health.answered(f"{len(asked.known)} right", right=True)
    known = "itself" if asked.by_itself else "file" if settings.canary.file else "shipped"
    tell("canaries_right", canaries=len(asked.known), known=known)
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


def _books(settings: Settings, source: KafkaSource, commits: Commits, meter: Meter) -> Books:
    clock, kafka = time.monotonic, settings.kafka
    ends = Ends.of(kafka, commits.ask, source.reached, every_s=settings.telemetry.lag_every_s, clock=clock)
    return Books(meter, meter.all, Backlog(ends, kafka.group_id, meter, clock, time.time), Timesheet(clock, meter))


def _each_turn(settings: Settings, watchers: Watchers, *duties: Callable[[], None]) -> Callable[[], None]:
    heartbeat, stats = settings.telemetry.heartbeat_file, settings.telemetry.stats_file
    pulse = Pulse(time.monotonic, heartbeat=heartbeat, stats=stats, meter=watchers.meter)

    def turn() -> None:
        for duty in duties:
            duty()
        watchers.health.turned()
        pulse.beat()

    return turn


def _watch(settings: Settings) -> Watch:
    poison = settings.poison
    suspects = Suspects(poison.deaths_before_alone, poison.deaths_alone)
    if poison.journal_folder is None:
        return Watch(suspects)
    journal = Journal(poison.journal_folder, transactional_id(settings.kafka))
    return Watch.resumed(suspects, journal.open(), journal)

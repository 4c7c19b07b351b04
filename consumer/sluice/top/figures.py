"""What an operator wants to know of one consumer and of all: how much, how late, why, and what went wrong."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sluice.stream.lag import NEVER_S
from sluice.top.recent import Recent, together
from sluice.top.scrape import READY, ScrapeFailed

Level = Literal["ok", "warn", "bad"]

READ = "messaging_client_consumed_messages_total"
VERDICTS = "sluice_verdicts_total"
AGE = "sluice_event_age_seconds"
LAG, LAG_AGE, DRAIN = "kafka_consumer_group_lag", "sluice_lag_age_seconds", "sluice_lag_drain_time_seconds"
ACTIVITY, STAGE = "sluice_activity_time_seconds_total", "sluice_stage_duration_seconds_sum"
FUSE, PAUSED, WAITING = "sluice_fuse_level", "sluice_paused", "sluice_dependency_waiting"
SELF_TEST = "sluice_self_test_answers_total"
TROUBLES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "dead letters": ("sluice_dead_letters_total", ("stage", "reason")),
    "aborted": ("sluice_transactions_aborted_total", ()),
    "recycled": ("sluice_producer_recycled_total", ("reason",)),
    "rebalances": ("sluice_rebalances_total", ("kind",)),
    "pauses": ("sluice_dependency_down_total", ("dependency",)),
    "decoder deaths": ("sluice_decoder_deaths_total", ("reason",)),
    "self_test": (SELF_TEST, ("result",)),
}
"""What may have gone wrong, the counter that tells, and the labels that tell it apart."""

OBJECTIVE_S = 10.0  # 99 % of verdicts are to be younger, by default
MOSTLY = 0.5

GPU: Mapping[str, str] = {
    "utilization": "hw_gpu_utilization",
    "memory_bytes": "hw_gpu_memory_usage_bytes",
    "memory_limit_bytes": "hw_gpu_memory_limit_bytes",
    "temperature_celsius": "hw_gpu_temperature_celsius",
    "power_watts": "hw_gpu_power_watts",
}


@dataclass(frozen=True, slots=True)
class Age:
    """Quantiles of the age of images when their verdicts were committed, seconds."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Lag:
    """A partition: records without a committed verdict, and the age of the oldest of them, seconds."""

    topic: str
    partition: int
    lag: int
    age_s: float
    consumer: str


@dataclass(frozen=True, slots=True)
class Gpu:
    """A device of one consumer; `readings` by the names of `GPU`, those that it tells."""

    consumer: str
    device: str
    readings: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Tally:
    """How often something happened: since the processes started, and of late."""

    total: int
    lately: int


@dataclass(frozen=True, slots=True)
class Figures:
    """One consumer, or several. What is counted is of the last `span_s` seconds; before there are two pages it is 0.

    `drain_s`: seconds until nothing waits, None if what waits does not get less, 0 while unknown. `time`: seconds
    a second by activity; `stages`: likewise by stage, of all batches under way, so more than one is common.
    """

    span_s: float
    read_per_s: float
    judged_per_s: float
    age: Age | None
    lag: int
    lag_age_s: float
    drain_s: float | None
    time: Mapping[str, float]
    stages: Mapping[str, float]
    verdicts: Mapping[str, int]
    troubles: Mapping[str, Mapping[str, Tally]]


@dataclass(frozen=True, slots=True)
class Consumer:
    """One consumer: how it is in a few words, the runbook for that (of `docs/runbooks`), its figures if it answers."""

    name: str
    level: Level
    state: str
    runbook: str
    figures: Figures | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """All that is seen at one moment: partitions and devices of all consumers, what waits longest first."""

    total: Figures
    consumers: tuple[Consumer, ...]
    partitions: tuple[Lag, ...]
    gpus: tuple[Gpu, ...]


def sight(answers: Mapping[str, Recent | ScrapeFailed]) -> Sight:
    """Return what the answers of consumers, by their names, say together."""
    heard = {name: answer for name, answer in answers.items() if isinstance(answer, Recent)}
    found = [lag for name, recent in heard.items() for lag in _lags(name, recent)]
    # While a partition moves, two may tell of it; the one that fears more is believed.
    partitions = {(lag.topic, lag.partition): lag for lag in sorted(found, key=lambda lag: (lag.age_s, lag.lag))}
    ordered = tuple(sorted(partitions.values(), key=lambda lag: (-lag.age_s, -lag.lag, lag.topic, lag.partition)))
    consumers = tuple(_consumer(name, answer) for name, answer in answers.items())
    drains = [recent.gauge(DRAIN) or 0.0 for recent in heard.values()]
    total = _figures(together(list(heard.values())), ordered, max(drains, default=0.0))
    gpus = tuple(gpu for name, recent in heard.items() for gpu in _gpus(name, recent))
    return Sight(total, consumers, ordered, gpus)


def _consumer(name: str, answer: Recent | ScrapeFailed) -> Consumer:
    if isinstance(answer, ScrapeFailed):
        return Consumer(name, "bad", f"no answer: {answer.why}", "SluiceReplicaDown")
    figures = _figures(answer, list(_lags(name, answer)), answer.gauge(DRAIN) or 0.0)
    return Consumer(name, *_state(answer, figures), figures)


def _figures(recent: Recent, lags: Sequence[Lag], drain_s: float) -> Figures:
    quantiles = [recent.quantile(AGE, share) for share in (0.5, 0.95, 0.99)]
    p50, p95, p99 = (value or 0.0 for value in quantiles)
    return Figures(
        span_s=recent.span_s,
        read_per_s=recent.rate(READ),
        judged_per_s=recent.rate(VERDICTS),
        age=Age(p50, p95, p99) if quantiles[0] is not None else None,
        lag=sum(lag.lag for lag in lags),
        lag_age_s=max((lag.age_s for lag in lags), default=0.0),
        drain_s=drain_s if drain_s < NEVER_S else None,
        time=_shares(recent, ACTIVITY, "activity"),
        stages=_shares(recent, STAGE, "stage"),
        verdicts={status: round(count) for status, count in recent.gains(VERDICTS, "status").items()},
        troubles={trouble: _tallies(recent, name, labels) for trouble, (name, labels) in TROUBLES.items()},
    )


def _shares(recent: Recent, name: str, label: str) -> dict[str, float]:
    return {kind: seconds / recent.span_s for kind, seconds in recent.gains(name, label).items() if recent.span_s}


def _tallies(recent: Recent, name: str, labels: Iterable[str]) -> dict[str, Tally]:
    lately = recent.gains(name, *labels)
    return {
        kind: Tally(round(total), round(lately.get(kind, 0.0))) for kind, total in recent.sums(name, *labels).items()
    }


def _lags(name: str, recent: Recent) -> Iterable[Lag]:
    ages = {_place(labels): age for labels, age in recent.series(LAG_AGE)}
    for labels, lag in recent.series(LAG):
        topic, partition = _place(labels)
        yield Lag(topic, partition, round(lag), ages.get((topic, partition), 0.0), name)


def _place(labels: Mapping[str, str]) -> tuple[str, int]:
    return labels["topic"], int(labels["partition"])


def _gpus(name: str, recent: Recent) -> Iterable[Gpu]:
    devices: dict[str, dict[str, float]] = {}
    for reading, metric in GPU.items():
        for labels, value in recent.series(metric):
            devices.setdefault(labels.get("hw_id", ""), {})[reading] = value
    return [Gpu(name, device, readings) for device, readings in sorted(devices.items())]


def _state(recent: Recent, figures: Figures) -> tuple[Level, str, str]:
    """Return in a few words how a consumer is, and a runbook; of several things, what has to be mended first."""
    if unfit := _unfit(recent):
        return "bad", *unfit
    if waiting := sorted(labels["dependency"] for labels, value in recent.series(WAITING) if value):
        return "warn", f"waits for {', '.join(waiting)}", "SluiceDependencyDown"
    if figures.lag_age_s > OBJECTIVE_S and figures.drain_s is None:
        return "warn", f"falls behind{_where(figures)}", "SluiceLagNotDraining"
    if figures.lag and recent.gauge(PAUSED):
        return "ok", "at its limit, catching up", ""
    return "ok", "judging" if figures.judged_per_s or figures.lag else "idle", ""


def _where(figures: Figures) -> str:
    """Return where most of the time goes."""
    if figures.time.get("commit", 0.0) > MOSTLY:
        return ", mostly in commit"
    most = max(figures.stages, key=lambda stage: figures.stages[stage], default="")
    return {"": "", "wait": ", waiting for the models"}.get(most, f", mostly in {most}")


def _unfit(recent: Recent) -> tuple[str, str] | None:
    """Return why a consumer may not judge, and a runbook; None if it may."""
    answers = recent.gains(SELF_TEST, "result")
    if (recent.gauge(FUSE) or 0.0) >= 1:
        return "fuse blown: too many dead letters", "SluiceFuseNearBlowing"
    if wrong := next((result for result in ("wrong", "late") if answers.get(result)), ""):
        return f"self-test {wrong}", "SluiceSelfTestFailed"
    if recent.gauge(READY) == 0:
        return "not ready: " + (", ".join(recent.failing) or "starting or leaving"), "SluiceNotReady"
    return None

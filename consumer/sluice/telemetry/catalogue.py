"""What every number means: the one table behind the instruments, `/metrics` and `docs/metrics.md`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sluice.core.metrics import MetricName

Kind = Literal["counter", "histogram", "gauge"]
Labels = Mapping[str, tuple[str, ...]]

_OPERATION = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)  # OpenTelemetry's own
_STAGE = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_AGE = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
_RECORDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
_MARGIN = (-0.2, -0.15, -0.1, -0.075, -0.05, -0.04, -0.03, -0.02, -0.01, -0.005, 0.0, 0.005, 0.01, 0.02, 0.05, 0.1)
_COSINE = (0.0, 0.05, 0.1, 0.14, 0.16, 0.18, 0.2, 0.22, 0.24, 0.26, 0.28, 0.3, 0.32, 0.34, 0.36, 0.4)
_AESTHETIC = (2.0, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 7.5, 8.0)

_KAFKA = ("kafka",)
_TOPIC: Labels = {"topic": (), "partition": ()}
_GPU: Labels = {"hw.id": ()}


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """What a metric says. `labels` gives the values of each, none where they are not known beforehand."""

    kind: Kind
    unit: str
    text: str
    labels: Labels = field(default_factory=dict)
    buckets: tuple[float, ...] = ()


def _counter(unit: str, text: str, labels: Labels | None = None) -> MetricSpec:
    return MetricSpec("counter", unit, text, labels or {})


def _gauge(unit: str, text: str, labels: Labels | None = None) -> MetricSpec:
    return MetricSpec("gauge", unit, text, labels or {})


def _histogram(unit: str, text: str, buckets: tuple[float, ...], labels: Labels | None = None) -> MetricSpec:
    return MetricSpec("histogram", unit, text, labels or {}, buckets)


METRICS: Mapping[MetricName, MetricSpec] = {
    "messaging.client.consumed.messages": _counter(
        "{message}",
        "Records read",
        {
            "messaging.system": _KAFKA,
            "messaging.operation.name": ("poll",),
            "messaging.destination.name": (),
            "messaging.consumer.group.name": (),
        },
    ),
    "messaging.client.sent.messages": _counter(
        "{message}",
        "Records committed, by topic",
        {"messaging.system": _KAFKA, "messaging.operation.name": ("send",), "messaging.destination.name": ()},
    ),
    "messaging.client.operation.duration": _histogram(
        "s",
        "Duration of a poll that returned records, and of a commit that succeeded",
        _OPERATION,
        {"messaging.system": _KAFKA, "messaging.operation.name": ("poll", "commit")},
    ),
    "messaging.process.duration": _histogram(
        "s",
        "Duration of one batch, from its launch to its outcomes",
        _OPERATION,
        {"messaging.system": _KAFKA, "messaging.operation.name": ("process",)},
    ),
    "kafka.consumer_group.lag": _gauge(
        "{message}", "Records of an assigned partition without a committed verdict", {**_TOPIC, "group": ()}
    ),
    "sluice.lag.age": _gauge(
        "s", "Age of the oldest record of an assigned partition without a committed verdict, 0 when none waits", _TOPIC
    ),
    "sluice.lag.drain_time": _gauge(
        "s", "Time until nothing waits at the rates of the last minute; a week stands for never"
    ),
    "sluice.event.age": _histogram("s", "Age of each input record when its verdict was committed", _AGE),
    "sluice.activity.time": _counter(
        "s",
        "Where the loop's time goes; the sum grows by one second a second",
        {"activity": ("poll", "work", "backpressure", "commit", "idle")},
    ),
    "sluice.partitions.assigned": _gauge("{partition}", "Partitions that are ours"),
    "sluice.rebalances": _counter(
        "{rebalance}", "Times partitions were assigned, revoked or lost", {"kind": ("assigned", "revoked", "lost")}
    ),
    "sluice.batch.records": _histogram(
        "{record}",
        "Records of a batch, by the reason it was cut",
        _RECORDS,
        {"reason": ("count", "bytes", "greedy", "alone")},
    ),
    "sluice.flights": _gauge("{batch}", "Batches under way"),
    "sluice.paused": _gauge("{replica}", "Whether back-pressure holds the partitions paused, 0 or 1"),
    "sluice.stage.duration": _histogram(
        "s",
        "Duration of one stage of a batch",
        _STAGE,
        {"stage": ("fetch", "decode", "wait", "model", "policy")},
    ),
    "sluice.commit.duration": _histogram("s", "Duration of a landing: one transaction", _OPERATION),
    "sluice.commit.records": _histogram("{record}", "Records of a landing", _RECORDS),
    "sluice.transactions.aborted": _counter("{transaction}", "Landings that were aborted and tried again"),
    "sluice.producer.recycled": _counter(
        "{producer}",
        "Producers closed and built anew because the end of a transaction was in doubt",
        {"reason": ("slow", "retriable", "unanswered", "abort_failed", "client_error")},
    ),
    "sluice.verdicts": _counter(
        "{verdict}",
        "Verdicts committed; the generator is the event's model_id, `other` beyond the first 20 of a process",
        {"status": (), "generator": ()},
    ),
    "sluice.dead_letters": _counter("{record}", "Records that could not be judged", {"stage": (), "reason": ()}),
    "sluice.records.expired": _counter(
        "{record}", "Offsets that the brokers deleted before they were read: images without a verdict", _TOPIC
    ),
    "sluice.fuse.level": _gauge("{limit}", "Largest share used of a limit of the fuse; at 1 it is blown"),
    "sluice.margin": _histogram(
        "1", "Margin of each judged image's nearest concept; below 0 no concept is present", _MARGIN
    ),
    "sluice.clip.cosine": _histogram("1", "CLIP's agreement with the prompt, per judged image that has one", _COSINE),
    "sluice.aesthetic.score": _histogram("1", "Aesthetic score per judged image, where configured", _AESTHETIC),
    "sluice.dependency.down": _counter(
        "{pause}", "Pauses begun because a dependency was not available", {"dependency": ()}
    ),
    "sluice.dependency.waiting": _gauge(
        "{dependency}", "Whether batches wait for a dependency, 0 or 1", {"dependency": ()}
    ),
    "sluice.breaker.open": _gauge("{store}", "Stores that are given a rest after a run of failures"),
    "sluice.inference.images": _counter("{image}", "Images scored, two known pictures a minute among them"),
    "sluice.inference.rechecks": _counter(
        "{image}", "Images near a threshold, of which tiles were scored again in float32"
    ),
    "sluice.inference.splits": _counter("{batch}", "Forward passes halved for want of device memory"),
    "sluice.inference.non_finite": _counter("{image}", "Images with scores that were not finite"),
    "sluice.inference.no_direction": _counter(
        "{image}", "Images with an embedding, theirs or the prompt's, that was zero or of no sane length"
    ),
    "sluice.decoder.deaths": _counter(
        "{process}",
        "Decoder processes that died or were killed",
        {"reason": ("decoder_crash", "decode_stalled", "decode_timeout")},
    ),
    "sluice.model.load.time": _gauge("s", "Time the models took to verify, load and look once"),
    "sluice.ready": _gauge("{replica}", "Whether this process is able to judge, 0 or 1"),
    "sluice.self_test.answers": _counter(
        "{answer}", "Known pictures judged, by how they were answered", {"result": ("right", "wrong", "late")}
    ),
    "hw.gpu.utilization": _gauge("1", "Share of the time the GPU was busy, 0 to 1", _GPU),
    "hw.gpu.memory.usage": _gauge("By", "GPU memory in use, by all processes", _GPU),
    "hw.gpu.memory.limit": _gauge("By", "GPU memory there is", _GPU),
    "hw.gpu.temperature": _gauge("Cel", "Temperature of the GPU", _GPU),
    "hw.gpu.power": _gauge("W", "Power the GPU draws", _GPU),
    "process.cpu.time": _counter("s", "Processor time of this process, decoders aside"),
    "process.memory.usage": _gauge("By", "Resident memory of this process, decoders aside"),
    "process.start_time": _gauge("s", "When this process started, seconds since 1970"),
}

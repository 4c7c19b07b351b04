"""What is worth a line in the log: every event has one name, one level, one meaning and its fields.

Names and fields are a contract for searches of the log and alarms by it; other lines are for people.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sluice.core.records import Headers, Partition
from sluice_schemas import read_trace

EventName = Literal[
    "starting",
    "serving",
    "models_loaded",
    "demonstration_weights",
    "self_test_passed",
    "ready",
    "partitions_assigned",
    "partitions_revoked",
    "partitions_lost",
    "images_expired",
    "position_reset",
    "paused",
    "resumed",
    "dependency_down",
    "dependency_up",
    "dead_letter",
    "transaction_aborted",
    "producer_recycled",
    "died_in_flight",
    "journal_begun_anew",
    "fuse_blown",
    "self_test_failed",
    "stopped",
    "draining",
    "drained",
]


@dataclass(frozen=True, slots=True)
class LogEventSpec:
    """What an event says; with `every_s` at most one line is written in so many seconds."""

    level: int
    text: str
    fields: tuple[str, ...] = ()
    every_s: float = 0.0


_I, _W, _E = logging.INFO, logging.WARNING, logging.ERROR

EVENTS: Mapping[EventName, LogEventSpec] = {
    "starting": LogEventSpec(_I, "The process begins; the models come next", ("version", "worker", "bundle")),
    "serving": LogEventSpec(_I, "Probes and metrics are answered over HTTP from now on", ("host", "port")),
    "models_loaded": LogEventSpec(_I, "Weights are attested, models loaded", ("bundle", "seconds")),
    "demonstration_weights": LogEventSpec(
        _W,
        "The bundle is `starter`, which knows drawn scenes only: on photographs and other pictures its verdicts mean"
        " nothing; `advice` names what brings real models",
        ("bundle", "advice"),
    ),
    "self_test_passed": LogEventSpec(
        _I,
        "The known pictures were answered right for the first time; `known` says by whom the answers are: `shipped`,"
        " `file`, or `itself`, its own first ones",
        ("pictures", "known"),
    ),
    "ready": LogEventSpec(_I, "The group has let this replica in: images are judged from now on", ("worker", "bundle")),
    "partitions_assigned": LogEventSpec(_I, "These partitions are this replica's", ("partitions",)),
    "partitions_revoked": LogEventSpec(
        _I, "These go to another replica, in order: what was finished has landed", ("partitions",)
    ),
    "partitions_lost": LogEventSpec(
        _W,
        "These were taken without a word, since the brokers did not hear of this replica for a session; what is in"
        " flight of them is dropped here and judged by their next owner",
        ("partitions",),
    ),
    "images_expired": LogEventSpec(
        _E,
        "The brokers deleted these offsets before they were read (retention, or by hand): no verdict and no dead letter"
        " of theirs will come; the markers of transactions among them count, too",
        ("topic", "partition", "first", "last", "count"),
    ),
    "position_reset": LogEventSpec(
        _W,
        "The partition ends before the offset where reading was to go on: the topic was made anew, or lost its newest"
        " records; reading goes on at `found`, and images that had a verdict may be judged again",
        ("topic", "partition", "expected", "found"),
    ),
    "paused": LogEventSpec(_I, "Back-pressure: every flight is under way, nothing more is read for now", every_s=60),
    "resumed": LogEventSpec(_I, "There is room again, reading goes on", every_s=60),
    "dependency_down": LogEventSpec(
        _W, "Images wait for it, and are tried again by themselves", ("dependency", "error", "again_s"), every_s=60
    ),
    "dependency_up": LogEventSpec(_I, "No image waits for it any more", ("dependency",), every_s=60),
    "dead_letter": LogEventSpec(
        _W,
        "A record could not be judged: its verdict is INDETERMINATE; `sluice dlq show` tells more",
        ("topic", "partition", "offset", "stage", "reason", "trace_id"),
    ),
    "transaction_aborted": LogEventSpec(_W, "Nothing of a landing was published; it is tried again", ("error",)),
    "producer_recycled": LogEventSpec(
        _W, "A commit was in doubt: the producer is closed, and a new one fences it", ("reason", "error")
    ),
    "died_in_flight": LogEventSpec(
        _W, "The last life of this process died with these records in flight: poison, or an accident", ("records",)
    ),
    "journal_begun_anew": LogEventSpec(
        _W,
        "The poison journal could not be read or understood: it was damaged, or something else wrote there. It is begun"
        " anew, and what earlier lives died of is forgotten",
        ("file", "error"),
    ),
    "fuse_blown": LogEventSpec(
        _E,
        "Too many dead letters: something else is broken, nothing of the last landing is published",
        ("error", "exit_code"),
    ),
    "self_test_failed": LogEventSpec(
        _E, "A known picture was answered wrong or too late: nothing further is published", ("error", "exit_code")
    ),
    "stopped": LogEventSpec(_E, "The process leaves for another reason", ("error", "exit_code")),
    "draining": LogEventSpec(_I, "A signal asked for the end: nothing more is read, what is in flight lands"),
    "drained": LogEventSpec(_I, "The process leaves in order; `left` flights did not land in time", ("left",)),
}

_logger = logging.getLogger("sluice")


def log_event(event: EventName, **fields: str | float | None) -> None:
    """Log an event; fields carry no user data, those that are None are left out."""
    said = {name: value for name, value in fields.items() if value is not None}
    _logger.log(EVENTS[event].level, event, extra=said)


def places(partitions: Collection[Partition]) -> str:
    """Return partitions in words: `images/0,1,2`."""
    by_topic: dict[str, list[int]] = {}
    for partition in sorted(partitions):
        by_topic.setdefault(partition.topic, []).append(partition.index)
    return " ".join(f"{topic}/{','.join(map(str, indices))}" for topic, indices in by_topic.items())


def trace_id(headers: Headers) -> str | None:
    """Return the id of the trace that a record belongs to, None if it belongs to none."""
    trace = read_trace(headers)
    return trace.trace_id if trace else None


def markdown() -> str:
    """Return the table of all events."""
    return "\n".join([_HEAD, *map(_row, EVENTS)]) + "\n"


def _row(event: EventName) -> str:
    meaning = EVENTS[event]
    fields: Sequence[str] = [f"`{name}`" for name in meaning.fields]
    level = logging.getLevelName(meaning.level).lower()
    often = f" At most one line in {meaning.every_s:g} s." if meaning.every_s else ""
    return f"| `{event}` | {level} | {meaning.text}.{often} | {', '.join(fields)} |"


_HEAD = """\
# The log

Made by `sluice config logs`; a test keeps it in step with the code.

One JSON object a line on standard error (`telemetry.log_format`), with `event`, `level`, `timestamp`, the fields below,
and `trace_id` and `span_id` where the line belongs to a trace. Names and fields stay; all other lines are for people.
Where a name comes at most once in a while, `more` counts those that were left out since the last. Nothing of a prompt,
a picture, a query string or a secret is ever in a line.

| event | level | it says | fields |
|---|---|---|---|"""

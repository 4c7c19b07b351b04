"""`sluice lag`: how many images wait in each partition, for how long, and who should read them."""

import time
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.cli.frame import AsJson, emit, say, settings_of, show
from sluice.core.deadline import Deadline

if TYPE_CHECKING:
    from sluice.kafka.group_lag import GroupLag
    from sluice.settings import Settings


def lag(
    context: typer.Context,
    group: Annotated[str, typer.Option(metavar="GROUP", help="Another group than kafka.group_id.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show what of the images topic has no committed verdict yet: offsets, lag, age and owner of every partition.

    It only looks: it joins no group, commits nothing and needs no running consumer. `end` is the high watermark, so
    images behind an open transaction wait, too. `oldest` is the age of the oldest image that waits; only who may read
    the images topic sees it, as the consumer's user, the rest is for roles monitoring and operator, too. Exit status 69
    without a broker, 77 without permission, 78 without the topic.
    """
    settings = settings_of(context)
    seen = _look(settings, group or settings.kafka.group_id)
    now_ms = time.time() * 1000
    rows = _rows(seen, now_ms)
    if as_json:
        emit(_plain(seen, now_ms) | {"partitions": rows})
    else:
        columns = ("partition", "committed", "end", "lag", "oldest", "owner")
        total = ("total", "", "", seen.lag, _words(_age_s(seen.oldest_ms, now_ms)), seen.state.lower())
        show(columns, [*((*list(row.values())[:4], _words(row["oldest_s"]), row["owner"]) for row in rows), total])
    for note in _notes(seen):
        say(note)


def _look(settings: "Settings", group: str) -> "GroupLag":
    from sluice.kafka.client import open_consumer
    from sluice.kafka.group_lag import TIMEOUT_S, backlog, with_ages
    from sluice.kafka.group_offsets import Commits
    from sluice.kafka.preflight import connect

    kafka = settings.kafka
    admin = connect(kafka, TIMEOUT_S, time.monotonic)
    with closing(Commits(kafka.model_copy(update={"group_id": group}), stable=False)) as commits:
        seen = backlog(admin, commits.ask, group, settings.topics.images)
    if not seen.lag:
        return seen
    deadline = Deadline.after(TIMEOUT_S, time.monotonic)
    return with_ages(seen, kafka, lambda config: open_consumer(config, lambda _: None), deadline)


def _plain(seen: "GroupLag", now_ms: float) -> dict[str, Any]:
    oldest_s = _age_s(seen.oldest_ms, now_ms)
    return {
        "group": seen.group,
        "topic": seen.topic,
        "state": seen.state.lower(),
        "lag": seen.lag,
        "oldest_s": oldest_s,
    }


def _rows(seen: "GroupLag", now_ms: float) -> list[dict[str, Any]]:
    return [
        {
            "partition": each.partition,
            "committed": each.committed,
            "end": each.end,
            "lag": each.lag,
            "oldest_s": _age_s(each.oldest_ms, now_ms),
            "owner": each.owner,
            "expired": each.expired,
            "undecided": each.undecided,
        }
        for each in seen.partitions
    ]


def _age_s(timestamp_ms: int | None, now_ms: float) -> float | None:
    """Return an age in seconds, none of it negative: the clock that stamped it may be ahead of ours."""
    return None if timestamp_ms is None else round(max(0.0, now_ms - timestamp_ms) / 1000, 3)


def _words(seconds: float | None) -> str:
    from sluice.report.terminal import in_words

    return "" if seconds is None else in_words(seconds)


def _notes(seen: "GroupLag") -> list[str]:
    notes = []
    if not seen.known:
        notes.append(f"note: the brokers know no group {seen.group}; all images that are there would be judged")
    if seen.ages_denied:
        notes.append(f"note: only who may read topic {seen.topic} sees ages; the consumer's user may")
    notes += [
        f"note: {each.undecided} offsets of partition {each.partition} wait until an open transaction ends; "
        "if it hangs: kafka-transactions.sh find-hanging"
        for each in seen.partitions
        if each.undecided
    ]
    notes += [
        f"note: {each.expired} records of partition {each.partition} were deleted before their verdict"
        for each in seen.partitions
        if each.expired
    ]
    return notes

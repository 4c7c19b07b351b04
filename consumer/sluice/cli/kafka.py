"""How commands reach the topics. Heavy: imported by a command when it runs."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from sluice.cli.frame import say
from sluice.core.errors import Undecodable
from sluice.core.records import Record
from sluice.kafka.client import open_consumer, reader_config
from sluice.kafka.codec import Codec, framing_of
from sluice.kafka.reader import Reader, Start
from sluice.settings import Settings
from sluice_schemas import DeadLetter, Event, Quality, Verdict

SOURCE = "/sluice/cli"
E = TypeVar("E", bound=Event)
Stopping = Callable[[], bool]


def topic_of(settings: Settings, kind: type[E]) -> str:
    """Return the topic that carries events of this kind."""
    topics: dict[type, str] = {
        Verdict: settings.topics.verdicts,
        Quality: settings.topics.quality,
        DeadLetter: settings.topics.dead_letters,
    }
    return topics[kind]


def events(
    settings: Settings, kind: type[E], start: Start, *, follow: bool, stopping: Stopping
) -> Iterator[tuple[Record, E]]:
    """Yield the events of one kind with the records that carried them; one that cannot be read is said and skipped."""
    codec = Codec(
        framing_of(settings.registry, settings.topics), settings.topics, SOURCE, settings.media.max_event_bytes
    )
    reader = Reader(open_consumer(reader_config(settings.kafka), lambda _: None), topic_of(settings, kind))
    try:
        for record in reader.records(start, follow=follow, stopping=stopping):
            try:
                yield record, codec.read(record, kind)
            except Undecodable as error:
                say(f"{record.partition.topic}/{record.partition.index}/{record.offset}: {error}")
    finally:
        reader.close()


@contextmanager
def until_interrupted() -> Iterator[Stopping]:
    """Turn the first Ctrl-C into an answer instead of an exception; the second leaves at once."""
    stopped = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        if stopped:
            os._exit(128 + signal.SIGINT)
        stopped = True

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield lambda: stopped
    finally:
        signal.signal(signal.SIGINT, before)

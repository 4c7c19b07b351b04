"""A watch over the group's committed offsets while everything runs."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from time import monotonic
from typing import Any

from confluent_kafka import KafkaException

from tests.chaos.group import Group

EVERY_S = 0.1
NOTHING: Mapping[int, int] = {}


class Watch:
    """Asks for the offsets again and again and compares; an outage of the brokers leaves a gap and nothing else.

    `back` counts offsets below an earlier one. `behind` counts partitions in which an output could be read before the
    offset of its record was committed: it asks for stable offsets, which the brokers hold back while a transaction
    that changes them is under way, so one asked for after its output was read must be there.
    """

    def __init__(self, group: Group, answered: Callable[[], Mapping[int, int]]) -> None:
        self._group = group
        self._answered = answered
        self._asked: Future[Any] | None = None
        self._seen: Mapping[int, int] = NOTHING
        self._last: dict[int, int] = {}
        self._next_s = 0.0
        self.samples = self.back = self.behind = 0

    def turn(self) -> None:
        """Take an answer in, or ask when it is time; never waits."""
        if self._asked and self._asked.done():
            self._take(self._asked)
            self._asked = None
        elif not self._asked and monotonic() >= self._next_s:
            self._next_s = monotonic() + EVERY_S
            self._seen = dict(self._answered())
            self._asked = self._group.ask_stable()

    def compare(self, committed: Mapping[int, int]) -> None:
        """Compare offsets with those before, and with what had been answered when they were asked for."""
        self.samples += 1
        self.back += sum(offset < self._last.get(index, 0) for index, offset in committed.items())
        self.behind += sum(offset <= self._seen.get(index, -1) for index, offset in committed.items())
        self._last |= committed

    def _take(self, answer: Future[Any]) -> None:
        try:
            self.compare(self._group.offsets_in(answer.result()))
        except KafkaException:
            return

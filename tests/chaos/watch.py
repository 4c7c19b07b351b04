"""A watch over the group's committed offsets while everything runs."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException

EVERY_S = 0.1


class Watch:
    """Asks for the offsets again and again, in a thread of its own, and compares; leaving the block ends it.

    `back` counts offsets below an earlier one. `behind` counts partitions in which an output could be read before the
    offset of its record was committed: it asks for stable offsets, which the brokers hold back while a transaction
    that changes them is under way, so one asked for after its output was read must be there. An outage of the brokers
    leaves a gap between `samples`, nothing else.
    """

    def __init__(
        self,
        committed: Callable[[], Mapping[int, int]],
        answered: Callable[[], Mapping[int, int]],
        *,
        every_s: float = EVERY_S,
    ) -> None:
        self._committed = committed
        self._answered = answered
        self._every_s = every_s
        self._last: dict[int, int] = {}
        self.samples = self.back = self.behind = 0
        self._over = Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="watch")
        self._watching = self._thread.submit(self._watch)

    def look(self) -> None:
        """Ask once and compare with what went before."""
        answered = dict(self._answered())
        try:
            committed = self._committed()
        except KafkaException:
            return
        self.samples += 1
        self.back += sum(offset < self._last.get(index, 0) for index, offset in committed.items())
        self.behind += sum(offset <= answered.get(index, -1) for index, offset in committed.items())
        self._last |= committed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Watch no more; raises what ended it before."""
        self._over.set()
        self._thread.shutdown()
        self._watching.result()

    def _watch(self) -> None:
        while not self._over.wait(self._every_s):
            self.look()

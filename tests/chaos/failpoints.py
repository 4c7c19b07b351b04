"""Fail-points: places on the road of a record where a life ends itself as `kill -9` would, when it is told to.

They exist in these wrappers only. What ships has none: the wrappers stand where production opens its Kafka clients,
its decoders and its inference worker (`sluice.services.moderator.app.Factories`).
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Any

from confluent_kafka import Consumer, Message, Producer

from sluice.kafka.client import Config, OnError, reports_to

POINTS = (
    "after_poll",
    "after_fetch",
    "mid_decode",
    "before_lane",
    "after_lane",
    "after_begin",
    "after_first_produce",
    "after_last_produce",
    "before_send_offsets",
    "after_send_offsets",
    "before_commit",
    "in_commit",
    "after_commit",
    "in_on_revoke",
)
"""In the order a record passes them, the last one apart. After a produce means: it stands in the log, uncommitted.
In commit means: EndTxn is asked for and not answered."""


@dataclass(frozen=True, slots=True)
class Order:
    """Die at `point`, when it is passed for the `passage`-th time from now; in a commit, so long after it began."""

    point: str
    passage: int = 1
    delay_s: float = 0.0


def end_at_once() -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


class Trap:
    """Asked at every point; the one it is set for ends the process. `last_words` takes the point's name just before."""

    def __init__(self, last_words: Callable[[str], None], end: Callable[[], None] = end_at_once) -> None:
        self._last_words = last_words
        self._end = end
        self._lock = Lock()
        self._order: Order | None = None
        self._passed = 0

    def set(self, order: Order) -> None:
        """Follow an order from now on; safe from any thread."""
        with self._lock:
            self._order, self._passed = order, 0

    def __call__(self, point: str, first: Callable[[], object] = lambda: None) -> None:
        """Pass a point; `first` is done only by a life that ends here."""
        if self._due(point):
            first()
            self.end(point)

    @contextmanager
    def during(self, point: str) -> Iterator[None]:
        """Pass a point that lasts. A life that would outlast the block tries again at the next passage, sooner."""
        order = self._due(point)
        if not order:
            yield
            return
        over = Event()

        def strike() -> None:
            if not over.wait(order.delay_s):
                self.end(point)

        Thread(target=strike, daemon=True).start()
        yield
        over.set()
        self.set(Order(point, delay_s=order.delay_s / 2))

    def end(self, last_words: str) -> None:
        """End the process here and now."""
        self._last_words(last_words)
        self._end()

    def _due(self, point: str) -> Order | None:
        with self._lock:
            if not self._order or self._order.point != point:
                return None
            self._passed += 1
            return self._order if self._passed >= self._order.passage else None


class MortalConsumer(Consumer):
    """A consumer with fail-points."""

    def __init__(self, config: Config, at: Trap) -> None:
        super().__init__(config)
        self._at = at

    def consume(self, *args: Any, **named: Any) -> list[Message]:
        messages: list[Message] = super().consume(*args, **named)
        self._at("after_poll")
        return messages

    def subscribe(self, topics: list[str], *args: Any, **named: Any) -> None:
        on_revoke: Callable[..., None] = named["on_revoke"]

        def revoke(*revoked: Any) -> None:
            self._at("in_on_revoke")
            on_revoke(*revoked)
            self._at("in_on_revoke")

        super().subscribe(topics, *args, **named | {"on_revoke": revoke})


class MortalProducer(Producer):
    """A transactional producer with fail-points."""

    def __init__(self, config: Config, at: Trap) -> None:
        super().__init__(config)
        self._at = at
        self._produced = 0

    def begin_transaction(self) -> None:
        super().begin_transaction()
        self._produced = 0
        self._at("after_begin")

    def produce(self, *args: Any, **named: Any) -> None:
        super().produce(*args, **named)
        self._produced += 1
        if self._produced == 1:
            self._at("after_first_produce", self.flush)

    def send_offsets_to_transaction(self, *args: Any) -> None:
        self._at("after_last_produce", self.flush)
        self._at("before_send_offsets")
        super().send_offsets_to_transaction(*args)
        self._at("after_send_offsets")

    def commit_transaction(self, *args: Any) -> None:
        self._at("before_commit")
        with self._at.during("in_commit"):
            super().commit_transaction(*args)
        self._at("after_commit")


@dataclass(frozen=True, slots=True)
class Mortal:
    """Opens clients that ask this trap; a `deaf` one keeps a producer's errors to itself."""

    at: Trap
    deaf: bool = False

    def consumer(self, config: Config, on_error: OnError) -> Consumer:
        """Make a consumer with fail-points."""
        return MortalConsumer(config | {"error_cb": on_error}, self.at)

    def producer(self, config: Config, on_error: OnError) -> Producer:
        """Make a producer with fail-points."""
        return MortalProducer(config | reports_to((lambda _: None) if self.deaf else on_error), self.at)

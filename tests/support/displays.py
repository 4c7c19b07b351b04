"""The display services of the pages, exactly as they stand there, running against a broker."""

import ctypes
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0


def code_of(page: str) -> str:
    """Return the one Python example of a page."""
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    return str(code)


def until(true: Callable[[], bool], what: str) -> None:
    """Wait for it; what does not come in two minutes never does."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, f"not within {PATIENCE_S:g} s: {what}"
        time.sleep(0.02)


class _Killed(BaseException):
    """What ends a follower wherever it is."""


class Display:
    """One process of a display service: the page's names, and its follower in a thread."""

    page = "README.md"
    store = "view"

    def __init__(self, brokers: str, topic: str) -> None:
        self.names: dict[str, Any] = {"__name__": "page"}
        exec(compile(code_of(self.page), self.page, "exec"), self.names)  # noqa: S102 -- our own page
        self.names["TOPIC"] = topic
        self._thread = Thread(target=self._live, args=(brokers, topic), daemon=True)

    def start(self) -> "Display":
        self._thread.start()
        until(lambda: self.replayed, f"{self.page} has replayed the topic")
        return self

    @property
    def replayed(self) -> bool:
        return bool(self.names[self.store].replayed)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def shows(self, image_id: str, data: bytes = b"bytes") -> bool:
        return bool(self.names["show"](image_id, data))

    def stop(self) -> None:
        """Kill the follower where it stands, as an error in it would."""
        if self._thread.ident and self.alive:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread.ident), ctypes.py_object(_Killed))
            self._thread.join(PATIENCE_S)
            assert not self.alive

    def _live(self, brokers: str, topic: str) -> None:
        with suppress(_Killed):
            self._run(brokers, topic)

    def _run(self, brokers: str, topic: str) -> None:
        del topic
        self.names["follow"](brokers, "display")


class Restarting(Display):
    """The service of the contract's page, fed as README's loop does it; it starts with what another one has stored."""

    page = "schemas/README.md"
    store = "gate"

    def __init__(self, brokers: str, topic: str, before: Display | None = None) -> None:
        super().__init__(brokers, topic)
        if before:
            stored = before.names["store"]
            self.names["start"](list(stored.values()), dict(before.names["gate"].positions))
            self.names["store"].update(stored)

    def _run(self, brokers: str, topic: str) -> None:
        names, reading = self.names, {"auto.offset.reset": "error", "isolation.level": "read_committed"}
        own = {"group.id": "display", "enable.auto.commit": False, "enable.partition.eof": True}
        consumer = Consumer({"bootstrap.servers": brokers} | own | reading)
        try:
            while True:
                with suppress(KafkaException):
                    numbers = consumer.list_topics(topic, 5).topics[topic].partitions
                    marks = {n: consumer.get_watermark_offsets(TopicPartition(topic, n), 5) for n in numbers}
                    starts, ends = ({n: both[side] for n, both in marks.items()} for side in (0, 1))
                    if names["on_ends"](starts, ends) or len(numbers) != len(consumer.assignment()):
                        at = names["gate"].positions
                        consumer.assign([TopicPartition(topic, n, at.get(n, OFFSET_BEGINNING)) for n in numbers])
                for message in consumer.consume(1000, 0.5):
                    self._take(message)
        finally:
            names["on_ends"]({}, {})
            consumer.close()

    def _take(self, message: Any) -> None:
        if not message.error():
            self.names["on_verdict"](message.key(), message.value(), tuple(message.headers() or ()))
            self.names["on_position"](message.partition(), message.offset() + 1)
        elif message.error().code() == KafkaError._PARTITION_EOF:
            self.names["on_position"](message.partition(), message.offset())

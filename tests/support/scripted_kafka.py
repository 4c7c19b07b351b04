"""Stand-ins for librdkafka's Producer and Consumer that do what a test's script says."""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

Step = KafkaError | Callable[[], None]

RETRIABLE = KafkaError(KafkaError._TIMED_OUT, "retriable", retriable=True)
ABORTABLE = KafkaError(KafkaError.ILLEGAL_GENERATION, "abortable", txn_requires_abort=True)
FATAL = KafkaError(KafkaError.INVALID_TXN_STATE, "fatal", fatal=True)
FENCED = KafkaError(KafkaError._FENCED, "fenced", fatal=True)
UNKNOWN = KafkaError(KafkaError.UNKNOWN, "something else")
TOO_LARGE = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, "too large")
DOWN = KafkaError(KafkaError._ALL_BROKERS_DOWN, "all down")


def refusals_to_another_thread(call: Callable[[], object]) -> list[RuntimeError]:
    """Make the call in a thread of its own; return the RuntimeErrors it was refused with."""
    refused: list[RuntimeError] = []

    def trespass() -> None:
        try:
            call()
        except RuntimeError as error:
            refused.append(error)

    thread = threading.Thread(target=trespass)
    thread.start()
    thread.join()
    return refused


class Script:
    """What is to happen at the next calls of each name, and which calls were made."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.steps: defaultdict[str, deque[Step]] = defaultdict(deque)

    def plan(self, name: str, *steps: Step) -> None:
        """Queue what the next calls of `name` do: raise an error or run something."""
        self.steps[name].extend(steps)

    def call(self, name: str) -> None:
        """Make a call."""
        self.calls.append(name)
        step = self.steps[name].popleft() if self.steps[name] else None
        if isinstance(step, KafkaError):
            raise KafkaException(step)
        if step:
            step()


class ScriptedProducer:
    """A transactional producer."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.on_delivery: Callable[[KafkaError | None, Any], None] = lambda *_: None

    def init_transactions(self, timeout: float) -> None:
        del timeout
        self.script.call("init")

    def begin_transaction(self) -> None:
        self.script.call("begin")

    def produce(self, *_: object, on_delivery: Callable[[KafkaError | None, Any], None], **__: object) -> None:
        self.on_delivery = on_delivery
        self.script.call("produce")

    def send_offsets_to_transaction(self, offsets: list[TopicPartition], group: object) -> None:
        del offsets, group
        self.script.call("offsets")

    def commit_transaction(self, timeout: float) -> None:
        assert timeout >= 0, "librdkafka takes -1 for endless"
        self.script.call("commit")

    def abort_transaction(self, timeout: float) -> None:
        assert timeout >= 0, "librdkafka takes -1 for endless"
        self.script.call("abort")

    def poll(self, timeout: float) -> int:
        self.script.call("serve" if timeout == 0 else "poll")
        return 0

    def flush(self, timeout: float) -> int:
        del timeout
        self.script.call("flush")
        return 0

    def purge(self) -> None:
        self.script.call("purge")


class Received:
    """A message as the consumer hands it out."""

    def __init__(self, partition: int, offset: int, *, error: KafkaError | None = None, headers: Any = None) -> None:
        self._partition = partition
        self._offset = offset
        self._error = error
        self._headers = headers

    def __len__(self) -> int:
        """Return the length of the value, as the real one does: a message without bytes is falsy."""
        return 0

    def topic(self) -> str:
        return "t"

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, 1000

    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes:
        return b"v"

    def headers(self) -> Any:
        if isinstance(self._headers, BaseException):
            raise self._headers
        return self._headers

    def error(self) -> KafkaError | None:
        return self._error


class ScriptedConsumer:
    """A group member: `incoming` is what poll and consume hand out, functions in it run as callbacks do."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[int, ...]]] = []
        self.incoming: deque[Received | Callable[[], None]] = deque()
        self.metadata: KafkaError | None = None
        self.generation = -1
        self.topic_error: KafkaError | None = None
        self.seeking: KafkaError | None = None
        self.on_assign: Callable[..., None]
        self.on_revoke: Callable[..., None]
        self.on_lost: Callable[..., None]

    def consumer_group_metadata(self) -> bytes:
        return b"CGMDv2:" + self.generation.to_bytes(4, "little", signed=True) + b"g\x00m\x00\x01"

    def subscribe(self, _: list[str], **callbacks: Callable[..., None]) -> None:
        self.__dict__.update(callbacks)

    def assigned(self, *indices: int) -> Callable[[], None]:
        """Return the callback of an assignment."""
        return lambda: self.on_assign(self, [TopicPartition("t", index) for index in indices])

    def revoked(self, *indices: int) -> Callable[[], None]:
        """Return the callback of a revocation."""
        return lambda: self.on_revoke(self, [TopicPartition("t", index) for index in indices])

    def lost(self, *indices: int) -> Callable[[], None]:
        """Return the callback of a loss."""
        return lambda: self.on_lost(self, [TopicPartition("t", index) for index in indices])

    def poll(self, _: float) -> Received | None:
        while self.incoming:
            next_one = self.incoming.popleft()
            if isinstance(next_one, Received):
                return next_one
            next_one()
        return None

    def consume(self, limit: int, _: float) -> list[Received]:
        taken: list[Received] = []
        while self.incoming and len(taken) < limit:
            next_one = self.incoming.popleft()
            if isinstance(next_one, Received):
                taken.append(next_one)
            else:
                next_one()
        return taken

    def list_topics(self, topic: str, timeout: float) -> Any:
        del timeout
        if self.metadata:
            raise KafkaException(self.metadata)
        found = type("Topic", (), {"error": self.topic_error})()
        return type("Metadata", (), {"topics": {topic: found}})()

    def assign(self, handles: Sequence[TopicPartition]) -> None:
        self._note("assign", handles)

    def unassign(self) -> None:
        self._note("unassign", ())

    def incremental_assign(self, handles: Sequence[TopicPartition]) -> None:
        self._note("incremental_assign", handles)

    def incremental_unassign(self, handles: Sequence[TopicPartition]) -> None:
        self._note("incremental_unassign", handles)

    def pause(self, handles: Sequence[TopicPartition]) -> None:
        self._note("pause", handles)

    def resume(self, handles: Sequence[TopicPartition]) -> None:
        self._note("resume", handles)

    def seek(self, place: TopicPartition) -> None:
        if self.seeking:
            raise KafkaException(self.seeking)
        self.calls.append(("seek", (place.partition, place.offset)))

    def _note(self, name: str, handles: Sequence[TopicPartition]) -> None:
        self.calls.append((name, tuple(sorted(handle.partition for handle in handles))))

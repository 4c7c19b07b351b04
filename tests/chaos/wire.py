"""Kafka's frames as far as a trial looks into them, and what may happen to one on its way.

Frames are those of https://kafka.apache.org/protocol: a length, then a request's api key, version, correlation id and
client id, or a response's correlation id.
"""

import asyncio
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from threading import Event
from time import monotonic
from typing import Self

LENGTH = struct.Struct(">i")
CORRELATION = struct.Struct(">i")
_HEADER = struct.Struct(">hhih")  # api key, version, correlation id, length of the client id or -1
_ENDING = struct.Struct(">qhb")  # producer id, epoch, whether it is a commit
TAGGED_FROM = 3  # the version of TxnOffsetCommit with tags and short lengths; librdkafka speaks the others without
_STEP = struct.Struct(">ih")  # what an answer to a step of a transaction begins with: throttle time, error code


class Api(IntEnum):
    """Api keys of the requests that a trial meddles with."""

    PRODUCE = 0
    FETCH = 1
    JOIN_GROUP = 11
    HEARTBEAT = 12
    SYNC_GROUP = 14
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28
    CONSUMER_GROUP_HEARTBEAT = 68


class Act(StrEnum):
    """What happens to a request."""

    DROP = "drop"
    """It is swallowed; the connection lives on."""
    DELAY = "delay"
    """It waits, and with it all that follows on its connection; after no seconds it was merely watched."""
    RESET = "reset"
    """It is swallowed and the connection is reset."""
    CUT = "cut"
    """It is delivered; instead of the answer the client gets a reset."""
    HOLD = "hold"
    """The client's connection is reset at once; the request is delivered later, on the old connection to the broker."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request; `frame` is all of it after its length, `body` what follows the client id."""

    api: int
    version: int
    correlation: int
    client: str
    body: bytes
    frame: bytes

    @classmethod
    def read(cls, frame: bytes) -> Self:
        """Return the request in a frame."""
        api, version, correlation, length = _HEADER.unpack_from(frame)
        end = _HEADER.size + max(0, length)
        return cls(api, version, correlation, frame[_HEADER.size : end].decode(), frame[end:], frame)

    @property
    def transactional_id(self) -> str:
        """Whose transaction it is about: what the bodies of such requests begin with."""
        if self.api == Api.TXN_OFFSET_COMMIT and self.version >= TAGGED_FROM:
            length = self.body[1] - 1  # after no tags; of a short name
            return self.body[2 : 2 + length].decode()
        (length,) = struct.unpack_from(">h", self.body)
        return self.body[2 : 2 + length].decode()

    @property
    def commits(self) -> bool:
        """Whether an EndTxn is a commit."""
        return bool(_ENDING.unpack_from(self.body, 2 + len(self.transactional_id))[2])


class Hit:
    """What was done to one request; any thread may ask, `over` is set when no more will come of it."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.kept_s: float | None = None
        """How long it was kept; None for one that was never delivered."""
        self.answer: bytes | None = None
        """What the broker said to it."""
        self.over = Event()
        self._since_s = monotonic()
        self._freed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @property
    def error(self) -> int | None:
        """The error code in the answer to a step of a transaction."""
        return None if self.answer is None else int(_STEP.unpack_from(self.answer)[1])

    def free(self) -> None:
        """Let it go on before its time."""
        self._loop.call_soon_threadsafe(self._freed.set)

    async def wait(self, seconds: float) -> None:
        """Wait for so long, or until it is freed."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._freed.wait(), seconds)

    def deliver(self) -> None:
        """Note that it goes to the broker now."""
        self.kept_s = monotonic() - self._since_s

    def end(self, answer: bytes | None = None) -> None:
        """Note the answer, or that there will be none."""
        self.answer = self.answer or answer
        self.over.set()


def of(*apis: Api) -> Callable[[Request], bool]:
    """Return what wants every request of these kinds."""
    return lambda request: request.api in apis


@dataclass(slots=True)
class Rule:
    """What to do to the next `times` requests that are `wanted`; `seconds` are those of a delay or a hold."""

    act: Act
    wanted: Callable[[Request], bool]
    times: int = 1
    seconds: float = 0.0
    hits: list[Hit] = field(default_factory=list)

    def takes(self, request: Request) -> bool:
        """Whether this request is one of them."""
        return len(self.hits) < self.times and self.wanted(request)

    @property
    def spent(self) -> bool:
        """Whether all were met, and nothing more will come of any."""
        return len(self.hits) == self.times and all(hit.over.is_set() for hit in self.hits)

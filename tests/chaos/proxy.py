"""A TCP proxy before Kafka brokers that reads frames and does to some of them what networks do."""

import asyncio
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from tests.chaos.wire import CORRELATION, LENGTH, Act, Hit, Request, Rule

HOST = "127.0.0.1"
BUFFER_BYTES = 1 << 20
_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER that makes a close a reset


class Proxy:
    """Listens on the keys of `doors` and leads to its values, ports all; a context manager with a thread of its own."""

    def __init__(self, doors: Mapping[int, int]) -> None:
        self.rules: tuple[Rule, ...] = ()
        self._doors = doors
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="proxy")
        self._links: list[asyncio.Task[None]] = []

    @property
    def address(self) -> str:
        """Where clients find it."""
        return ",".join(f"{HOST}:{door}" for door in self._doors)

    @property
    def report(self) -> dict[str, int]:
        """How many requests were met, by what was done to them."""
        return dict(sum((Counter({str(rule.act): len(rule.hits)}) for rule in self.rules), Counter()))

    def add(self, rule: Rule) -> Rule:
        """Put a rule behind those there are; the first one that takes a request has it."""
        self.rules = (*self.rules, rule)
        return rule

    def meet(self, request: Request) -> tuple[Act | None, float, Hit]:
        """Return what is to be done to a request, for how long, and where it is noted."""
        hit = Hit(request)
        for rule in self.rules:
            if rule.takes(request):
                rule.hits.append(hit)
                return rule.act, rule.seconds, hit
        return None, 0.0, hit

    def __enter__(self) -> Self:
        ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._running = self._thread.submit(asyncio.run, self._run(ready))
        self._loop, self._over = ready.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.shutdown()
        self._running.result()

    async def _run(self, ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        listening: list[int] = []
        with ExitStack() as stack:
            try:
                for door, port in self._doors.items():
                    server = await asyncio.start_server(partial(self._link, port), HOST, door, limit=BUFFER_BYTES)
                    stack.callback(server.close)
                    listening += [each.fileno() for each in server.sockets]
            except OSError as error:
                ready.set_exception(error)
                return
            ready.set_result((loop, over))
            await over.wait()
            # Whoever is just being let in must be in before a server closes: asyncio would forget the connection.
            for each in listening:
                loop.remove_reader(each)
            while left := asyncio.all_tasks() - {asyncio.current_task()}:
                for link in self._links:
                    link.cancel()
                await asyncio.wait(left)
        for link in self._links:
            if not link.cancelled():
                link.result()

    def _link(self, port: int, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.create_task(self._lead(port, reader, writer))
        task.add_done_callback(lambda _: _reset(writer))  # a task that is cancelled early runs nothing of its own
        self._links.append(task)

    async def _lead(self, port: int, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError):  # nobody there: a client that was let in is shown out
            broker = await asyncio.open_connection(HOST, port, limit=BUFFER_BYTES)
            await _Link(self, (reader, writer), broker).run()


@dataclass(slots=True)
class _Asked:
    """A request that the broker has not answered yet."""

    hit: Hit
    act: Act | None


class _Link:
    """One client's connection, and the one to the broker that belongs to it."""

    def __init__(
        self, proxy: Proxy, client: tuple[StreamReader, StreamWriter], broker: tuple[StreamReader, StreamWriter]
    ) -> None:
        self._proxy = proxy
        self._from_client, self._to_client = client
        self._from_broker, self._to_broker = broker
        self._asked: dict[int, _Asked] = {}
        self._alone = False  # the client is gone, and a request that was held is not

    async def run(self) -> None:
        """Lead frames both ways until one side is gone."""
        ways = [asyncio.create_task(self._requests()), asyncio.create_task(self._answers())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:  # without a pause: this may be cancelled here too
            for way in ways:
                way.cancel()
            _reset(self._to_client)
            _reset(self._to_broker)
            for asked in self._asked.values():
                asked.hit.end()
        for ending in await asyncio.gather(*ways, return_exceptions=True):
            if isinstance(ending, Exception) and not isinstance(ending, OSError | EOFError):
                raise ending

    async def _requests(self) -> None:
        while not self._alone:
            request = Request.read(await _frame(self._from_client))
            act, seconds, hit = self._proxy.meet(request)
            self._asked[request.correlation] = _Asked(hit, act)
            match act:
                case Act.DROP:
                    hit.end()
                    continue
                case Act.RESET:
                    return
                case Act.HOLD:
                    self._alone = True
                    _reset(self._to_client)
            if seconds:
                await hit.wait(seconds)
            hit.deliver()
            await _send(self._to_broker, request.frame)
        await asyncio.Future()  # until the answer has come, or the broker is gone

    async def _answers(self) -> None:
        while True:
            frame = await _frame(self._from_broker)
            asked = self._asked.pop(CORRELATION.unpack_from(frame)[0])
            asked.hit.end(frame[CORRELATION.size :])
            if asked.act in (Act.CUT, Act.HOLD):
                return
            if not self._alone:
                await _send(self._to_client, frame)


async def _frame(reader: StreamReader) -> bytes:
    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    return await reader.readexactly(length)


async def _send(writer: StreamWriter, frame: bytes) -> None:
    writer.write(LENGTH.pack(len(frame)) + frame)
    await writer.drain()


def _reset(writer: StreamWriter) -> None:
    if not writer.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    writer.transport.abort()

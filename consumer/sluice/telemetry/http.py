"""One small HTTP server for probes and scrapes: it reads what others leave for it, in threads that no one joins."""

import io
import json
import logging
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import Lock, Thread
from typing import Any

from sluice.core.errors import BadSettings
from sluice.telemetry.health import Checks

_logger = logging.getLogger(__name__)
_PATIENCE_S = 5.0  # of a whole request and its answer: a client that dawdles holds a thread and a socket
_MAX_HEAD_BYTES = 16 * 1024  # probes and scrapers send some hundred
_MOST = 64  # at once; a supervisor and a few scrapers hold one each, for milliseconds


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered to a GET."""

    kind: str
    body: bytes
    status: HTTPStatus = HTTPStatus.OK


Page = Callable[[], Reply]
_NO_PAGE = Reply("text/plain", b"no such page\n", HTTPStatus.NOT_FOUND)


def probe(ask: Callable[[], Checks]) -> Page:
    """Return the page of a probe: 200 while every check holds, 503 otherwise; the body names each, as JSON."""

    def page() -> Reply:
        checks = ask()
        ok = all(check.ok for check in checks.values())
        said = {"ok": ok, "checks": {name: asdict(check) for name, check in checks.items()}}
        status = HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE
        return Reply("application/json", json.dumps(said, indent=2).encode() + b"\n", status)

    return page


@contextmanager
def serving(host: str, port: int, pages: Mapping[str, Page]) -> Iterator[int]:
    """Serve `pages` by path until the block ends; yield the port, which the system chooses for 0.

    Raises BadSettings when the address cannot be taken.
    """
    try:
        server = _Server(host, port, pages)
    except OSError as error:
        raise BadSettings(
            f"telemetry.http_port: {host}:{port} cannot be served ({error.strerror})",
            setting="telemetry.http_port",
            remedy="choose another port or host, or 0 for any free port",
        ) from error
    thread = Thread(target=server.serve_forever, name="sluice-http", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingTCPServer):
    """Not `http.server`'s own, which asks DNS for this machine's name before it serves."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = _MOST

    def __init__(self, host: str, port: int, pages: Mapping[str, Page]) -> None:
        self.pages = pages
        self._open: deque[socket.socket] = deque()
        self._lock = Lock()
        self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]  # `::` is not IPv4
        super().__init__((host, port), _Request)

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        """Answer on a thread of its own; with too many at once the oldest, who dawdles longest, is hung up on."""
        with self._lock:
            self._open.append(request)
            oldest = self._open.popleft() if len(self._open) > _MOST else None
            if oldest:
                with suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        """Forget a connection before its number may be another's."""
        with self._lock, suppress(ValueError):
            self._open.remove(request)
        super().shutdown_request(request)

    def handle_error(self, _request: object, _address: object) -> None:
        """Say that a page has a defect; a client that went away is no news."""
        error = sys.exception()
        if not isinstance(error, OSError):
            _logger.error("a page cannot be made: %s", type(error).__name__)


class _Head(io.RawIOBase):
    """What a client says, up to a size and a moment; TimeoutError after it. One byte at a time wins nothing."""

    def __init__(self, connection: socket.socket, until_s: float) -> None:
        self._connection = connection
        self._until_s = until_s
        self._left = _MAX_HEAD_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            raise ConnectionAbortedError
        self._connection.settimeout(_left(self._until_s))
        size = self._connection.recv_into(buffer, min(len(buffer), self._left))
        self._left -= size
        return size


def _left(until_s: float) -> float:
    left_s = until_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


class _Request(BaseHTTPRequestHandler):
    """One request; the connection ends with it."""

    server_version = "sluice"
    sys_version = ""
    server: _Server

    def setup(self) -> None:
        super().setup()
        self._until_s = time.monotonic() + _PATIENCE_S
        self.rfile = io.BufferedReader(_Head(self.connection, self._until_s))

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        reply = page() if page else _NO_PAGE
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        self.send_header("Cache-Control", "no-store")
        self.connection.settimeout(_left(self._until_s))  # of all that is sent at once, however slowly it is taken
        self.end_headers()
        if with_body:
            self.connection.settimeout(_left(self._until_s))
            self.wfile.write(reply.body)

    def log_message(self, *_: object) -> None:
        """Log nothing: a probe every few seconds is no news, and a request line is a stranger's."""

"""One small HTTP server for probes and scrapes: it reads what others leave for it, in threads that nobody waits for."""

import json
import logging
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import Thread

from sluice.core.errors import BadSettings
from sluice.telemetry.health import Checks

_logger = logging.getLogger(__name__)
_PATIENCE_S = 5.0  # a client that dawdles holds a thread and a socket


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
            f"telemetry.http_port: {host}:{port} cannot be served ({error.strerror});"
            " choose another port or host, or 0 for any free port"
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

    def __init__(self, host: str, port: int, pages: Mapping[str, Page]) -> None:
        self.pages = pages
        self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]  # `::` is not IPv4
        super().__init__((host, port), _Request)

    def handle_error(self, _request: object, _address: object) -> None:
        """Say that a page has a defect; a client that went away is no news."""
        error = sys.exception()
        if not isinstance(error, OSError):
            _logger.error("a page cannot be made: %s", type(error).__name__)


class _Request(BaseHTTPRequestHandler):
    """One request; the connection ends with it."""

    timeout = _PATIENCE_S
    server_version = "sluice"
    sys_version = ""
    server: _Server

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
        self.end_headers()
        if with_body:
            self.wfile.write(reply.body)

    def log_message(self, *_: object) -> None:
        """Log nothing: a probe every few seconds is no news, and a request line is a stranger's."""

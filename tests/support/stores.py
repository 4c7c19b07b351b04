"""A web server that misbehaves by path, for whoever fetches from it."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

BODY = b"the picture"


@dataclass
class Store:
    """A running server: where it is, and what it was asked, as (path, headers).

    `trouble` may answer a path with a status instead of what the path asks for; 0 means no trouble. `moved_to` is where
    /elsewhere sends people.
    """

    port: int = 0
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    moved_to: str = ""
    trouble: Callable[[str], int] = field(default=lambda _: 0)

    def url(self, path: str, host: str = "127.0.0.1", scheme: str = "http") -> str:
        """Name something on this server."""
        return f"{scheme}://{host}:{self.port}{path}"

    def paths(self) -> list[str]:
        """Return the paths asked for, in order."""
        return [path for path, _ in self.asked]


@contextmanager
def store(tls: ssl.SSLContext | None = None) -> Iterator[Store]:
    """Run a server on a free port of loopback."""
    state = Store()

    class Answer(_Answer):
        store = state

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients hang up on purpose
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield state
        finally:
            state.closing.set()
            server.shutdown()
            thread.join()


class _Answer(BaseHTTPRequestHandler):
    store: Store
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.store.asked.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
        if status := self.store.trouble(self.path):
            self._status(str(status))
            return
        kind, _, rest = self.path.partition("?")[0].removeprefix("/").partition("/")
        getattr(self, f"_{kind}", self._ok)(rest)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name the library gave it
        """Stay silent."""

    def _send(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _ok(self, _: str) -> None:
        self._send(200, {"Content-Length": str(len(BODY))}, BODY)

    def _status(self, code: str) -> None:
        self._send(int(code.rpartition("/")[2]), {"Content-Length": "0"})

    def _flaky(self, times: str) -> None:
        """Fail so many times, then answer."""
        failed = len(self.store.paths()) <= int(times)
        self._send(503, {"Content-Length": "0"}) if failed else self._ok("")

    def _big(self, size: str) -> None:
        self._send(200, {"Content-Length": size}, bytes(int(size)))

    def _chunked(self, size: str) -> None:
        """Send a body without declaring its length."""
        self._send(200, {"Connection": "close"}, bytes(int(size)))
        self.close_connection = True

    def _lying(self, size: str) -> None:
        """Declare more than is sent."""
        self._send(200, {"Content-Length": size, "Connection": "close"}, b"x")
        self.close_connection = True

    def _zipped(self, _: str) -> None:
        self._send(200, {"Content-Encoding": "gzip", "Content-Length": "1"}, b"x")

    def _to(self, target: str) -> None:
        self._send(302, {"Location": target.replace("~", "/"), "Content-Length": "0"})

    def _loop(self, _: str) -> None:
        self._send(302, {"Location": self.path, "Content-Length": "0"})

    def _elsewhere(self, _: str) -> None:
        self._send(307, {"Location": self.store.moved_to, "Content-Length": "0"})

    def _moved(self, rest: str) -> None:
        """Answer with a code, and with a place unless it is left out: /moved/307/~ok, /moved/307/."""
        code, _, target = rest.partition("/")
        place = {"Location": unquote(target.replace("~", "/"), "latin-1")} if target else {}
        self._send(int(code), {"Content-Length": "0", **place})

    def _cookie(self, _: str) -> None:
        self._send(200, {"Set-Cookie": "a=b", "Content-Length": "1"}, b"x")

    def _silent(self, _: str) -> None:
        self.store.closing.wait(30)
        self.close_connection = True

    def _drip(self, part: str) -> None:
        """Send one byte after the other, in the headers or in the body."""
        if part == "body":
            self._send(200, {"Content-Length": "1000"})
        until = time.monotonic() + 30
        while time.monotonic() < until and not self.store.closing.wait(0.05):
            self.wfile.write(b"H" if part == "headers" else b"x")
            self.wfile.flush()
        self.close_connection = True

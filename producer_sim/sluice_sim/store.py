"""The store: pictures that events refer to, as files in a folder and over a small http server on loopback."""

from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Literal, Self


class Store:
    """A context manager; inside it the pictures are served. `port` 0 takes a free one.

    While `outage` is set the http server answers 503, as a store does that is down.
    """

    def __init__(self, folder: Path, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.folder = folder.resolve()
        self.outage = Event()
        self._server = _Server((host, port), _answers(self._find))
        self._thread = Thread(target=self._server.serve_forever, name="picture-store", daemon=True)

    @property
    def host(self) -> str:
        """The address the http server listens on."""
        return str(self._server.server_address[0])

    @property
    def port(self) -> int:
        """The port the http server listens on."""
        return self._server.server_port

    def put(self, name: str, data: bytes) -> None:
        """Make the bytes available under the name, whole or not at all."""
        path = self.folder / name
        if not path.exists():
            unfinished = path.with_suffix(".part")
            unfinished.write_bytes(data)
            unfinished.replace(path)

    def uri(self, name: str, scheme: Literal["file", "http"]) -> str:
        """Return the address of the name, whether or not it was put there."""
        return (self.folder / name).as_uri() if scheme == "file" else f"http://{self.host}:{self.port}/{name}"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _find(self, name: str) -> tuple[HTTPStatus, bytes]:
        """Answer a request for one of our files; names with a slash are none."""
        if self.outage.is_set():
            return HTTPStatus.SERVICE_UNAVAILABLE, b""
        if Path(name).name != name or not (self.folder / name).is_file():
            return HTTPStatus.NOT_FOUND, b""
        return HTTPStatus.OK, (self.folder / name).read_bytes()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # the usual 5 drops connections when a consumer opens its sixteen at once


def _answers(find: Callable[[str], tuple[HTTPStatus, bytes]]) -> type[BaseHTTPRequestHandler]:
    """Make the class http.server wants of a function from a name to an answer."""

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_GET(self) -> None:
            status, body = find(self.path.removeprefix("/"))
            self.send_response(status)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Stay silent: standard error belongs to the user of the simulator."""

    return Answer

"""A store that answers by path, remembers what it was asked, and says canaries wherever a reply has room for them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.canaries import Canary
from tests.support.planted import PICTURES, often

_REPLY = often(Canary.STORE_REPLY).encode()
_ELSEWHERE = f"http://elsewhere.example/{Canary.STORE_REPLY}?{Canary.STORE_REPLY}"


@dataclass
class GossipStore:
    """Where it listens and what it was asked; while `well` is not set, it breaks the protocol under `/sick`."""

    port: int = 0
    asked: list[bytes] = field(default_factory=list)
    well: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self.port}"


@contextmanager
def gossip_store() -> Iterator[GossipStore]:
    """Run the store on a free port of loopback."""
    state = GossipStore()

    class Answer(_Answer):
        store = state

    with _Server(("127.0.0.1", 0), Answer) as server:
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent: clients hang up on purpose."""


class _Answer(BaseHTTPRequestHandler):
    store: GossipStore
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        self.store.asked.append(self.path.encode() + b"\n" + bytes(self.headers))
        words = self.path.strip("/").split("/")
        kind = words[1] if words[0] == "pictures" else words[0]
        if kind == "sick" and not self.store.well.is_set():
            self.wfile.write(b"HTTP/1.1 200 OK\r\n" + _REPLY + b"\r\n\r\n")
            self.close_connection = True
            return
        replies: dict[str, tuple[int, dict[str, str], bytes]] = {
            "missing": (404, {}, _REPLY),
            "forbidden": (403, {}, _REPLY),
            "odd": (418, {}, _REPLY),
            "moved": (302, {"Location": _ELSEWHERE}, _REPLY),
            "moved-here": (302, {"Location": f"/missing/{Canary.STORE_REPLY}"}, b""),
            "encoded": (200, {"Content-Encoding": Canary.STORE_REPLY}, _REPLY),
            "text": (200, {"Content-Type": Canary.STORE_REPLY}, _REPLY),
        }
        self._send(*replies.get(kind, (200, {}, PICTURES[0])))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name the library gave it
        """Stay silent."""

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status, Canary.STORE_REPLY)
        said = {"Content-Length": str(len(body)), "Set-Cookie": f"a={Canary.STORE_REPLY}", "X-Note": Canary.STORE_REPLY}
        for name, value in (said | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

"""A server that says exactly the bytes it is told, however wrong they are."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Say = Callable[[socket.socket], None]


@dataclass
class Talk:
    """A running server: where it is, how many bytes it got rid of, and the requests that reached it."""

    port: int = 0
    sent: int = 0
    heard: list[bytes] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/") -> str:
        """Name something on this server."""
        return f"http://127.0.0.1:{self.port}{path}"


@contextmanager
def talk(*answers: bytes, repeat: bytes = b"") -> Iterator[Talk]:
    """Answer the requests of each connection in turn, then say `repeat` until the other side has enough."""
    state = Talk()

    def serve(connection: socket.socket) -> None:
        with connection:
            for answer in answers:
                state.heard.append(_request(connection))
                connection.sendall(answer)
                state.sent += len(answer)
            while repeat and not state.closing.is_set():
                connection.sendall(repeat)
                state.sent += len(repeat)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.05)
        state.port = listening.getsockname()[1]
        accepting = threading.Thread(target=_accept, args=(listening, serve, state.closing))
        accepting.start()
        try:
            yield state
        finally:
            state.closing.set()
            accepting.join()


def _accept(listening: socket.socket, serve: Say, closing: threading.Event) -> None:
    serving = []
    while not closing.is_set():
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            continue
        connection.settimeout(30)
        serving.append(threading.Thread(target=_quietly, args=(serve, connection)))
        serving[-1].start()
    for thread in serving:
        thread.join()


def _quietly(serve: Say, connection: socket.socket) -> None:
    """Serve until the other side hangs up, which it does on purpose."""
    try:
        serve(connection)
    except OSError:
        return


def _request(connection: socket.socket) -> bytes:
    """Read one request; OSError when there is none."""
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)
        if not piece:
            raise ConnectionResetError
        request += piece
    return request

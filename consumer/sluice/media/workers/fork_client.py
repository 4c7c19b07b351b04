"""The fork server that decoders are forked from, as its user sees it, and how often it is started again."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from sluice.core.errors import DependencyDown, NoDecoders
from sluice.media.decoding.limits import Limits
from sluice.media.workers import protocol
from sluice.moderation.values import Picture
from sluice.settings import MIB

_NAME = "decoder processes"
_START_DEADLINE_S = 60.0  # importing torch takes two seconds, on a crowded machine many more
_FORK_DEADLINE_S = 10.0
_RESTS_S = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0)
"""Before the next start, after that many failures in a row; a minute and a half, then the consumer leaves."""

_KEPT_BYTES = 32 * MIB  # the most glibc takes; an image of 1024 px passes through some 20 MiB
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """An image, what holds for it, and whether it is one of ours, which no setting limits."""

    data: bytes
    limits: Limits
    sha256: str
    ours: bool = False


class Decoder:
    """One decoder process as its user sees it: a socket, and a number to have it killed by."""

    def __init__(self, number: int, channel: socket.socket, fork_client: "ForkServerClient") -> None:
        self._number = number
        self._channel = channel
        self._fork_client = fork_client
        self.images = 0

    def picture(self, asked: Asked, timeout_s: float) -> Picture:
        """Return the picture. Raises Unreadable, Spent, Garbled, OSError, TimeoutError when it is late."""
        self.images += 1
        deadline_s = time.monotonic() + timeout_s
        protocol.send_request(self._channel, asked.data, ours=asked.ours, deadline_s=deadline_s)
        return protocol.receive_picture(self._channel, asked.limits, sha256=asked.sha256, deadline_s=deadline_s)

    def alive(self) -> bool:
        """Whether the process still listens; one that spoke unasked counts as dead."""
        self._channel.settimeout(0)
        try:
            self._channel.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def kill(self) -> None:
        """End it."""
        self._channel.close()
        self._fork_client.kill(self._number)


class ForkServerClient:
    """The fork server that decoders are forked from, started again when it is gone."""

    def __init__(self, spec: dict[str, object], clock: Callable[[], float] = time.monotonic) -> None:
        self._spec = json.dumps(spec)
        self._clock = clock
        self._lock = threading.Lock()
        self._numbers = 0
        self._failures = 0
        self._why = ""
        self._resting_until_s = clock()
        self._running = False
        with suppress(OSError):  # who asks for a decoder tries again, and is told
            self._start()

    def decoder(self) -> Decoder:
        """Fork a decoder. Raises DependencyDown when that fails, at once while resting, and NoDecoders in the end."""
        with self._lock:
            if self._failures and self._clock() < self._resting_until_s:
                raise DependencyDown(_NAME, self._why)
            for last in (False, True):
                try:
                    if not self._running:
                        self._start()
                    made = self._fork()
                except (OSError, protocol.Garbled) as error:
                    self._stop()
                    if last:
                        raise self._failed(error) from error
                else:
                    self._failures = 0
                    return made
        raise AssertionError("unreachable")

    def _failed(self, error: Exception) -> DependencyDown | NoDecoders:
        """Count a failure; who asks next finds that the fork server rests, longer each time."""
        self._why = f"they do not start ({error})"
        self._failures += 1
        if self._failures > len(_RESTS_S):
            return NoDecoders(f"decoder processes do not start, {self._failures} times in a row: {error}")
        self._resting_until_s = self._clock() + _RESTS_S[self._failures - 1]
        _logger.warning("decoder processes: %s; trying again", self._why)
        return DependencyDown(_NAME, self._why)

    def kill(self, number: int) -> None:
        """End a decoder."""
        with self._lock:
            try:
                self._control.sendall(protocol.ORDER.pack(protocol.KILL, number))
            except OSError:
                return  # the fork server is gone, and its decoders with it

    def close(self) -> None:
        """End the fork server, and its decoders with it."""
        with self._lock:
            self._stop()

    def _start(self) -> None:
        self._control, theirs = socket.socketpair()
        self._ready = False
        with theirs, ExitStack() as undone:
            undone.callback(self._control.close)
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-P", "-m", "sluice.media.workers.fork_server", str(theirs.fileno()), self._spec],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=_environment(),
                cwd="/",
                start_new_session=True,  # an interrupt typed at the terminal is for us; we end it in our own order
            )
            undone.pop_all()
        self._running = True

    def _stop(self) -> None:
        if not self._running:
            return
        self._running = False
        self._control.close()
        try:
            self._process.wait(timeout=_FORK_DEADLINE_S if self._ready else 0)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def _fork(self) -> Decoder:
        if not self._ready:
            _hear(self._control, _START_DEADLINE_S)
            self._ready = True
        self._numbers += 1
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._control, [protocol.ORDER.pack(protocol.FORK, self._numbers)], [theirs.fileno()])
            _hear(ours, _FORK_DEADLINE_S)
        except (OSError, protocol.Garbled):
            ours.close()
            raise
        return Decoder(self._numbers, ours, self)


def _hear(channel: socket.socket, timeout_s: float) -> None:
    """Wait for a new process to say that it is ready."""
    channel.settimeout(timeout_s)
    said = channel.recv(1)
    if said == protocol.FAILED:
        raise protocol.Garbled(channel.recv(protocol.MAX_WORDS_BYTES).decode(errors="replace"))
    if said != protocol.READY:
        raise protocol.Garbled("it ended before it was ready")


def _environment() -> dict[str, str]:
    """Return what a decoder may know: where its code is, one thread, no GPU; nothing of our own environment.

    Memory up to `_KEPT_BYTES` is used again instead of going back to the kernel after each image, which would hand it
    out page by page: up to a third of an image's time.
    """
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    kept = dict.fromkeys(("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"), str(_KEPT_BYTES))
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return threads | kept | {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "", "LC_ALL": "C.UTF-8"}

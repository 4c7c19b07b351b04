"""Decoder processes that may die: an image goes in, a Picture or Unreadable comes out, always, and in bounded time."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from types import TracebackType
from typing import Self

from sluice.core.domain import Picture, Thumbnail
from sluice.core.errors import DependencyDown, Unreadable
from sluice.core.seams import Observe
from sluice.media import wire
from sluice.media.limits import Limits
from sluice.media.sniff import sniff
from sluice.settings import MIB, Media

_START_DEADLINE_S = 60.0  # importing torch takes two seconds, on a crowded machine many more
_FORK_DEADLINE_S = 10.0
_TRIES = 2
_IMAGES_PER_DECODER = 500  # a leak in a parser then stays small
_DECODE = "sluice.media.picture:anonymous"
_KEPT_BYTES = 32 * MIB  # the most glibc takes; an image of 1024 px passes through some 20 MiB


class DecoderPool:
    """Decodes images in disposable processes, `media.decoders` at a time (0: one per core).

    A decoder that outlasts `decode_timeout_s` or dies is replaced and the image gets a second try, because a crowded
    machine or a killer of processes is not the image's fault; the second failure is.
    """

    def __init__(
        self, media: Media, *, observe: Observe, thumbnails: tuple[Thumbnail, ...] = (), decode: str = _DECODE
    ) -> None:
        self._limits = Limits.of(media, thumbnails=thumbnails)
        self._timeout_s = media.decode_timeout_s
        self._observe = observe
        self._idle: deque[_Decoder] = deque()
        self._nursery = _Nursery(
            {
                "limits": asdict(self._limits),
                "memory_bytes": media.decoder_memory_bytes,
                "cpu_s": media.decode_timeout_s,
                "decode": decode,
                "warm": decode == _DECODE,
            }
        )
        self._threads = ThreadPoolExecutor(media.decoders or _cores(), thread_name_prefix="decode")

    def submit(self, data: bytes) -> Future[Picture]:
        """Decode an image. The future raises Unreadable, or DependencyDown when no decoder can be started."""
        return self._threads.submit(self._picture, data)

    def close(self) -> None:
        """Stop taking images, let the running ones finish, end every process."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        while self._idle:
            self._idle.pop().kill()
        self._nursery.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _picture(self, data: bytes) -> Picture:
        if len(data) > self._limits.max_image_bytes:
            raise Unreadable("too_many_bytes", f"{len(data)} bytes, {self._limits.max_image_bytes} allowed")
        sniff(data, self._limits.formats)
        sha256 = hashlib.sha256(data).hexdigest()
        reason = ""
        for _ in range(_TRIES):
            decoder = self._decoder()
            try:
                picture = decoder.picture(data, self._limits, sha256=sha256, timeout_s=self._timeout_s)
            except Unreadable as error:
                self._give_back(decoder, spoilt=error.reason == "decoder_memory")
                raise
            except TimeoutError:
                reason = "decode_timeout"
            except (wire.Garbled, OSError):
                reason = "decoder_crash"
            else:
                self._give_back(decoder)
                return picture
            decoder.kill()
            self._observe("sluice.decoder.deaths", 1, {"reason": reason})
        raise Unreadable(reason, f"{_TRIES} decoders failed on this image")

    def _decoder(self) -> "_Decoder":
        while self._idle:
            decoder = self._idle.pop()
            if decoder.alive():
                return decoder
            decoder.kill()
        return self._nursery.decoder()

    def _give_back(self, decoder: "_Decoder", *, spoilt: bool = False) -> None:
        if spoilt or decoder.images >= _IMAGES_PER_DECODER:
            decoder.kill()
        else:
            self._idle.append(decoder)


class _Decoder:
    """One decoder process as its user sees it: a socket, and a number to have it killed by."""

    def __init__(self, number: int, channel: socket.socket, nursery: "_Nursery") -> None:
        self._number = number
        self._channel = channel
        self._nursery = nursery
        self.images = 0

    def picture(self, data: bytes, limits: Limits, *, sha256: str, timeout_s: float) -> Picture:
        self.images += 1
        deadline_s = time.monotonic() + timeout_s
        wire.send_request(self._channel, data, deadline_s=deadline_s)
        return wire.receive_picture(self._channel, limits, sha256=sha256, deadline_s=deadline_s)

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
        self._channel.close()
        self._nursery.kill(self._number)


class _Nursery:
    """The template process that decoders are forked from, started again when it is gone."""

    def __init__(self, spec: dict[str, object]) -> None:
        self._spec = json.dumps(spec)
        self._lock = threading.Lock()
        self._numbers = 0
        self._start()

    def decoder(self) -> _Decoder:
        """Fork a decoder; DependencyDown when that fails twice."""
        with self._lock:
            for last in (False, True):
                try:
                    if last:
                        self._start()
                    return self._fork()
                except (OSError, wire.Garbled) as error:
                    self._stop()
                    if last:
                        raise DependencyDown("decoder processes", "they do not start") from error
        raise AssertionError("unreachable")

    def kill(self, number: int) -> None:
        with self._lock:
            try:
                self._control.sendall(wire.ORDER.pack(wire.KILL, number))
            except OSError:
                return  # the template is gone, and its decoders with it

    def close(self) -> None:
        with self._lock:
            self._stop()

    def _start(self) -> None:
        self._control, theirs = socket.socketpair()
        self._ready = False
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-P", "-m", "sluice.media.decoder", str(theirs.fileno()), self._spec],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=_environment(),
                cwd="/",
                start_new_session=True,  # an interrupt typed at the terminal is for us; we end it in our own order
            )

    def _stop(self) -> None:
        self._control.close()
        try:
            self._process.wait(timeout=_FORK_DEADLINE_S if self._ready else 0)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def _fork(self) -> _Decoder:
        if not self._ready:
            _hear(self._control, _START_DEADLINE_S)
            self._ready = True
        self._numbers += 1
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._control, [wire.ORDER.pack(wire.FORK, self._numbers)], [theirs.fileno()])
            _hear(ours, _FORK_DEADLINE_S)
        except (OSError, wire.Garbled):
            ours.close()
            raise
        return _Decoder(self._numbers, ours, self)


def _hear(channel: socket.socket, timeout_s: float) -> None:
    """Wait for a new process to say that it is ready."""
    channel.settimeout(timeout_s)
    if channel.recv(1) != wire.READY:
        raise wire.Garbled("not ready")


def _cores() -> int:
    """Count the cores this process may use, which in a container are fewer than the machine's."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _environment() -> dict[str, str]:
    """Return what a decoder may know: where its code is, one thread, no GPU; nothing of our own environment.

    Memory up to `_KEPT_BYTES` is used again instead of going back to the kernel after each image, which would hand it
    out page by page: up to a third of an image's time.
    """
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    kept = dict.fromkeys(("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"), str(_KEPT_BYTES))
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return threads | kept | {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "", "LC_ALL": "C.UTF-8"}

"""The decoder's side: a fork server that forks disposable decoders, each with one socket and tight limits.

Started as `python -m sluice.media.workers.fork_server`. The server imports Pillow and torch once (two seconds) and
stays single-threaded, so a replacement decoder is a fork away and shares its memory. It leaves, and takes its decoders
along, when its parent's end of the control socket closes.
"""

import ctypes
import gc
import importlib
import io
import json
import math
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import torch
from PIL import Image, features

from sluice.core.errors import Unreadable
from sluice.media.decoding.limits import Limits
from sluice.media.workers import protocol
from sluice.moderation.values import Picture, Thumbnail

_REAP_EVERY_S = 1.0
_SPARE_FILES = 5  # the three standard ones, the channel, and one for a library that insists
_PR_SET_PDEATHSIG = 1

Decode = Callable[[bytes, Limits], Picture]


class ForkServer:
    """Forks and kills decoders as told; the parent of every decoder, so a process id is never one of a stranger."""

    def __init__(
        self, control: socket.socket, decode: Decode, limits: Limits, *, memory_bytes: int, cpu_s: float
    ) -> None:
        self._control = control
        self._decode = decode
        self._limits = limits
        self._memory_bytes = memory_bytes
        self._cpu_s = cpu_s
        self._decoders: dict[int, int] = {}

    def serve(self) -> None:
        """Obey until the control socket closes, then kill what is left.

        A parent that leaves before it has read everything resets the connection instead of closing it.
        """
        with suppress(ConnectionError):
            self._control.sendall(protocol.READY)
            while True:
                readable, _, _ = select.select([self._control], [], [], _REAP_EVERY_S)
                self._reap()
                if readable and not self._obey():
                    break
        for pid in self._decoders.values():
            os.kill(pid, signal.SIGKILL)

    def _obey(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, protocol.ORDER.size, 1)
        if len(message) < protocol.ORDER.size:
            return False
        order, number = protocol.ORDER.unpack(message)
        if order == protocol.FORK:
            with socket.socket(fileno=descriptors[0]) as channel:
                self._fork(number, channel)
        elif order == protocol.KILL and number in self._decoders:
            os.kill(self._decoders[number], signal.SIGKILL)
        return True

    def _fork(self, number: int, channel: socket.socket) -> None:
        pid = os.fork()
        if pid:
            self._decoders[number] = pid
            return
        try:
            confine(channel.fileno(), self._memory_bytes)
            channel.sendall(protocol.READY)
            serve_decoder(channel, self._decode, self._limits, cpu_s=self._cpu_s)
        finally:
            os._exit(1)

    def _reap(self) -> None:
        for number, pid in list(self._decoders.items()):
            if os.waitpid(pid, os.WNOHANG)[0]:
                del self._decoders[number]


def confine(channel: int, memory_bytes: int) -> None:
    """Leave this process nothing but one socket, its own memory and some more, and its CPU."""
    die_with_parent()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.closerange(3, channel)
    os.closerange(channel + 1, os.sysconf("SC_OPEN_MAX"))
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, max(_SPARE_FILES, channel + 1))
    size = Path("/proc/self/statm")
    if size.exists():  # elsewhere than on Linux the kernel does not hold a process to RLIMIT_AS
        _limit(resource.RLIMIT_AS, int(size.read_text().split()[0]) * resource.getpagesize() + memory_bytes)


def die_with_parent() -> None:
    """Ask Linux for SIGKILL when the parent ends; elsewhere the closing sockets must do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def serve_decoder(channel: socket.socket, decode: Decode, limits: Limits, *, cpu_s: float) -> NoReturn:
    """Answer images until the channel closes; any other error ends the process, which is an answer too."""
    protocol.tell_when_spent(channel)
    while (asked := protocol.receive_request(channel, limits)) is not None:
        with _timed(cpu_s):
            answer = _answer(decode, *asked)
        answer(channel)
    os._exit(0)


def _answer(decode: Decode, data: bytes, limits: Limits) -> Callable[[socket.socket], None]:
    """Decode an image and return what sends the outcome."""
    try:
        picture = decode(data, limits)
    except Unreadable as error:
        refusal = error
    except MemoryError:
        refusal = Unreadable("decoder_memory")
    else:
        return lambda channel: protocol.send_picture(channel, picture)
    return lambda channel: protocol.send_unreadable(channel, refusal)


@contextmanager
def _timed(cpu_s: float) -> Iterator[None]:
    """Bound the processor time of the block: at the end of it our user is told and ends us, a second later the kernel.

    Time on the clock says nothing of an image: a crowded machine may take any.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime + cpu_s) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)


def warm(decode: Decode, limits: Limits) -> None:
    """Decode one picture of each format so that what is loaded lazily is loaded before the fork."""
    limits = limits.of_ours()
    for fmt in limits.formats:
        if fmt == "AVIF" and not features.check("avif"):
            continue
        stream = io.BytesIO()
        Image.new("RGBA" if fmt != "JPEG" else "RGB", (320, 240)).save(stream, fmt)
        decode(stream.getvalue(), limits)


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (bound, bound))


def _tell(
    control: socket.socket, kind: type[BaseException], error: BaseException, _trace: TracebackType | None
) -> None:
    """Say to our user why there will be no decoders; who logs it does so once in a while, and in words."""
    with suppress(OSError):
        control.sendall(protocol.FAILED + f"{kind.__name__}: {error}".encode()[: protocol.MAX_WORDS_BYTES])


def main() -> None:
    """Run the fork server: `decoder CONTROL_FD SPEC_JSON`."""
    die_with_parent()
    control = socket.socket(fileno=int(sys.argv[1]))
    sys.excepthook = partial(_tell, control)
    spec = json.loads(sys.argv[2])
    said = spec["limits"]
    thumbnails = tuple(Thumbnail(*wanted) for wanted in said["thumbnails"])
    limits = Limits(**said | {"formats": tuple(said["formats"]), "thumbnails": thumbnails})
    module, _, name = spec["decode"].partition(":")
    decode: Decode = getattr(importlib.import_module(module), name)
    torch.set_num_threads(1)
    if spec["warm"]:
        warm(decode, limits)
    gc.collect()
    gc.freeze()  # what is old now is never looked at by a child's collector, so its pages stay shared
    with control:
        ForkServer(control, decode, limits, memory_bytes=spec["memory_bytes"], cpu_s=spec["cpu_s"]).serve()


if __name__ == "__main__":
    main()

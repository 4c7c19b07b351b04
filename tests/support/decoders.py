"""Stand-ins for the decode step, run inside a decoder process: each misbehaves in one way, told by the image's tail."""

import os
import resource
import signal
import socket
import tempfile
import threading
from pathlib import Path

import numpy as np

from sluice.core.errors import Unreadable
from sluice.media.decoding.limits import Limits
from sluice.moderation.values import Picture
from sluice_schemas import Technical


def told(data: bytes, limits: Limits) -> Picture:
    """Do what the bytes after the last colon say."""
    order = data.rpartition(b":")[2].decode()
    return _ORDERS[order](limits) if order in _ORDERS else answer(1)


def answer(number: int, *, tiles: int = 1) -> Picture:
    """Return a picture that carries a number home in its width."""
    return Picture(
        sha256="",
        mime="image/png",
        width=number + 1,
        height=1,
        frames=1,
        tiles=np.full((tiles, 224, 224, 3), number % 256, dtype=np.uint8),
        coverage=1.0,
        technical=Technical(blur=1, noise_sigma=1, clipped_dark=0, clipped_light=0, flat=1),
    )


def _crash(_: Limits) -> Picture:
    os.kill(os.getpid(), signal.SIGSEGV)
    return answer(0)


def _hang(_: Limits) -> Picture:
    threading.Event().wait()
    return answer(0)


def _spin(_: Limits) -> Picture:
    while True:
        pass


def _bug(_: Limits) -> Picture:
    raise NotImplementedError


def _memory(limits: Limits) -> Picture:
    hoard = [np.empty(64 << 20, dtype=np.uint8) for _ in range(64)]
    return answer(len(hoard) + limits.max_tiles)


def _write(_: Limits) -> Picture:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with tempfile.TemporaryFile(buffering=0) as file:
            file.write(b"x")
    except OSError:
        return answer(0)
    return answer(1)


def _files(_: Limits) -> Picture:
    """Count the descriptors that are open and what more can be opened."""
    opened = [number for number in range(1024) if _is_open(number)]
    extra: list[socket.socket] = []
    try:
        while len(extra) < 64:
            extra.append(socket.socket())
    except OSError:
        return answer(10 * len(opened) + len(extra))
    return answer(999)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _environment(_: Limits) -> Picture:
    """Count the variables that are not about threads, memory, the path, the language or the GPU."""
    threads = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}
    memory = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"}
    return answer(len(set(os.environ) - threads - memory - {"PYTHONPATH", "LC_ALL", "CUDA_VISIBLE_DEVICES"}))


def _threads(_: Limits) -> Picture:
    return answer(len(list(Path("/proc/self/task").iterdir())))


def _pid(_: Limits) -> Picture:
    return answer(os.getpid())


def _core(_: Limits) -> Picture:
    return answer(resource.getrlimit(resource.RLIMIT_CORE)[1])


def _too_many_tiles(limits: Limits) -> Picture:
    return answer(0, tiles=limits.max_tiles + 1)


def _unknown_reason(_: Limits) -> Picture:
    raise Unreadable("because")


def _known_reason(_: Limits) -> Picture:
    raise Unreadable("corrupt", "of old age")


def _garbage(_: Limits) -> Picture:
    for number in range(3, 16):
        if _is_open(number):
            os.write(number, b"\xff" * 64)
    return answer(0)


_ORDERS = {
    "crash": _crash,
    "hang": _hang,
    "hang for good": _hang,
    "spin": _spin,
    "bug": _bug,
    "memory": _memory,
    "write": _write,
    "files": _files,
    "environment": _environment,
    "threads": _threads,
    "pid": _pid,
    "core": _core,
    "too_many_tiles": _too_many_tiles,
    "unknown_reason": _unknown_reason,
    "known_reason": _known_reason,
    "garbage": _garbage,
}

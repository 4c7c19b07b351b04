"""Decoders under measurement: what each image cost the process that decoded it."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path

import psutil

from sluice.core.errors import Unreadable
from sluice.core.metrics import MetricName
from sluice.media.workers.pool import DecoderPool
from sluice.moderation.values import Picture
from sluice.settings import MIB, Media

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "AVIF")
"""Every format that can be opened at all: the two that wait to be asked for are as hostile."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the pool made of an image, and what that cost. `reason` is empty for a picture.

    `resident_bytes` is the most that the decoder had of its own.
    """

    picture: Picture | None
    reason: str
    wall_s: float
    cpu_s: float
    resident_bytes: int


_WORTH_A_WALK = 384 * MIB

Notes = dict[bytes, Answer]
"""Answers by the SHA-256 of what was asked."""


class Bench:
    """Decoder pools of one process each, so that a cost belongs to an image; images go round."""

    def __init__(self, pools: list["_MeasuredPool"], threads: list[ThreadPoolExecutor]) -> None:
        self._pools = pools
        self._threads = threads
        self._turn = count()
        self._templates = [pool.template.pid for pool in pools]

    def submit(self, data: bytes, notes: Notes) -> Future[Picture]:
        """Decode an image as DecoderPool does, and note the answer before it is given."""
        number = next(self._turn) % len(self._pools)
        return self._threads[number].submit(_decoded, self._pools[number], data, notes)

    @property
    def deaths(self) -> Counter[str]:
        """Decoders that died, by reason."""
        return sum((pool.deaths for pool in self._pools), Counter[str]())

    @property
    def templates_survived(self) -> bool:
        """Whether the processes that decoders are forked from are the ones that were started."""
        return self._templates == [pool.template.pid for pool in self._pools if pool.template.is_running()]


@contextmanager
def bench(size: int = 2, *, timeout_s: float = Media().decode_timeout_s) -> Iterator[Bench]:
    """Start `size` pools of one decoder each."""
    with ExitStack() as stack:
        media = Media(decoders=1, formats=FORMATS, decode_timeout_s=timeout_s)
        pools = [stack.enter_context(_MeasuredPool(media)) for _ in range(size)]
        yield Bench(pools, [stack.enter_context(ThreadPoolExecutor(1)) for _ in pools])


class _MeasuredPool(DecoderPool):
    """A pool that looks at its one decoder before it may be disposed of."""

    def __init__(self, media: Media) -> None:
        self.deaths: Counter[str] = Counter()
        self._resident_bytes = 0
        super().__init__(media, observe=self._died)

    @property
    def template(self) -> psutil.Process:
        return psutil.Process(self._fork_client._process.pid)

    def cpu(self) -> dict[int, float]:
        """Return the seconds each living decoder has used."""
        return {pid: _cpu_s(pid) for pid in self._decoders()}

    def _decoders(self) -> list[int]:
        """Return the children of the template; psutil would read all of /proc to find them, for every image."""
        pid = self._fork_client._process.pid
        return [int(child) for child in _read(f"/proc/{pid}/task/{pid}/children").split()]

    def take_resident(self) -> int:
        """Return the most memory that was resident since the last call."""
        taken, self._resident_bytes = self._resident_bytes, 0
        return taken

    def _give_back(self, decoder: object, *, spoilt: bool = False) -> None:
        for pid in self._decoders():
            self._resident_bytes = max(self._resident_bytes, _peak_bytes(pid))
        super()._give_back(decoder, spoilt=spoilt)  # type: ignore[arg-type]

    def _died(self, _name: MetricName, _value: float, labels: Mapping[str, str]) -> None:
        self.deaths[labels["reason"]] += 1


def _decoded(pool: "_MeasuredPool", data: bytes, notes: Notes) -> Picture:
    picture, reason = None, ""
    before, began_s = pool.cpu(), time.monotonic()
    try:
        picture = pool.submit(data).result()
    except Unreadable as refusal:
        reason = refusal.reason
        raise
    else:
        return picture
    finally:
        wall_s = time.monotonic() - began_s
        cpu_s = max((used - before.get(pid, 0.0) for pid, used in pool.cpu().items()), default=0.0)
        notes[sha256(data).digest()] = Answer(picture, reason, wall_s, cpu_s, pool.take_resident())


def _cpu_s(pid: int) -> float:
    """Return the seconds a process has had a processor; 0 for one that has gone."""
    return int((_read(f"/proc/{pid}/schedstat").split() or ["0"])[0]) / 1e9


def _peak_bytes(pid: int) -> int:
    """Return the high-water mark of a process's own resident memory, and set it back to what is resident now.

    What it shares with the template (the libraries and what they had read) is resident once for all decoders; it takes
    a walk over the page tables to tell, so a peak that is small anyway is given with it.
    """
    peak = _sum_bytes(pid, "status", "VmHWM")
    if peak > _WORTH_A_WALK:
        peak -= _sum_bytes(pid, "smaps_rollup", "Shared_")
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak


def _sum_bytes(pid: int, file: str, name: str) -> int:
    """Add up the lines of a process's file that begin with `name`; they are in KiB."""
    lines = _read(f"/proc/{pid}/{file}").splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def _read(path: str) -> str:
    """Read what the kernel says of a process; nothing of one that has gone."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""

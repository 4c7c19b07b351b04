"""What compression makes of outputs, in landings of 64: bytes in the broker's files, processor time, events a second.

A record batch holds what one landing sends to one partition, so the fewer partitions, the more there is to compress.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from sluice.core.records import Message
from tests.bench.rates import Work
from tests.bench.rounds import interleaved, medians
from tests.bench.transactions import PARTITIONS, Desk, desk, keyed

CODECS = ("none", "lz4", "snappy", "zstd")
SIZE = 64
ROUNDS = 5
LANDINGS = 10


@dataclass(frozen=True, slots=True)
class Taken:
    """What one event took: bytes of both topics in the broker's files, our processor time, and time."""

    disk_bytes: float
    cpu_us: float
    us: float

    @property
    def per_s(self) -> float:
        """Events a second."""
        return 1e6 / self.us


@dataclass(frozen=True, slots=True)
class Pressed:
    """Median of what an event took by each codec, and how it compares with none."""

    what: str
    taken: Mapping[str, Taken]

    def as_text(self) -> str:
        """Return a line for each codec."""
        plain = self.taken["none"]
        lines = (
            f"  {name}: {found.disk_bytes:.0f} bytes ({found.disk_bytes / plain.disk_bytes:.2f}), "
            f"{found.cpu_us:.0f} us of CPU ({found.cpu_us / plain.cpu_us:.2f}), "
            f"{found.per_s:.0f}/s ({found.per_s / plain.per_s:.2f})"
            for name, found in self.taken.items()
        )
        return "\n".join((f"{self.what}; ratio to none", *lines))

    def as_json(self) -> dict[str, object]:
        """Return the figures, rounded to what means something."""
        rounded = {name: {k: round(v, 1) for k, v in asdict(found).items()} for name, found in self.taken.items()}
        return {"what": self.what, "taken": rounded}


def pressed(address: str, folder: Path) -> list[Pressed]:
    """Measure every codec with outputs that go to all partitions, and to one."""
    with desk(address, folder) as at:
        one = keyed(at.events, [0], PARTITIONS)
        return [
            _pressed(at, folder, f"a landing of {SIZE} over {PARTITIONS} partitions", at.events),
            _pressed(at, folder, f"a landing of {SIZE} to 1 partition", one),
        ]


def _pressed(at: Desk, folder: Path, what: str, events: Sequence[tuple[Message, ...]]) -> Pressed:
    ways = {name: at.landing(SIZE, events=events, changes={"compression.type": name}) for name in CODECS}
    for work in ways.values():
        work()  # connections, metadata, a first epoch
    found = interleaved({name: partial(_taken, work, at, folder) for name, work in ways.items()}, ROUNDS)
    return Pressed(what, {name: medians(each) for name, each in found.items()})


def _taken(work: Work, at: Desk, folder: Path) -> Taken:
    size, cpu, started = _on_disk(at, folder), time.process_time(), time.perf_counter()
    count = sum(work() for _ in range(LANDINGS))
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return Taken((_on_disk(at, folder) - size) / count, cpu / count * 1e6, seconds / count * 1e6)


def _on_disk(at: Desk, folder: Path) -> int:
    topics = (at.ground.topics.verdicts, at.ground.topics.quality)
    return sum(log.stat().st_size for topic in topics for log in folder.glob(f"node-1/data/{topic}-*/*.log"))

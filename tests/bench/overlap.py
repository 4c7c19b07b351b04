"""Whether commits cost throughput: a backlog behind a device, by how long a commit takes and how many flights.

What is measured is one worker on one broker; its commits take so much longer than that broker's. `tests.bench.batching`
gives the same figures for other devices, in virtual time.
"""

from collections.abc import Iterator, Mapping
from itertools import repeat
from pathlib import Path

from tests.bench.altered import ALTERED
from tests.bench.rig import DEVICE, DEVICE_PER_S, broker, consumed, event, fill, stage
from tests.bench.sender import TINY
from tests.bench.tables import Cell, Table

COMMITS_MS = (0, 50)
FLIGHTS = (1, 4, 8)
BACKLOG = 3000


def measured() -> Iterator[Table]:
    """Let one worker after the other judge a backlog."""
    with broker() as (address, folder):
        rows = [_row(address, folder, commit, flights) for commit in COMMITS_MS for flights in FLIGHTS]
        yield Table(f"events/s out of a backlog; the device could do {DEVICE_PER_S:.0f}", rows)


def _row(address: str, folder: Path, commit_ms: float, flights: int) -> Mapping[str, Cell]:
    given = {"BENCH_COMMIT_MS": str(commit_ms), "SLUICE_BATCHING__MAX_FLIGHTS": str(flights)}
    ground = stage(address, folder, given={**DEVICE, **given})
    rate = consumed(ground, fill(ground, repeat(event(0, TINY), BACKLOG)), ALTERED).rate
    return {
        "commit takes longer by ms": commit_ms,
        "max_flights": flights,
        "events/s": rate,
        "of the device": rate / DEVICE_PER_S,
    }

"""Rules of cutting batches, compared in virtual time: the product's loop, a device and commits that take what is said.

Needs no broker and is the same on every machine. Three questions: how many flights ahead of which a partial batch takes
off, whether to round partial batches down to powers of two, and how many flights a slow commit needs.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from statistics import mean

from sluice.settings import Batching
from sluice.stream.batch import Batch, FillReason
from sluice.stream.batcher import Batcher
from sluice.stream.loop import Pace
from sluice.stream.poison import NO_SUSPECTS, Suspects
from tests.bench.tables import Cell, Table, percentiles
from tests.bench.timer import FillTimer
from tests.bench.virtual import MAX_BYTES, Service, World, played, poisson

MAX_RECORDS, MAX_FLIGHTS, AHEAD = Batching().max_records, Batching().max_flights, 2
SHARES = (0.25, 0.5, 0.75, 0.9)
EVENTS = 3000
# As a large GPU with brokers near by: 2,700 pictures a second in batches of 32, 370 one by one.
DEVICE = Service("2 ms + 0.31 ms a picture, commit 10 ms", 2, 0.31, 10, prepare_ms=0.15, latency_ms=3)
# As a small one, with decoders that take as long as a small pass.
SMALL = Service("10 ms + 1 ms a picture, decoded in 20 ms, commit 5 ms", 10, 1, 5, prepare_ms=0.3, latency_ms=20)
Rule = Callable[[World], tuple[Batcher, int]]


class Rounded(Batcher):
    """Cuts partial batches down to a power of two and leaves the rest waiting."""

    def cut(self, now_s: float, suspects: Suspects = NO_SUSPECTS, *, greedy: bool) -> Batch | None:
        """Return the next batch."""
        if not greedy or not self or self.full:
            return super().cut(now_s, suspects, greedy=greedy)
        return Batch(tuple(self._take(1 << (len(self).bit_length() - 1), suspects)), FillReason.GREEDY, now_s)


def timer(world: World) -> tuple[Batcher, int]:
    """Cut by a fill timer of 20 ms."""
    clock = lambda: world.now_s  # noqa: E731  named for the call below
    return FillTimer(max_records=MAX_RECORDS, max_bytes=MAX_BYTES, max_age_s=0.02, clock=clock), AHEAD


def greedy(ahead: int) -> Rule:
    """Cut whatever waits with fewer flights unfinished than `ahead`."""
    return lambda _: (Batcher(max_records=MAX_RECORDS, max_bytes=MAX_BYTES), ahead)


def rounded(_: World) -> tuple[Batcher, int]:
    """Do so, but round down."""
    return Rounded(max_records=MAX_RECORDS, max_bytes=MAX_BYTES), AHEAD


def tables() -> Iterator[Table]:
    """Answer the three questions."""
    rules = {"fill timer 20 ms": timer} | {f"ahead {number}": greedy(number) for number in (1, 2, 3, 4)}
    for service in (DEVICE, SMALL):
        yield ages(f"event age in ms by rule ({service.name})", service, rules)
    for fixed, name in ((False, "passes of any shape"), (True, "passes of powers of two, filled up")):
        service = replace(DEVICE, fixed=fixed)
        yield ages(
            f"event age in ms, rounded down or not ({name})", service, {"as it is": greedy(AHEAD), "rounded": rounded}
        )
    yield overlap((10, 20, 50), ((32, 4), (32, 8), (32, 12), (64, 4)))


def ages(what: str, service: Service, rules: Mapping[str, Rule], shares: Collection[float] = SHARES) -> Table:
    """Return how old events are when committed, by rule and share of the device's capacity."""
    return Table(what, [_aged(service, name, rule, share) for share in shares for name, rule in rules.items()])


def _aged(service: Service, name: str, rule: Rule, share: float) -> Mapping[str, Cell]:
    world = World(service, poisson(service.capacity(MAX_RECORDS) * share, EVENTS))
    batcher, ahead = rule(world)
    played(world, batcher, pace(MAX_FLIGHTS, ahead))
    ages_ms = percentiles([1000 * age_s for age_s in world.ages_s])
    load = {"batch": mean(world.batches), "busy": world.busy_s / world.now_s, "commits/s": world.commits / world.now_s}
    return {"load": f"{share:.0%}", "rule": name, **ages_ms, **load}


def overlap(commits_ms: Collection[float], sizes: Collection[tuple[int, int]]) -> Table:
    """Return which share of the device's capacity a backlog gets, by commit and by size and number of flights."""
    rows = [
        {
            "commit ms": commit_ms,
            "max_records": records,
            "max_flights": flights,
            "of capacity": drained(commit_ms, records, flights),
        }
        for commit_ms in commits_ms
        for records, flights in sizes
    ]
    return Table(
        f"share of the device's rate on a backlog ({DEVICE.pass_ms:g} ms + {DEVICE.image_ms:g} ms a picture)", rows
    )


def drained(commit_ms: float, max_records: int, max_flights: int, events: int = 12_000) -> float:
    """Return the rate at which a backlog lands, over that of a device that is never without a full batch."""
    service = replace(DEVICE, commit_ms=commit_ms)
    batcher = Batcher(max_records=max_records, max_bytes=MAX_BYTES)
    world = played(World(service, [0.0] * events), batcher, pace(max_flights, AHEAD))
    return events / world.now_s / service.capacity(max_records)


def pace(max_flights: int, ahead: int) -> Pace:
    """Return the product's pace with so many flights."""
    return Pace(max_flights, drain_timeout_s=1.0, retry_pause_s=1.0, ahead=ahead)

"""`python -m tests.bench.plan [--images-per-s 1000,100000]`: what so many images a second take, from stated facts.

Arithmetic, no measurement: every fact says whether it was measured, published, computed, set or assumed, and which
benchmark would replace it. What deaths and rollouts add is simulated (`tests.bench.fleet`).
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from math import ceil
from pathlib import Path

from sluice.kafka.topics import specs
from sluice.settings import Batching, Media, Topics
from tests.bench.facts import CORES_OF_A_GPU, FACTS, MIX, Facts
from tests.bench.fleet import Ages, Fleet, deaths, rollout, simulate

BEGIN, END = "<!-- begin: python -m tests.bench.plan --into docs/capacity.md -->\n\n", "<!-- end -->"
DAY_S = 86_400
RESTARTS = 20  # steps of a rollout
RATES = (1e3, 1e5, 1e6)
BATCH = Batching()
FLYING = BATCH.max_records * BATCH.max_flights
TOPICS = Topics()
COPIES = TOPICS.replication_factor
STILL = 0.9  # how busy a replica may be that has taken on a partition of one that is gone


@dataclass(frozen=True, slots=True)
class Landing:
    """Transactions of one replica, to which `rate` events a second come: how long each is, how many events it holds."""

    seconds: float
    events: float
    rate: float

    @property
    def limit(self) -> float:
        """Events a second at which one transaction follows another, all of them full."""
        return FLYING / self.seconds

    @property
    def share(self) -> float:
        """Share of the time in which a transaction is under way."""
        return self.seconds * self.rate / self.events


@dataclass(frozen=True, slots=True)
class Plan:
    """What `rate` images a second take; pictures travel by reference."""

    rate: float
    facts: Facts = FACTS

    @property
    def capacity(self) -> float:
        """Images a second of one replica, which has one GPU."""
        return self.facts.gpu.value * self.facts.end_to_end.value

    @property
    def replicas(self) -> int:
        """Processes, and GPUs: two at least, for one may die."""
        return max(2, ceil(self.rate / self.capacity / self.facts.busy.value))

    @property
    def partitions(self) -> int:
        """Partitions of each topic: so many a replica that one more than its share does not fill it."""
        busy = self.facts.busy.value
        return self.replicas * ceil(busy / (STILL - busy))

    @property
    def busy(self) -> float:
        """Share of all capacity in use."""
        return self.rate / self.replicas / self.capacity

    @property
    def decode_ms(self) -> float:
        """Milliseconds of a core for a picture of the mix."""
        ms: float = sum(getattr(self.facts, kind).value * share for kind, share in MIX.items())
        return ms

    @property
    def cores(self) -> float:
        """Cores that decode."""
        return self.rate * self.decode_ms / 1000 / self.facts.busy.value

    @property
    def png(self) -> float:
        """Share of PNGs of 1024 px, the rest JPEGs of 512 px, at which the cores of a GPU are as busy as it."""
        small, large = self.facts.jpeg_512.value, self.facts.png_1024.value
        return (CORES_OF_A_GPU * 1000 / self.capacity - small) / (large - small)

    @property
    def own(self) -> Landing:
        """Landings when the outputs of a partition go to one partition: those of a replica, and the offsets'."""
        return self._landing(self.writes(spread=False))

    @property
    def spread(self) -> Landing:
        """Landings when outputs go anywhere."""
        return self._landing(self.writes(spread=True))

    def writes(self, *, spread: bool) -> float:
        """Partitions that a landing writes to: two topics and the offsets."""
        count, own = self.partitions, self.partitions / self.replicas
        return 1 + 2 * (count * (1 - (1 - 1 / count) ** FLYING) if spread else own)

    def _landing(self, writes: float) -> Landing:
        seconds = (self.facts.commit.value + self.facts.touched.value * writes) / 1000
        each = self.rate / self.replicas
        return Landing(seconds, min(FLYING, max(BATCH.max_records, each * seconds)), each)

    @property
    def log_bytes(self) -> float:
        """Bytes a second into the log: events, verdicts, quality events, before they are copied."""
        return self.rate * (self.facts.event.value + self.facts.verdict.value + self.facts.quality.value)

    @property
    def disk_bytes(self) -> float:
        """Bytes kept, all copies, by the retention that `sluice topics create` sets."""
        kept = {spec.name: int(spec.config.get("retention.ms", 0)) / 1000 for spec in specs(TOPICS, Media())}
        facts = self.facts
        of = {TOPICS.images: facts.event, TOPICS.verdicts: facts.verdict, TOPICS.quality: facts.quality}
        return self.rate * COPIES * sum(fact.value * kept[topic] for topic, fact in of.items())

    @property
    def brokers(self) -> Mapping[str, float]:
        """Brokers, by what asks for them; what is written is read by the other copies and by one reader."""
        facts, landing = self.facts, self.own
        inline = self.rate * facts.picture.value * 1e3
        return {
            "bytes": self.log_bytes * COPIES / 1e9 / facts.broker.value,
            "bytes, pictures inline": (self.log_bytes + inline) * COPIES / 1e9 / facts.broker.value,
            "copies of partitions": 3 * self.partitions * COPIES / facts.copies.value,
            "ends of transactions": self.rate / landing.events * self.writes(spread=False) / facts.ended.value,
        }

    def fleet(self, *, eager: bool) -> Fleet:
        """Return the replicas as the simulator knows them."""
        facts = self.facts
        session, stop = (facts.session, facts.stop) if eager else (facts.consumer_session, facts.consumer_stop)
        # Nobody is told offsets that an open transaction may change: brokers end it, or the successor of the same id.
        open_s = min(facts.transaction.value + facts.scan.value, facts.load.value)
        times = (max(session.value, open_s), facts.load.value, stop.value)
        return Fleet(self.replicas, self.partitions, self.busy, *times, eager)


def rebalancing(fleet: Fleet, life_s: float) -> float:
    """Return the share of all capacity that deaths cost: the dead one's, and the stops of all or of what moves."""
    stopped = 2 * fleet.stop_s * (fleet.replicas if fleet.eager else 1)
    return (max(fleet.session_s, fleet.load_s) + stopped) / life_s


@dataclass(frozen=True, slots=True)
class Day:
    """A day of a fleet in which some die, at random, and all are restarted once, some at a time."""

    plan: Plan
    fleet: Fleet
    died: int
    ages: Ages

    @classmethod
    def of(cls, plan: Plan, *, eager: bool) -> "Day":
        """Simulate it."""
        fleet = plan.fleet(eager=eager)
        dead = deaths(fleet, DAY_S, life_s=plan.facts.life.value * DAY_S, seed=1)
        gone = [*dead, *rollout(fleet, 3600, share=1 / RESTARTS)]
        return cls(plan, fleet, len(dead), simulate(fleet, gone, DAY_S, step_s=0.5))

    @property
    def again(self) -> float:
        """Share of events that are judged twice at most: what is in flight when a partition is taken."""
        hit = self.fleet.replicas * 2 * (self.died + RESTARTS) if self.fleet.eager else self.died
        return hit * FLYING / self.plan.rate / DAY_S


ROWS: Mapping[str, Callable[[Plan], str]] = {
    "replicas, each with one GPU": lambda p: _n(p.replicas),
    "capacity in use": lambda p: f"{p.busy:.0%}",
    "partitions of each topic": lambda p: _n(p.partitions),
    "cores that decode, for the mix below": lambda p: _n(p.cores),
    "the same for each GPU": lambda p: _n(p.cores / p.replicas),
    f"1024 px PNG that {CORES_OF_A_GPU} cores a GPU keep up with, the rest 512 px JPEG": lambda p: f"{p.png:.0%}",
    "Python of a replica, of one core": lambda p: f"{p.own.rate * p.facts.python.value / 1000:.0%}",
    "new prompts a second": lambda p: _n(p.rate * p.facts.new_prompt.value),
    "their share of a GPU's time": lambda p: f"{p.facts.new_prompt.value * p.facts.text.value:.1%}",
    "pictures into the replicas, GB/s": lambda p: _n(p.rate * p.facts.picture.value / 1e6),
    "events into the log, MB/s": lambda p: _n(p.log_bytes / 1e6),
    "kept on the brokers' disks, TB": lambda p: _n(p.disk_bytes / 1e12),
    "events/s of a replica": lambda p: _n(p.own.rate),
    "events a landing": lambda p: _n(p.own.events),
    "transactions/s of all": lambda p: _n(p.rate / p.own.events),
    "time with one under way": lambda p: f"{p.own.share:.0%}",
    "most events/s that a replica can land": lambda p: _n(p.own.limit),
    "the same, outputs spread over all partitions": lambda p: _n(p.spread.limit),
    "brokers for partitions": lambda p: _n(ceil(p.brokers["copies of partitions"])),
    "brokers for bytes": lambda p: _n(ceil(p.brokers["bytes"])),
    "brokers for ends of transactions": lambda p: _n(ceil(p.brokers["ends of transactions"])),
    "pictures inline: brokers for bytes": lambda p: _n(ceil(p.brokers["bytes, pictures inline"])),
    "pictures inline: partitions for bytes": lambda p: _n(
        p.rate * p.facts.picture.value / 1e3 / p.facts.partition.value
    ),
    "minutes to drain a backlog of 10": lambda p: _n(10 * p.busy / (1 - p.busy)),
}

DAYS: Mapping[str, Callable[[Day], str]] = {
    "replicas that die": lambda d: _n(d.died),
    "capacity that costs": lambda d: f"{rebalancing(d.fleet, d.plan.facts.life.value * DAY_S):.2%}",
    "events judged twice, at most": lambda d: f"{d.again:.3%}",
    "events that wait more than 1 s": lambda d: f"{d.ages.beyond(1):.2%}",
    "p99 of the wait, s": lambda d: f"{d.ages.at(0.99):g}",
    "p99.9 of the wait, s": lambda d: f"{d.ages.at(0.999):g}",
    "longest wait, s": lambda d: f"{d.ages.longest:g}",
}


@dataclass(frozen=True, slots=True)
class Report:
    """One table: what its columns are, and its rows by name."""

    columns: Sequence[str]
    rows: Mapping[str, Sequence[str]]

    def as_text(self) -> str:
        """Return it as Markdown."""
        lines = (self.columns, ["---"] * len(self.columns), *([name, *cells] for name, cells in self.rows.items()))
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def as_json(self) -> dict[str, object]:
        """Return it by column."""
        return {"columns": list(self.columns), "rows": {name: list(cells) for name, cells in self.rows.items()}}


def reports(rates: Sequence[float] = RATES) -> Iterator[Report]:
    """Yield what each rate takes, what a day of deaths adds by group protocol, and what all that rests on."""
    plans = [Plan(rate) for rate in rates]
    days = [Day.of(plan, eager=eager) for plan in plans for eager in (True, False)]
    protocols = (f"{_n(day.plan.rate)}, {'classic' if day.fleet.eager else 'consumer'}" for day in days)
    yield Report(["images/s", *map(_n, rates)], {name: [row(each) for each in plans] for name, row in ROWS.items()})
    yield Report(["images/s", *protocols], {name: [row(each) for each in days] for name, row in DAYS.items()})
    facts = [getattr(FACTS, field.name) for field in fields(FACTS)]
    yield Report(
        ["what", "value", "", "by"],
        {
            fact.unit: [f"{fact.value:,.3g}" if fact.value < 1000 else f"{fact.value:,.0f}", fact.kind, fact.by]
            for fact in facts
        },
    )


def _n(value: float) -> str:
    """Return two digits that mean something, and whole numbers up to 10,000 in full."""
    if value >= 10:
        return f"{round(value, 0 if value < 1e4 else 3 - len(str(int(value)))):,.0f}"
    return f"{value:.2g}"


def main() -> None:
    """Print the tables, or put them into a page."""
    parser = argparse.ArgumentParser("python -m tests.bench.plan", description=__doc__)
    parser.add_argument("--images-per-s", default=",".join(f"{rate:g}" for rate in RATES), help="default: %(default)s")
    parser.add_argument("--into", type=Path, help="a page whose marked block the tables replace")
    arguments = parser.parse_args()
    rates = [float(rate) for rate in arguments.images_per_s.split(",")]
    text = "".join(f"{report.as_text()}\n" for report in reports(rates))
    if arguments.into:
        before, _, after = marked(arguments.into.read_text())
        arguments.into.write_text(f"{before}{text}{after}")
    else:
        sys.stdout.write(text)


def marked(page: str) -> tuple[str, str, str]:
    """Split a page into what stands before its marked block, the block, and what stands after it."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"the page lacks one of its marks: {BEGIN.strip()} and {END}")
    before, rest = page.split(BEGIN)
    block, after = rest.split(END)
    return before + BEGIN, block, END + after


if __name__ == "__main__":
    main()

"""What the benchmarks with real models share: the events, who consumes them round by round, and what came of it.

Every way is brought up once and then fed a backlog in turn with the others, so that each round is of one moment and
nobody's start counts.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from random import Random
from statistics import linear_regression, median
from time import monotonic

import psutil

from tests.bench import rig
from tests.bench.bundles import Size, write
from tests.bench.spent import Spent
from tests.chaos.stage import Stage
from tests.support.checkpoints import WORDS
from tests.support.ports import free_port

PICTURES = 48
PROMPTS = 24
WORDS_EACH = 16
WARM_UP = 8
CORES = psutil.cpu_count(logical=False) or 1


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much there is of everything in one run."""

    model: Size = "ViT-B/32"
    edge_px: int = 512
    rounds: int = 3
    events: int = 192
    """Of a round; ways that are slow get fewer, as they say."""


@dataclass(frozen=True, slots=True)
class Duel:
    """Events per second of each round, by way; the first way over the second is what counts."""

    what: str
    per_s: Mapping[str, Sequence[float]]
    goal: float
    sizes: Mapping[str, object]
    table: Mapping[str, float] = field(default_factory=dict)
    """What explains the rest, by name with its unit."""

    @property
    def ratios(self) -> list[float]:
        """First over second, round by round."""
        first, second = self.per_s.values()
        return [ours / theirs for ours, theirs in zip(first, second, strict=True)]

    @property
    def ratio(self) -> float:
        """The median round's."""
        return median(self.ratios)

    def as_text(self) -> str:
        """Return both rates, their ratio and its spread, the sizes, and the table below."""
        ways = ", ".join(f"{name} {median(rates):.2f}/s" for name, rates in self.per_s.items())
        spread = f"{min(self.ratios):.2f} to {max(self.ratios):.2f}"
        sizes = ", ".join(f"{name} {size}" for name, size in self.sizes.items())
        rows = "".join(f"\n  {name:<40} {figure:8.2f}" for name, figure in self.table.items())
        return f"{self.what}: {ways}, ratio {self.ratio:.2f} ({spread}), goal {self.goal:g}; {sizes}{rows}"

    def as_json(self) -> dict[str, object]:
        """Return the figures, every round's."""
        return {
            "what": self.what,
            "per_s": {name: [round(rate, 3) for rate in rates] for name, rates in self.per_s.items()},
            "ratio": round(self.ratio, 3),
            "ratios": [round(ratio, 3) for ratio in self.ratios],
            "goal": self.goal,
            "sizes": dict(self.sizes),
            "table": {name: round(figure, 3) for name, figure in self.table.items()},
        }


def slope(at_s: Sequence[float]) -> float:
    """Return how many outputs came a second, by least squares over all of them; they must come in several landings.

    Between the first and the last lies one landing less than was counted, and of ten that is much; what a consumer
    takes to fill its pipeline shifts the line and does not tilt it.
    """
    return linear_regression(at_s, range(len(at_s))).slope


def pace(at_s: Sequence[float], took_s: float) -> float:
    """Return how many outputs came a second; what bears one timestamp has no slope, and counts over the whole round."""
    return slope(at_s) if at_s[0] < at_s[-1] else len(at_s) / took_s


@cache
def picture(number: int, edge_px: int) -> bytes:
    """Return the JPEG photograph of an event, one of `PICTURES`."""
    return rig.photograph(number % PICTURES, edge_px)


def prompt(number: int) -> str:
    """Return the prompt of an event, one of `PROMPTS`; each of its words is a token, as most are in real prompts."""
    return " ".join(Random(number % PROMPTS).choices(WORDS, k=WORDS_EACH))


def backlog(first: int, count: int, edge_px: int) -> list[bytes]:
    """Encode `count` events from number `first` on."""
    return [rig.event(number, picture(number, edge_px), prompt(number)) for number in range(first, first + count)]


def settings(bundle: Path, journal: Path) -> dict[str, str]:
    """Return what a worker gets instead of a trial's settings: the model, and production's share of the machine."""
    return {
        "SLUICE_MODELS__BUNDLE": str(bundle),
        "SLUICE_MODELS__DEVICE": "auto",
        "SLUICE_MODELS__TORCH_THREADS": "0",
        "SLUICE_POISON__JOURNAL_FOLDER": str(journal),
        "OMP_NUM_THREADS": str(CORES),
    }


@dataclass(slots=True)
class Fed:
    """A consumer that lives through all rounds, on topics of its own; made by `feeding`."""

    ground: Stage
    process: psutil.Popen
    port: int
    """Where it serves its metrics."""
    edge_px: int
    landed: int = 0
    counted: int = 0
    """Events of the rounds; `spent` and `took_s` say what each round took, in processor seconds and seconds."""
    spent: list[Spent] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)

    def feed(self, count: int) -> Sequence[float]:
        """Publish so many events and wait for their verdicts; return when those were produced, seconds, in order."""
        rig.fill(self.ground, backlog(self.landed, count, self.edge_px))
        self.landed += count
        verdicts = rig.flow(self.ground, self.landed, alive=lambda: self.process.poll() is None)
        return verdicts.at_s[-count:]

    def round(self, count: int) -> float:
        """Feed it so many events; return how many verdicts came a second."""
        before, started = Spent.by(self.process), monotonic()
        at_s = self.feed(count)
        self.took_s.append(monotonic() - started)
        self.spent.append(Spent.by(self.process).since(before))
        self.counted += count
        return pace(at_s, self.took_s[-1])

    def each_ms(self, of: Callable[[Spent], float]) -> float:
        """Return milliseconds of processor time an event, all rounds together."""
        return sum(map(of, self.spent)) / self.counted * 1000

    @property
    def own_ms(self) -> float:
        """Milliseconds of processor time an event: the consumer's, and that of the processes below it."""
        return self.each_ms(lambda spent: spent.worker + spent.below)

    @property
    def wall_ms(self) -> float:
        """Milliseconds an event, all rounds together, each from its first event's publication."""
        return sum(self.took_s) / self.counted * 1000


@contextmanager
def feeding(ground: Stage, program: Sequence[str], edge_px: int) -> Iterator[Fed]:
    """Start a consumer and feed it until it is warm."""
    port = free_port()
    ground = replace(ground, given={**ground.given, "SLUICE_TELEMETRY__HTTP_PORT": str(port)})
    with rig.consuming(ground, program) as process:
        fed = Fed(ground, process, port, edge_px)
        fed.feed(WARM_UP)
        yield fed


@dataclass(frozen=True, slots=True)
class Arena:
    """A broker and a bundle, where ways meet; made by `arena`."""

    address: str
    folder: Path
    bundle: Path
    sizes: Sizes
    stack: ExitStack

    def feeding(self, program: Sequence[str], given: Mapping[str, str] | None = None) -> Fed:
        """Bring up a way that consumes; it leaves with the arena."""
        mine = settings(self.bundle, self.folder / "journal") | dict(given or {})
        ground = rig.stage(self.address, self.folder, given=mine)
        return self.stack.enter_context(feeding(ground, program, self.sizes.edge_px))


@contextmanager
def arena(sizes: Sizes) -> Iterator[Arena]:
    """Start a broker and write a bundle."""
    with rig.broker() as (address, folder), ExitStack() as stack:
        yield Arena(address, folder, write(folder, sizes.model), sizes, stack)


def described(sizes: Sizes, **more: object) -> dict[str, object]:
    """Return what a reader of a result must know."""
    return {
        "model": sizes.model,
        "picture": f"{sizes.edge_px} px JPEG",
        "rounds": sizes.rounds,
        "events a round": sizes.events,
        "cores": CORES,
        "broker": "Apache Kafka" if "KAFKA_HOME" in os.environ else "embedded",
        **more,
    }

"""`python -m tests.bench NAME [--json FILE]`: run one benchmark, or `all` in short, and print what they found."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from tests.bench import (
    band,
    batching,
    codec,
    efficiency,
    inference,
    kafka,
    latency,
    media,
    memory,
    naive,
    overhead,
    overlap,
    plan,
    rebalance,
    scaling,
    servers,
    soak,
)
from tests.bench.frameworks import race


class Result(Protocol):
    """What a benchmark found."""

    def as_text(self) -> str:
        """Say it in a line."""

    def as_json(self) -> dict[str, object]:
        """Return the figures."""


BENCHMARKS: Mapping[str, Callable[[float], Iterable[Result]]] = {
    "band": lambda _: band.measured(),
    "band-long": lambda _: band.measured_long(),
    "batching": lambda _: batching.tables(),
    "codec": lambda _: codec.ratios(),
    "efficiency": lambda _: efficiency.ratios(),
    "frameworks": lambda _: race.rates(),
    "kafka": lambda _: kafka.measured(),
    "inference": lambda _: inference.rates(),
    "latency": lambda _: latency.measured(),
    "media": lambda _: media.measured(),
    "memory": lambda _: memory.measured(),
    "naive": lambda _: naive.ratios(),
    "overhead": lambda _: overhead.measured(),
    "overlap": lambda _: overlap.measured(),
    "plan": lambda _: plan.reports(),
    "rebalance": lambda _: rebalance.measured(),
    "scaling": lambda _: scaling.measured(),
    "scaling-long": lambda _: scaling.measured(scaling.LONG),
    "servers": lambda _: servers.ratios(),
    "soak": soak.soaked,
}
LONG = ("band-long", "scaling-long", "soak")


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser("python -m tests.bench", description=__doc__)
    parser.add_argument("name", choices=[*BENCHMARKS, "all"])
    parser.add_argument("--json", type=Path, help="write the figures there too, by benchmark")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to soak (default: %(default)g)")
    arguments = parser.parse_args()
    names = [name for name in BENCHMARKS if name not in LONG] if arguments.name == "all" else [arguments.name]
    found = {name: list(_shown(name, arguments.minutes)) for name in names}
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


def _shown(name: str, minutes: float) -> Iterator[dict[str, object]]:
    """Print each result as it is found and yield its figures; say what is missing where one cannot be measured."""
    sys.stdout.write(f"## {name}\n")
    try:
        for result in BENCHMARKS[name](minutes):
            sys.stdout.write(f"{result.as_text()}\n")
            sys.stdout.flush()
            yield result.as_json()
    except pytest.skip.Exception as missing:
        sys.stdout.write(f"not measured: {missing}\n")


if __name__ == "__main__":
    main()

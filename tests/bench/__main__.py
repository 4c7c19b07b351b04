"""`python -m tests.bench NAME [--json FILE]`: run one benchmark and print its table."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tests.bench import codec, transactions
from tests.bench.measure import Ratio

BENCHMARKS: Mapping[str, Callable[[], Iterable[Ratio]]] = {
    "codec": codec.ratios,
    "transactions": transactions.ratios,
}


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser("python -m tests.bench", description=__doc__)
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    results = list(BENCHMARKS[arguments.name]())
    for result in results:
        ways = ", ".join(f"{name} {us:.1f} us" for name, us in result.us.items())
        sys.stdout.write(f"{result.what}: {ways}, ratio {result.ratio:.2f}\n")
    if arguments.json:
        arguments.json.write_text(json.dumps([result.as_json() for result in results], indent=2) + "\n")


if __name__ == "__main__":
    main()

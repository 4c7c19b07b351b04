"""`python -m tests.hostile --json FILE`: every hostile file to a verdict, Pillow's own test images, and a browser."""

import argparse
import json
import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from tests.hostile.bench import bench
from tests.hostile.browser import chromium, executable
from tests.hostile.catalogue import SEED, corpus
from tests.hostile.comparison import comparisons, sample
from tests.hostile.pillow_images import pillow_images
from tests.hostile.report import Report
from tests.hostile.specimen import Specimen
from tests.hostile.trial import Trial, starter


def main() -> int:
    """Hold the trial, say what it found, return 0 only if nothing happened that may not."""
    asked = _parsed()
    report = Report(asked.seed)
    files = chain(corpus(asked.seed), () if asked.without_pillow else pillow_images())
    _try(files, report, asked.timeout_s)
    if asked.browser_files:
        _compare(asked, report)
    sys.stdout.write(report.as_text() + "\n")
    if asked.json:
        asked.json.write_text(json.dumps(report.as_json(), indent=2) + "\n")
    return 0 if report.clean else 1


def _try(files: Iterable[Specimen], report: Report, timeout_s: float) -> None:
    with bench(timeout_s=timeout_s) as decoders, starter() as judge:
        for result in Trial(decoders, judge).results(files):
            report.add(result)
        report.deaths, report.templates_survived = decoders.deaths, decoders.templates_survived


def _compare(asked: argparse.Namespace, report: Report) -> None:
    path = executable()
    if path is None:
        sys.stdout.write("no Chromium is installed: nothing was compared with a browser\n")
        return
    with bench(1, timeout_s=asked.timeout_s) as decoders, chromium(path) as browser:
        for comparison in comparisons(sample(corpus(asked.seed), asked.browser_files, asked.seed), decoders, browser):
            report.compare(comparison)


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--json", type=Path, help="where the findings go")
    parser.add_argument("--browser-files", type=int, default=200, help="files compared with Chromium; 0 for none")
    parser.add_argument(
        "--timeout-s",
        type=float,
        default=2.0,
        help="wall time for one image; more than a consumer's on a crowded machine",
    )
    parser.add_argument("--without-pillow", action="store_true", help="leave out what must be downloaded")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.bench.altered`: the blank worker (`tests.bench.blank`) with something changed, to compare it with.

BENCH_FILL_TIMER_MS cuts partial batches by a timer of so many milliseconds; BENCH_COMMIT_MS makes every commit take so
much longer, as brokers further away would.
"""

import os
import sys
import time
from dataclasses import replace
from typing import Any

from confluent_kafka import Producer

from sluice.cli.run import Stop
from sluice.kafka.client import Config, OnError, reports_to
from sluice.services.moderator import app
from sluice.settings import Settings
from tests.bench.blank import OPENING, main
from tests.bench.timer import FillTimer

ALTERED = (sys.executable, "-m", "tests.bench.altered")


class SlowProducer(Producer):
    """Commits after a while."""

    def commit_transaction(self, *timeout: Any) -> None:
        """Sleep, then commit."""
        time.sleep(float(os.environ["BENCH_COMMIT_MS"]) / 1000)
        super().commit_transaction(*timeout)


def slow(config: Config, on_error: OnError) -> Producer:
    """Make a producer whose commits take longer."""
    return SlowProducer(config | reports_to(on_error))


def run(settings: Settings, stop: Stop) -> None:
    """Consume until SIGTERM."""
    factories = replace(OPENING, producer=slow) if "BENCH_COMMIT_MS" in os.environ else OPENING
    with app.consumer(settings, factories) as loop:
        if "BENCH_FILL_TIMER_MS" in os.environ:
            max_age_s = float(os.environ["BENCH_FILL_TIMER_MS"]) / 1000
            sizes = {"max_records": settings.batching.max_records, "max_bytes": settings.batching.max_bytes}
            loop.batcher = FillTimer(**sizes, max_age_s=max_age_s, clock=time.monotonic)
        loop.run(stop)


if __name__ == "__main__":
    main(run)

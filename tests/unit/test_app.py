"""The wiring's own promises."""

import threading
import time
from collections.abc import Sequence

import pytest

from sluice.core.errors import DeviceLost
from sluice.models.worker import Answers, InferenceWorker, PassWatchdog
from sluice.moderation.values import Job
from sluice.services.moderator.app import batch_threads


def test_a_hung_lane_does_not_keep_the_process_from_leaving() -> None:
    started = threading.Event()

    def hang(_jobs: Sequence[Job]) -> Answers:
        started.set()
        threading.Event().wait()
        return []

    inference = InferenceWorker(hang, (), PassWatchdog(time.monotonic), timeout_s=120)
    with batch_threads(2, inference, patience_s=0.1) as threads:
        waiting = [threads.submit(lambda: inference.submit([]).result()) for _ in range(2)]
        assert started.wait(60)
    for each in waiting:
        with pytest.raises(DeviceLost):
            each.result(0)

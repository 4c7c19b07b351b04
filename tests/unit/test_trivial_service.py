"""The runtime runs a service of a few lines, and nothing that judges images is imported for it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = """
import random, sys
from concurrent.futures import Future
from dataclasses import dataclass
from sluice.core.records import Message, Record
from sluice.stream.batcher import Batcher
from sluice.stream.fuse import Fuse
from sluice.stream.lag import LagReporter
from sluice.stream.loop import Loop, Pace
from sluice.stream.loop_metrics import LoopMetrics, TimeAccounting
from tests.support.fake_bus import FakeCluster

@dataclass(frozen=True)
class Shouted:
    record: Record
    messages: tuple[Message, ...]
    rejected: str = ""

def shout(batch):
    done = Future()
    done.set_result([Shouted(r, (Message("shouts", r.key, r.value.upper()),)) for r in batch.records])
    return done

cluster, silent = FakeCluster(1, random.Random(0)), lambda *_: None
for word in (b"hey", b"you"):
    cluster.append(b"k", word)
zero = lambda: 0.0
metrics = LoopMetrics(silent, silent, LagReporter(lambda _: {}, "g", silent, zero, zero), TimeAccounting(zero, silent))
loop = Loop(cluster.join("m"), cluster.producer("t"), shout, Batcher(max_records=5, max_bytes=99), Fuse(1.0, 9, 9),
            Pace(2, 1.0, 1.0), clock=zero, sleep=silent, metrics=metrics)
turns = iter(range(12))
loop.run(lambda: next(turns, None) is None)
print(*(message.value.decode() for message in cluster.committed_messages("shouts")))
print(*(name for name in sys.modules if name.startswith(("sluice.moderation", "sluice.models", "numpy"))))
"""


def test_the_runtime_runs_a_service_that_knows_no_images() -> None:
    found = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert found.stdout == "HEY YOU\n\n"

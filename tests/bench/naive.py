"""Against the usual loop (`tests.bench.naive_loop`): same events, weights, machine and broker."""

import sys
from collections.abc import Iterator

import torch

from tests.bench import rig
from tests.bench.endtoend import Duel, Sizes, arena, described
from tests.bench.rounds import interleaved

LOOP = (sys.executable, "-m", "tests.bench.naive_loop")
GOAL = 3.0
LOOP_SHARE = 4
"""The loop gets one event of so many: it is that much slower, and has no pipeline that must be full."""


def measured(sizes: Sizes) -> Duel:
    """Measure the consumer against the loop, each on topics of its own, fed in turn."""
    with arena(sizes) as where:
        sluice, naive = where.feeding(rig.SLUICE), where.feeding(LOOP)
        few = sizes.events // LOOP_SHARE
        ways = {"sluice": lambda: sluice.round(sizes.events), "naive": lambda: naive.round(few)}
        per_s = interleaved(ways, sizes.rounds)
        table = {"CPU ms an event: sluice run": sluice.own_ms, "CPU ms an event: the loop": naive.own_ms}
    more = {"of the loop": few}
    return Duel("naive: sluice run / one message at a time", per_s, GOAL, described(sizes, **more), table)


def ratios() -> Iterator[Duel]:
    """Measure ViT-B/32 on a CPU, ViT-L/14 where there is a GPU."""
    yield measured(Sizes(model="ViT-L/14", events=2048) if torch.cuda.is_available() else Sizes())

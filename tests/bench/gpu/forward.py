"""Images a second through both models at every batch size, by precision, number of towers and way."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from sluice.models.forward import Forward
from tests.bench.bundles import Size
from tests.bench.eyes import EDGE, eyes, noise, placed
from tests.bench.gpu.ways import OneAhead, Way, compiled, eager, graphed
from tests.bench.rates import Work, in_turn
from tests.support.checkpoints import Shape

PASSES = 8
ROUNDS = 3
PRECISIONS = (torch.float16, torch.bfloat16)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured."""

    size: Size
    device: torch.device
    batches: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    compiled: Sequence[int] = (8, 64, 256)
    """Batch sizes to compile for, in float16 and one tower only: a compiler takes a minute for each."""
    seconds: float = 0.25


@dataclass(frozen=True, slots=True)
class Row:
    """Images a second of one way."""

    precision: str
    towers: int
    way: str
    batch: int
    per_s: float


def rows(plan: Plan) -> Iterator[Row]:
    """Measure every way at every batch size, those of one size in turn."""
    where = {1: placed(plan.size, plan.device), 2: placed(plan.size, plan.device, same_tower=False)}
    looks = {(dtype, towers): eyes(each, dtype) for towers, each in where.items() for dtype in PRECISIONS}
    for batch in plan.batches:
        with torch.inference_mode():
            chosen = ways(looks, batch)
            if batch in plan.compiled:
                fused = compiled(eyes(where[1], torch.float16))
                chosen[torch.float16, 1, "compile"] = eager(fused)
                chosen[torch.float16, 1, "compile, graph"] = graphed(fused, batch)
            works = {"/".join(map(str, key)): _work(way, batch) for key, way in chosen.items()}
            found = in_turn(f"batch {batch}", works, base=next(iter(works)), rounds=ROUNDS, seconds=plan.seconds)
        for (dtype, towers, name), per_s in zip(chosen, found.per_s.values(), strict=True):
            yield Row(precision(dtype), towers, name, batch, per_s)


def ways(looks: Mapping[tuple[torch.dtype, int], Forward], batch: int) -> dict[tuple[torch.dtype, int, str], Way]:
    """Return every way that needs no compiler, for passes of this size."""
    found: dict[tuple[torch.dtype, int, str], Way] = {}
    for (dtype, towers), look in looks.items():
        found[dtype, towers, "eager"] = eager(look)
        found[dtype, towers, "one ahead"] = OneAhead(look, batch)
        found[dtype, towers, "graph"] = graphed(look, batch)
    return found


def precision(dtype: torch.dtype) -> str:
    """Name a precision."""
    return str(dtype).removeprefix("torch.")


def flop_per_image(shape: Shape) -> float:
    """Count the floating-point operations of one image in one vision tower: two for each product and sum."""
    tower = shape.vision or shape.tower
    patches = (EDGE // shape.patch) ** 2
    tokens = patches + 1
    layer = tokens * (4 * tower.hidden**2 + 2 * tower.hidden * tower.mlp + 2 * tokens * tower.hidden)
    return float(2 * (tower.layers * layer + patches * 3 * shape.patch**2 * tower.hidden))


def _work(way: Way, batch: int) -> Work:
    passes = [noise(batch, seed) for seed in range(PASSES)]

    def work() -> int:
        way(passes)
        return batch * PASSES

    return work

"""What stands beside the images a second: what the device can do at most, and what prompts cost it."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch

from sluice.models.clip import PASS
from sluice.models.load import Placed, _text
from sluice.settings import Models
from tests.bench.eyes import VOCABULARY
from tests.bench.gpu.forward import precision
from tests.bench.rates import Work, in_turn

EDGE = 8192
REPEATS = 10
LENGTHS = (16, 32, 77)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What a large product of random matrices reaches."""

    precision: str
    tflop_per_s: float


@dataclass(frozen=True, slots=True)
class Reading:
    """Prompts a second through the text tower."""

    precision: str
    tokens: int
    per_s: float


def ceilings(device: torch.device, edge: int = EDGE) -> Iterator[Ceiling]:
    """Measure the product of two (edge, edge) matrices; zeros would run faster than what is real."""
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        left, right = (torch.randn(edge, edge, device=device).to(dtype) for _ in range(2))
        taken = []
        for _ in range(3 + REPEATS):
            wait(device)
            started = perf_counter()
            left @ right
            wait(device)
            taken.append(perf_counter() - started)
        yield Ceiling(precision(dtype), 2 * edge**3 / median(taken[3:]) / 1e12)


def readings(where: Placed, seconds: float = 0.25) -> Iterator[Reading]:
    """Let the text tower embed prompts of each length, in the float32 the inference worker uses and in float16."""
    for tokens in LENGTHS:
        works = {name: _reading(where, dtype, tokens) for name, dtype in _PRECISIONS.items()}
        found = in_turn(f"{tokens} tokens", works, base="float32", rounds=3, seconds=seconds)
        for name, per_s in found.per_s.items():
            yield Reading(name, tokens, per_s)


_PRECISIONS = {"float32": torch.float32, "float16": torch.float16}


def _reading(where: Placed, dtype: torch.dtype, tokens: int) -> Work:
    tower = torch.nn.Module.to(_text(Models(), where).encoder._tower, dtype=dtype)
    ids = torch.randint(0, VOCABULARY - 2, (PASS, tokens), device=where.device)
    ids[:, -1] = VOCABULARY - 1

    def work() -> int:
        with torch.inference_mode():
            tower(input_ids=ids)
        wait(where.device)
        return PASS

    return work


def wait(device: torch.device) -> None:
    """Wait until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

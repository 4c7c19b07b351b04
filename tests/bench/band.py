"""How far rounding moves a score, against the guard band that covers it; and what looking twice costs.

Pictures are the simulator's. A difference is that of a concept's cosine, the largest of any picture and concept, to
what the picture gets alone in float32: in half precision, and in float32 in a pass of several. Flips are counted
over many sets of thresholds, each of which stands on what one of the pictures scores.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

import numpy as np
import torch

from sluice.media.decoding import tiles
from sluice.models.forward import FixedShape, ForwardPasses
from sluice.models.guard_band import FIRES_ABOVE, GuardBand
from sluice.models.load import FIXED_ROWS, TRIALS, Placed, _band, _warm, load, place
from sluice.models.safety import Floats, decide
from sluice.models.worker import InferenceWorker
from sluice.moderation.values import CHECKER, Pixels
from sluice.policies import preset
from sluice.settings import Models, Precision
from sluice_sim.scenes import draw, sample
from tests.bench.bundles import Size
from tests.bench.eyes import drawn, eyes, placed
from tests.bench.rates import Rates, Work, in_turn
from tests.support import jobs
from tests.support.checkpoints import Shape

CPU = torch.device("cpu")
PICTURES, LONG = 500, 10_000
DRAWN_PX = 448
CHUNK = 64
THRESHOLD_SETS = 100
ROWS = 16
SMALL: dict[str, Shape] = {
    "random, 2 layers of 64": Shape(hidden=64),
    "random, 6 layers of 128": Shape(hidden=128, layers=6, spread=0.1),
}
LARGE: dict[Size, int] = {"ViT-B/32": 16}
LARGEST: dict[Size, int] = {"ViT-B/32": 100, "ViT-L/14": 20}
"""Pictures for towers that take a second for one."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The largest difference found, the band that must exceed it, and the share of pictures within the band."""

    where: str
    pictures: int
    largest: float
    band: float
    share: float
    """Of pictures within the band around the bundle's own thresholds, 0 to 1."""
    flips: int
    """How often rounding changed which concepts of a picture fire, and a second look did not mend it."""
    flips_without: int
    """How often it would without a second look."""

    @property
    def factor(self) -> float:
        """How many times as wide as the largest difference the band is."""
        return self.band / self.largest if self.largest else float("inf")

    def as_text(self) -> str:
        """Say it in a line."""
        verdict = f"{self.factor:.1f} times that" if self.factor > 1 else "TOO NARROW"
        return (
            f"{self.where}: largest difference {self.largest:.1e} in {self.pictures} pictures, "
            f"band {self.band:g}: {verdict}; {self.share:.1%} looked at again; "
            f"{self.flips} flips, {self.flips_without} without a second look"
        )

    def as_json(self) -> dict[str, object]:
        """Return the figures."""
        return {
            "where": self.where,
            "pictures": self.pictures,
            "largest": self.largest,
            "band": self.band,
            "factor": round(self.factor, 2),
            "share": round(self.share, 4),
            "flips": self.flips,
            "flips_without": self.flips_without,
        }


def measured(pictures: int = PICTURES, large: dict[Size, int] | None = None) -> Iterator[Gap | Rates]:
    """Measure differences on the starter bundle and on random checkpoints, then the cost on the starter bundle."""
    torch.set_num_threads(1)
    yield from gaps("starter", place(Models(bundle="starter", device="cpu")), pictures)
    for name, shape in SMALL.items():
        yield from gaps(name, drawn(shape, CPU), pictures)
    for size, few in (large or LARGE).items():
        halves = (torch.bfloat16,) if size == "ViT-L/14" else (torch.float16, torch.bfloat16)
        yield from gaps(f"random, {size}", placed(size, CPU), few, halves)
    yield _cost()


def measured_long() -> Iterator[Gap | Rates]:
    """Measure the same on many more pictures and on the largest towers."""
    return measured(LONG, LARGEST)


@cache
def scene(number: int) -> Pixels:
    """Draw one tile of a scene, every second of them unsafe."""
    rng = Random(number)
    view = np.array(draw(sample(rng, unsafe=number % 2 == 0), DRAWN_PX), np.uint8)
    layout = tiles.plan(*view.shape[:2], tile_above_aspect=1.15, max_tiles=1)
    return tiles.tiles(view, layout)[:1]


def scenes(count: int) -> Iterator[Pixels]:
    """Draw so many, in chunks."""
    for first in range(0, count, CHUNK):
        yield np.concatenate([scene(number) for number in range(first, min(first + CHUNK, count))])


def gaps(
    name: str, where: Placed, pictures: int, halves: Sequence[torch.dtype] = (torch.float16, torch.bfloat16)
) -> Iterator[Gap]:
    """Compare passes of several, in float32 and each half precision, with a fixed-shape float32 pass."""
    exact = eyes(where, torch.float32)
    again = FixedShape(exact, FIXED_ROWS[where.device.type], beat=_nothing)
    fast = {dtype: exact if dtype == torch.float32 else eyes(where, dtype) for dtype in (torch.float32, *halves)}
    looks = {dtype: ForwardPasses(look, ROWS, beat=_nothing, on_split=_nothing) for dtype, look in fast.items()}
    with torch.inference_mode():
        bands = {dtype: _band(Models(), dtype, _warm(look, again, TRIALS)) for dtype, look in looks.items()}
    alone: list[Floats] = []
    found: dict[torch.dtype, list[Floats]] = {dtype: [] for dtype in looks}
    with torch.inference_mode():
        for tiles in scenes(pictures):
            alone.append(again(tiles).margins.cosine)
            for dtype, look in looks.items():
                found[dtype].append(look(tiles).margins.cosine)
    for dtype, seen in found.items():
        label = f"{name}, {str(dtype).removeprefix('torch.')}"
        yield gap(label, np.concatenate(seen), np.concatenate(alone), exact.head.threshold, bands[dtype])


def gap(where: str, seen: Floats, alone: Floats, threshold: Floats, band: float) -> Gap:
    """Compare (N, 20) cosines of a fast way with those of each picture alone."""
    guard = GuardBand(band)
    flips = flips_without = 0
    rng = np.random.default_rng(0)
    for _ in range(THRESHOLD_SETS):
        near_one = alone[rng.integers(len(alone), size=len(CHECKER.ids)), np.arange(len(CHECKER.ids))] - np.float32(
            FIRES_ABOVE
        )
        margins = decide(seen, near_one)
        wrong = (margins.fired != decide(alone, near_one).fired).any(axis=1)
        flips_without += int(wrong.sum())
        flips += int((wrong & ~guard.near(margins)).sum())
    share = float(guard.near(decide(seen, threshold)).mean())
    return Gap(where, len(seen), float(np.abs(seen - alone).max()), band, share, flips, flips_without)


def _cost() -> Rates:
    """Let lanes of the starter bundle score scenes with and without the band."""
    ways: dict[str, Work] = {}
    for precision in (Precision.FLOAT32, Precision.BFLOAT16):
        for label, band in (("", Models().guard_band), (", no band", 0.0)):
            settings = Models(bundle="starter", device="cpu", precision=precision, guard_band=band)
            ways[f"{precision}{label}"] = _scoring(load(settings, turning=preset("balanced").turning_cosines))
    return in_turn("the inference worker on the starter bundle", ways, base="float32", seconds=0.5)


def _scoring(inference: InferenceWorker) -> Work:
    batch = [jobs.job(scene(number)) for number in range(CHUNK)]

    def work() -> int:
        return len(inference.score(batch))

    return work


def _nothing() -> None:
    """Do nothing."""

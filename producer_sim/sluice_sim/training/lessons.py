"""What there is to learn from a scene: pixels in a memory-mapped cache, and answers to simple questions.

A tower trained from scratch on contrastive loss alone is slow to notice that shapes and places exist. So during
training both towers also answer a questionnaire (what stands on the left? in which colour? how large?), and every
patch says what covers it. The answers come with the scene; the layers that give them are thrown away.
"""

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from sluice_sim.glyphs import FAMILIES, GLYPHS
from sluice_sim.pictures import degrade, encode
from sluice_sim.scenes import BACKGROUNDS, COLOURS, PLACES, SHAPES, SIZES, TEXTURES, Hazard, Scene, Thing, draw, sample
from sluice_sim.training.sight import EDGE, Pixels, see

GRID: Final = 8
"""Patches along an edge of the picture."""

KINDS: Final = ("ground", *SHAPES, *GLYPHS)
"""What can cover a patch."""

QUESTIONS: Final = (
    len(BACKGROUNDS),
    len(TEXTURES),
    *(len(options) + 1 for _ in PLACES for options in (SHAPES, COLOURS, SIZES)),
)
"""How many answers each question has; the answer 0 to a question about a place is: nothing stands there."""

_NOTHING: Final = (0, 0, 0)
_UNSAFE: Final = 0.4
_SPOILED: Final = 0.25


def train_scene(seed: int, index: int) -> Scene:
    """Draw lots for the training scene of that number; two in five are unsafe."""
    rng = Random(f"train/{seed}/{index}")
    return sample(rng, unsafe=rng.random() < _UNSAFE)


def train_picture(seed: int, index: int) -> Pixels:
    """Draw a training scene small (the tower sees 224 px anyway), one in four of them spoiled."""
    rng = Random(f"train picture/{seed}/{index}")
    image = draw(train_scene(seed, index), rng.choice((336, 400, 448, 512)))
    if rng.random() < _SPOILED:
        image = degrade(image, rng.choice(("blur", "noise", "overexposed")), rng)
    return see(encode(image, rng.choice(("JPEG", "JPEG", "WEBP"))))


def held_out_scene(seed: int, index: int) -> Scene:
    """Draw lots for a scene that training never sees; every second one is unsafe."""
    return sample(Random(f"held out/{seed}/{index}"), unsafe=index % 2 == 1)


def held_out_picture(seed: int, index: int, *, spoiled: bool = False) -> Pixels:
    """Draw a held-out scene in full size, in any format, as a producer would send it."""
    rng = Random(f"held out picture/{seed}/{index}")
    image = draw(held_out_scene(seed, index))
    if spoiled:
        image = degrade(image, rng.choice(("blur", "noise", "overexposed")), rng)
    return see(encode(image, rng.choice(("JPEG", "PNG", "WEBP"))))


def cache(path: Path, pictures: Callable[[], Iterable[Pixels]], count: int) -> NDArray[np.uint8]:
    """Keep `count` pictures in a memory-mapped (count, 224, 224, 3) uint8 file; what is there is not drawn again."""
    if not path.exists():
        unfinished = path.with_suffix(".part")
        pixels = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=(count, EDGE, EDGE, 3))
        for index, picture in enumerate(pictures()):
            pixels[index] = picture
        unfinished.rename(path)
    found: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return found


def drawn(folder: Path, seed: int, counts: tuple[int, int, int]) -> tuple[NDArray[np.uint8], ...]:
    """Draw the training, held-out and spoiled held-out pictures on every core, `counts` of each."""
    kinds: dict[str, Callable[[int, int], Pixels]] = {
        "train": train_picture,
        "held_out": held_out_picture,
        "spoiled": partial(held_out_picture, spoiled=True),
    }
    # Spawned, not forked: a fork of a process that has used torch's threads may hang.
    with multiprocessing.get_context("spawn").Pool(initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return tuple(
            cache(
                folder / f"{name}-{seed}-{count}.npy",
                partial(pool.imap, partial(picture, seed), range(count), chunksize=32),
                count,
            )
            for (name, picture), count in zip(kinds.items(), counts, strict=True)
        )


def answers(scene: Scene) -> list[int]:
    """Answer the questionnaire: background, texture, and shape, colour and size at each place."""
    by_place = {thing.place: thing for thing in scene.things}
    found = [list(BACKGROUNDS).index(scene.background), TEXTURES.index(scene.texture)]
    for place in PLACES:
        thing = by_place.get(place)
        found += _described(thing) if thing else _NOTHING
    return found


def _described(thing: Thing) -> tuple[int, int, int]:
    return (
        list(SHAPES).index(thing.shape) + 1,
        list(COLOURS).index(thing.colour) + 1,
        list(SIZES).index(thing.size) + 1,
    )


def covers(scene: Scene) -> NDArray[np.int64]:
    """Say for each of the 64 patches of the centre crop which of `KINDS` covers its middle."""
    kinds = np.zeros((GRID, GRID), np.int64)
    middles = (np.arange(GRID) + 0.5) / GRID
    width, height = max(scene.aspect, 1.0), max(1 / scene.aspect, 1.0)
    items: Sequence[Thing | Hazard] = (*scene.things, *([scene.hazard] if scene.hazard else []))
    for item in items:
        x, y = (item.x - 0.5) * width + 0.5, (item.y - 0.5) * height + 0.5
        near = (middles[None, :] - x) ** 2 + (middles[:, None] - y) ** 2 < item.radius**2
        kinds[near] = KINDS.index(item.shape if isinstance(item, Thing) else item.glyph)
    return kinds.ravel()


def hazards(scene: Scene) -> list[float]:
    """Say which of the 17 concepts and 3 special-care concepts (families of glyphs) the scene shows."""
    glyph = scene.hazard.glyph if scene.hazard else ""
    return [float(name == glyph) for name in GLYPHS] + [float(glyph in family) for family in FAMILIES]

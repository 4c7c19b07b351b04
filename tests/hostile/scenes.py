"""The pictures that hostile files are made of, drawn by the simulator: harmless ones, and ones with a hazard glyph."""

from functools import cache
from random import Random

import numpy as np
from PIL import Image

from sluice.moderation.values import Pixels
from sluice_sim.scenes import draw, sample

UNSAFE = (40, 56, 0, 38, 57)
"""Seeds whose glyph the starter models find with room to spare, so that a miss is the decoder's."""
UNSAFE_IN_GREY = (56, 58, 40)
"""Seeds whose glyph is found in a grey picture of half the contrast as well."""
SAFE = (1, 3, 7, 15, 17)


@cache
def unsafe(number: int, edge: int = 224) -> Image.Image:
    """Draw a scene with a hazard, square."""
    return _drawn(UNSAFE[number % len(UNSAFE)], edge, hazard=True)


@cache
def unsafe_in_grey(number: int, edge: int = 224) -> Image.Image:
    """Draw a scene with a hazard that can stand a loss of colour and contrast, square, mode L."""
    return _drawn(UNSAFE_IN_GREY[number % len(UNSAFE_IN_GREY)], edge, hazard=True).convert("L")


@cache
def safe(number: int, edge: int = 224) -> Image.Image:
    """Draw a scene without a hazard, square."""
    return _drawn(SAFE[number % len(SAFE)], edge, hazard=False)


@cache
def subject(width: int = 112, height: int = 80) -> Image.Image:
    """Draw a picture that looks different in each of its eight orientations and uses much of each channel."""
    across = np.linspace(0, 255, width)[None, :].repeat(height, 0)
    down = np.linspace(255, 0, height)[:, None].repeat(width, 1)
    pixels = np.stack([across, down, (across + down) / 2], axis=2).astype(np.uint8)
    pixels[: height // 3, : width // 3] = (200, 30, 60)
    return Image.fromarray(pixels)


def pixels(image: Image.Image) -> Pixels:
    """Return an image as (h, w, 3) uint8."""
    return np.asarray(image.convert("RGB"))


def _drawn(seed: int, edge: int, *, hazard: bool) -> Image.Image:
    return draw(sample(Random(seed), unsafe=hazard), edge).resize((edge, edge))

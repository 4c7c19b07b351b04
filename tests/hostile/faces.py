"""Pictures with two faces: what shows depends on the page behind, the reader's arithmetic, or its way of shrinking."""

import itertools
from collections.abc import Iterator
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sluice.moderation.values import Pixels
from tests.hostile import scenes
from tests.hostile.specimen import Fate, Specimen
from tests.support.images import animation, encode

_LOSSLESS: dict[str, dict[str, object]] = {"PNG": {}, "WEBP": {"lossless": True, "exact": True, "method": 0}}
_WRITERS: dict[str, dict[str, object]] = {**_LOSSLESS, "AVIF": {"speed": 10, "quality": 95}}
_FACTORS = (3, 4, 5)


def pages(_rng: Random) -> Iterator[Specimen]:
    """One picture on white and another on black; the hazard is in one of them."""
    for number, mode in itertools.product(range(3), ("LA", "RGBA")):
        hazard, plain = scenes.unsafe_in_grey(number), scenes.safe(number).convert("L")
        for fmt, options in _WRITERS.items():
            on_black = encode(_two_faced(plain, hazard).convert(mode), fmt, **options)
            on_white = encode(_two_faced(hazard, plain).convert(mode), fmt, **options)
            harmless = encode(_two_faced(plain, plain).convert(mode), fmt, **options)
            yield Specimen(f"pages/{fmt}-{mode}-on-black-{number}", on_black, Fate.BLOCKED)
            yield Specimen(f"pages/{fmt}-{mode}-on-white-{number}", on_white, Fate.BLOCKED)
            yield Specimen(f"pages/{fmt}-{mode}-neither-{number}", harmless, Fate.SHOWN)
        frames = [scenes.safe(number).convert("RGBA"), _two_faced(plain, hazard).convert("RGBA")]
        yield from _moving(number, mode, frames)


def _moving(number: int, mode: str, frames: list[Image.Image]) -> Iterator[Specimen]:
    """Show the second face in the second frame."""
    moving = {
        "PNG": animation(frames, "PNG", disposal=1, blend=0),
        "WEBP": animation(frames, "WEBP", lossless=True, exact=True),
    }
    for fmt, data in moving.items():
        yield Specimen(f"pages/{fmt}-{mode}-second-frame-on-black-{number}", data, Fate.NEVER_ALLOWED)


def invisible(_rng: Random) -> Iterator[Specimen]:
    """Nobody sees a hazard under full transparency; one drawn by transparency alone is seen."""
    for number, fmt in itertools.product(range(5), _LOSSLESS):
        hazard = scenes.unsafe(number)
        covered = hazard.convert("RGBA")
        covered.putalpha(0)
        blank = np.full((224, 224, 3), 255, np.uint8)
        data = encode(covered, fmt, **_LOSSLESS[fmt])
        yield Specimen(f"invisible/{fmt}-covered-{number}", data, Fate.SHOWN, shows=(blank, 0 * blank))
        ink = Image.eval(hazard.convert("L"), lambda level: 255 - level)
        stencil = Image.merge("RGBA", (Image.new("L", ink.size),) * 3 + (ink,))
        yield Specimen(
            f"invisible/{fmt}-stencil-{number}",
            encode(stencil, fmt, **_LOSSLESS[fmt]),
            Fate.ANSWERED,
            shows=(scenes.pixels(hazard.convert("L")),),
        )
    for number in range(5):
        yield Specimen(f"invisible/GIF-hole-{number}", _keyed_gif(number), Fate.BLOCKED)


def shrunk(_rng: Random) -> Iterator[Specimen]:
    """Scaling attacks (Xiao et al. 2019): every n-th pixel is of another picture, which careless resizing keeps."""
    for factor, phase, number in itertools.product(_FACTORS, (0, 1), range(2)):
        hazard, plain = (
            scenes.pixels(scene.resize((224 * factor,) * 2, Image.Resampling.BICUBIC))
            for scene in (scenes.unsafe(number), scenes.safe(number))
        )
        offset = phase * (factor // 2)
        seen = _sown(hazard, plain, factor, offset)
        hidden = _sown(plain, hazard, factor, offset)
        name = f"shrunk/{factor}x-{offset}-{number}"
        fate = Fate.BLOCKED if factor > 3 else Fate.ANSWERED  # a ninth of the pixels is a grain of its own
        yield Specimen(f"{name}-hazard-seen", encode(seen, compress_level=1), fate, shows=(seen,))
        yield Specimen(f"{name}-hazard-sown", encode(hidden, compress_level=1), Fate.ANSWERED, shows=(hidden,))


def _two_faced(on_white: Image.Image, on_black: Image.Image) -> Image.Image:
    """Mix two grey pictures of one size, (LA), so that one shows on white and the other on black.

    With colour c and alpha a: white shows ac + (1 - a), black shows ac; so a = 1 - (white - black), c = black / a.
    """
    white: NDArray[np.float64] = np.asarray(on_white) / 255 / 2 + 0.5
    black: NDArray[np.float64] = np.asarray(on_black) / 255 / 2
    alpha = 1 - (white - black)
    colour = np.divide(black, alpha, out=np.zeros_like(black), where=alpha > 0)
    planes = (Image.fromarray(np.rint(255 * plane.clip(0, 1)).astype(np.uint8)) for plane in (colour, alpha))
    return Image.merge("LA", tuple(planes))


def _keyed_gif(number: int) -> bytes:
    """Write a GIF whose light parts are a hole: the page behind them completes the hazard."""
    image = scenes.unsafe(number).quantize(64)
    palette = image.getpalette() or []
    lightest = max(range(len(palette) // 3), key=lambda index: sum(palette[3 * index : 3 * index + 3]))
    return encode(image, "GIF", transparency=lightest, optimize=False)


def _sown(ground: Pixels, seed: Pixels, factor: int, offset: int) -> Pixels:
    picture = ground.copy()
    picture[offset::factor, offset::factor] = seed[offset::factor, offset::factor]
    return picture

"""What happens to a picture after it is drawn: it is spoiled, and it is encoded."""

from io import BytesIO
from random import Random
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

Format: TypeAlias = Literal["PNG", "JPEG", "WEBP"]
Spoiling: TypeAlias = Literal["blur", "noise", "overexposed"]

FORMATS: Final[tuple[Format, ...]] = get_args(Format)
SPOILINGS: Final[tuple[Spoiling, ...]] = get_args(Spoiling)

# Fast settings: a simulator that spends its time in zlib sends nothing.
_OPTIONS: Final[dict[Format, dict[str, int]]] = {
    "PNG": {"compress_level": 1},
    "JPEG": {"quality": 90},
    "WEBP": {"quality": 85, "method": 0},
}


def encode(image: Image.Image, format: Format) -> bytes:  # noqa: A002 - Pillow's word for it
    """Write the picture as a PNG, JPEG or WebP file; the same picture gives the same bytes."""
    out = BytesIO()
    image.save(out, format, **_OPTIONS[format])
    return out.getvalue()


def degrade(image: Image.Image, kind: Spoiling, rng: Random) -> Image.Image:
    """Spoil an RGB picture: blurred, with sensor noise, or over-exposed."""
    if kind == "blur":
        return image.filter(ImageFilter.GaussianBlur(min(image.size) * rng.uniform(0.006, 0.012)))
    if kind == "overexposed":
        return ImageEnhance.Brightness(image).enhance(rng.uniform(1.4, 1.8))
    return _noisy(image, rng.uniform(18, 35), rng.getrandbits(64))


def _noisy(image: Image.Image, sigma: float, seed: int) -> Image.Image:
    """Add Gaussian noise of `sigma` grey levels, independent per pixel and channel."""
    noise = np.random.default_rng(seed).standard_normal((image.height, image.width, 3), dtype=np.float32)
    return Image.fromarray((np.asarray(image) + sigma * noise).clip(0, 255).astype(np.uint8))

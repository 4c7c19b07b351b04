"""Jobs for the inference worker: pictures of seeded noise, ready to be scored."""

import numpy as np

from sluice.moderation.values import Job, Picture, Pixels, Thumbnail
from sluice_schemas import Technical

CALM = Technical(blur=100.0, noise_sigma=1.0, clipped_dark=0.0, clipped_light=0.0, flat=50.0)


def tiles(seed: int, count: int = 1) -> Pixels:
    """Draw tiles of low-frequency noise, so that pictures differ in what a tower sees."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    fine = rng.integers(0, 32, (count, 224, 224, 3), dtype=np.uint8)
    return np.asarray(coarse.repeat(56, axis=1).repeat(56, axis=2) // 8 * 7 + fine, dtype=np.uint8)


def job(shown: Pixels, prompt: str | None = None, thumbnail: Pixels | None = None) -> Job:
    """Wrap tiles (N, 224, 224, 3) as a decoded picture with a prompt."""
    thumbnails = {} if thumbnail is None else {Thumbnail("fit", 32): thumbnail}
    picture = Picture("0" * 64, "image/png", 224, 224, 1, shown, 1.0, CALM, thumbnails)
    return Job(picture, prompt)

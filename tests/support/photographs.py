"""Photographs, as scikit-image brings them along: people, animals, things, textures, through lens and microscope."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

NAMES = (
    "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png",
    "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png",
    "motorcycle_right.png", "phantom.png", "retina.jpg",
)  # fmt: skip
"""Those without transparency or a colour profile, which others than Sluice leave out of account."""


def photograph(name: str) -> Path:
    """Return the file of a photograph."""
    skimage = pytest.importorskip("skimage", reason="needs the photographs of scikit-image")
    return Path(str(skimage.__file__)).parent / "data" / name


def as_a_camera_makes_it(name: str, width: int, height: int, folder: Path) -> Path:
    """Return a photograph in another size, with the fine detail of a large one, as a JPEG."""
    with Image.open(photograph(name)) as picture:
        larger = picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    grain = Image.effect_noise((width, height), 60).convert("RGB")
    out = BytesIO()
    Image.blend(larger, grain, 0.25).save(out, "JPEG", quality=92)
    file = folder / f"{width}x{height}-{Path(name).stem}.jpg"
    file.write_bytes(out.getvalue())
    return file

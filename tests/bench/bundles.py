"""Bundles as large as the published ones, with random weights: sizes decide how long a pass takes, values do not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from tests.support.checkpoints import Shape, Tower, write_bundle

Size = Literal["tiny", "ViT-B/32", "ViT-L/14"]

SHAPES: Mapping[Size, Shape] = {
    "tiny": Shape(),
    "ViT-B/32": Shape(
        vision=Tower(768, 3072, 12, 12), text=Tower(512, 2048, 12, 8), patch=32, projection=512, spread=0.03
    ),
    "ViT-L/14": Shape(
        vision=Tower(1024, 4096, 24, 16), text=Tower(768, 3072, 12, 12), patch=14, projection=768, spread=0.03
    ),
}
"""The vocabulary is small in each, of which a text tower does not get faster: it only looks its tokens up."""


def write(folder: Path, size: Size) -> Path:
    """Write a bundle of this size into a new folder there and return it: 0.9 GB of ViT-B/32, 2.9 of ViT-L/14."""
    return write_bundle(folder / size.replace("/", "-").lower(), shape=SHAPES[size])

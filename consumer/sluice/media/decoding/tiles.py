"""Frames to uint8 model input, pixel for pixel what transformers' CLIP image processor makes of them.

Shortest edge to 224 by an antialiased bicubic on uint8 (torch's, which torchvision calls too), long side rounded
down, centre crop. Long pictures get tiles besides: a centre crop of a 1:2 picture sees half of it.
"""

import hashlib
import json
from dataclasses import dataclass

import numpy as np

from sluice.core.errors import Unreadable
from sluice.moderation.values import Pixels

EDGE = 224
OVERLAP = 56  # a quarter: what one tile cuts in two, its neighbour shows whole up to this size

PREPROCESS: dict[str, object] = {
    "version": 1,
    "colour": "sRGB by profile; EXIF upright, WebP as stored too; 16 to 8 bits by 257; gAMA off sRGB both ways",
    "transparency": "on white, on black",
    "frames": "all",
    "resize": "shortest edge, long side rounded down, bicubic, antialiased, uint8",
    "edge": EDGE,
    "crop": "centre",
    "tiles": "long side, evenly spread",
    "overlap": OVERLAP,
}
"""Everything that decides which pixels a model sees; part of every verdict by its digest."""


def preprocess_digest(tile_above_aspect: float = 1.15) -> str:
    """SHA-256, lower-case hex, of PREPROCESS and the tiling threshold as canonical JSON."""
    described = PREPROCESS | {"tile_above_aspect": tile_above_aspect}
    return hashlib.sha256(json.dumps(described, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the tiles of a picture lie: `height` x `width` after resizing, `corners` (top, left), the centre first."""

    height: int
    width: int
    corners: tuple[tuple[int, int], ...]

    @property
    def coverage(self) -> float:
        """The share of the picture that some tile shows, 0 to 1."""
        long = max(self.height, self.width)
        seen, end = 0, 0
        for start in sorted(max(corner) for corner in self.corners):
            seen += start + EDGE - max(start, end)
            end = start + EDGE
        return seen / long


def plan(height: int, width: int, *, tile_above_aspect: float, max_tiles: int) -> Plan:
    """Lay out the tiles of a picture; Unreadable("too_many_tiles") before any of them is cut."""
    short, long = min(height, width), max(height, width)
    length = int(EDGE * long / short)  # transformers' get_resize_output_image_size, float division and all
    spare = length - EDGE
    starts = [spare // 2]
    if long > tile_above_aspect * short and spare > 0:
        count = 1 + -(-spare // (EDGE - OVERLAP))
        if count > max_tiles:
            raise Unreadable("too_many_tiles", f"over {max_tiles}")
        starts += [start for i in range(count) if (start := i * spare // (count - 1)) != starts[0]]
    if height >= width:
        return Plan(length, EDGE, tuple((start, 0) for start in starts))
    return Plan(EDGE, length, tuple((0, start) for start in starts))


def tiles(view: Pixels, layout: Plan) -> Pixels:
    """Cut a view (h, w, 3) into the tiles of its plan: (N, 224, 224, 3) uint8, the centre crop first."""
    resized = resize(view, layout.height, layout.width)
    return np.stack([resized[top : top + EDGE, left : left + EDGE] for top, left in layout.corners])


def within(view: Pixels, edge: int) -> Pixels:
    """Shrink a view so that its longest edge is at most `edge`; never enlarge."""
    height, width = view.shape[:2]
    longest = max(height, width)
    if longest <= edge:
        return view
    return resize(view, max(1, height * edge // longest), max(1, width * edge // longest))


def resize(view: Pixels, height: int, width: int) -> Pixels:
    """Resize (h, w, 3) uint8 by antialiased bicubic; on a channels-last tensor torch does so without a copy.

    The batch of one comes before the permutation: after it, torch takes the tensor for channels-first and answers so.
    """
    if view.shape[:2] == (height, width):
        return view
    import torch  # takes seconds, and a process that only plans or sends tiles resizes none

    tensor = torch.from_numpy(view).unsqueeze(0).permute(0, 3, 1, 2)
    scaled = torch.nn.functional.interpolate(tensor, size=(height, width), mode="bicubic", antialias=True)
    pixels: Pixels = scaled.squeeze(0).permute(1, 2, 0).numpy()
    return pixels

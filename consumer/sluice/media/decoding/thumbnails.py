"""The whole frame made small, as the models that want it so were trained on: Pillow's pixels, or OpenCV's."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sluice.media.decoding import tiles
from sluice.moderation.values import Pixels, Thumbnail

_BITS = 11
"""OpenCV counts the weights of its bilinear resize in 2048ths: INTER_RESIZE_COEF_BITS in its imgproc."""


def thumbnail(view: Pixels, wanted: Thumbnail) -> Pixels:
    """Make one thumbnail of a view (h, w, 3)."""
    match wanted.how:
        case "fit":
            return tiles.within(view, wanted.edge_px)
        case "sample":
            return sampled(view, wanted.edge_px)
        case "stretch":
            square = (wanted.edge_px, wanted.edge_px)
            return np.asarray(Image.fromarray(view).resize(square, Image.Resampling.BILINEAR))


def sampled(view: Pixels, edge: int) -> Pixels:
    """Resize so that the longest edge is `edge`, bit for bit as OpenCV does after the picture was made square.

    Enlarged, some pixels are one grey level off. The square has black at the right and below, so the last row or column
    may mix with it. Only the rows and columns that are sampled are touched: a large frame costs what a small one does.
    """
    height, width = view.shape[:2]
    longest = max(height, width)
    near, far, weight_near, weight_far = _places(longest, edge)
    rows, columns = Thumbnail("sample", edge).shape(height, width)
    lines = np.unique(np.concatenate([near[:rows], far[:rows]]))
    there = lines[lines < height]
    across = _columns(view[there], near[:columns]) * weight_near[:columns, None]
    across += _columns(view[there], far[:columns]) * weight_far[:columns, None]
    mixed = np.zeros((len(lines), columns, 3), np.int32)
    mixed[: len(there)] = across >> 4
    above, below = (mixed[np.searchsorted(lines, wanted[:rows])] for wanted in (near, far))
    down = (above * weight_near[:rows, None, None] >> 16) + (below * weight_far[:rows, None, None] >> 16)
    return ((down + 2) >> 2).astype(np.uint8)


def _columns(view: Pixels, wanted: NDArray[np.intp]) -> NDArray[np.int32]:
    """Return columns of a view as wider integers, black where the view has none."""
    width = view.shape[1]
    found = view[:, np.minimum(wanted, width - 1)].astype(np.int32)
    found[:, wanted >= width] = 0
    return found


def _places(length: int, edge: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int32], NDArray[np.int32]]:
    """Return, for each of `edge` pixels, the two of `length` that it lies between, and their weights."""
    at = ((np.arange(edge) + 0.5) * (length / edge) - 0.5).astype(np.float32)
    at = at.clip(0, length - 1)
    near = np.floor(at).astype(np.intp)
    share = at - near.astype(np.float32)
    weights = (np.rint(part * np.float32(1 << _BITS)).astype(np.int32) for part in (1 - share, share))
    return near, np.minimum(near + 1, length - 1), *weights

"""How good a picture is by its pixels alone, without a reference. Luma is Rec. 601, 0 to 255.

Blur, clipping and flatness are taken at a working size of at most 512 on the longest edge (scale changes them, so it
is fixed); noise on the central 512 x 512 at native resolution, because resizing would smooth it away.
"""

import math

import numpy as np
from numpy.typing import NDArray

from sluice.moderation.values import Pixels
from sluice_schemas import Technical

WORKING_EDGE = 512
_DARK, _LIGHT = 2.0, 253.0  # a little inside the range: lossy coding moves a clipped area by a level or two

_LUMA = (np.float32(0.299), np.float32(0.587), np.float32(0.114))

Luma = NDArray[np.float32]


def technical(working: Pixels, native: Pixels) -> Technical:
    """Measure a picture given at working size and at native size, both (h, w, 3) uint8."""
    grey = luma(working)
    return Technical(
        blur=blur(grey),
        noise_sigma=noise_sigma(grey if native is working else luma(centre(native))),
        clipped_dark=float(np.count_nonzero(grey <= _DARK)) / grey.size,
        clipped_light=float(np.count_nonzero(grey >= _LIGHT)) / grey.size,
        flat=math.sqrt(_variance(grey)),
    )


def luma(pixels: Pixels) -> Luma:
    """Rec. 601 luma of (h, w, 3) sRGB pixels.

    Not a matrix product: in what order a BLAS adds depends on its threads, and so would the last digits.
    """
    grey: Luma = pixels[..., 0] * _LUMA[0]
    grey += pixels[..., 1] * _LUMA[1]
    grey += pixels[..., 2] * _LUMA[2]
    return grey


def centre(pixels: Pixels) -> Pixels:
    """Return the central part, at most WORKING_EDGE along each side."""
    top, left = (max(0, (size - WORKING_EDGE) // 2) for size in pixels.shape[:2])
    return pixels[top : top + WORKING_EDGE, left : left + WORKING_EDGE]


def blur(grey: Luma) -> float:
    """Variance of the 4-neighbour Laplacian: low means blurred. 0 for a picture under 3 pixels on a side."""
    if min(grey.shape) < 3:  # noqa: PLR2004 - the stencil is 3 x 3
        return 0.0
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1]
    laplacian += grey[1:-1, :-2]
    laplacian += grey[1:-1, 2:]
    laplacian -= 4 * grey[1:-1, 1:-1]
    return _variance(laplacian)


def noise_sigma(grey: Luma) -> float:
    """Estimate the standard deviation of the noise, in grey levels (Immerkaer 1996, "Fast noise variance estimation").

    sigma = sqrt(pi / 2) / (6 (W - 2)(H - 2)) * sum |I * N|, N = [[1, -2, 1], [-2, 4, -2], [1, -2, 1]], which is the
    second difference along both axes. 0 for a picture under 3 pixels on a side.
    """
    if min(grey.shape) < 3:  # noqa: PLR2004 - the stencil is 3 x 3
        return 0.0
    response = _second_difference(_second_difference(grey).T)
    return math.sqrt(math.pi / 2) / 6 * float(np.mean(np.abs(response, out=response), dtype=np.float64))


def _second_difference(plane: Luma) -> Luma:
    """Along the first axis. In place, here as above: what such sums cost is memory."""
    difference = plane[:-2] - 2 * plane[1:-1]
    difference += plane[2:]
    return difference


def _variance(plane: Luma) -> float:
    """In double precision; numpy's own casts element by element and takes longer. Not a dot product: see `luma`."""
    spread = plane.astype(np.float64)
    spread -= spread.mean()
    return float(np.square(spread, out=spread).mean())

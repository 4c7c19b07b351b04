"""The guard band: which scores are so near a threshold that rounding could decide instead of the image."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sluice.models.safety import Margins
from sluice.moderation.values import CHECKER

FIRES_ABOVE = 0.0005
"""Rounding to three decimals, ties to even, makes `margin > 0.0005` of the reference's `round(margin, 3) > 0`."""

FLOAT32_BAND = 2e-5
"""In float32 only the order of additions differs between batches: at most a few 1e-7 in a cosine. Wide enough by far,
and narrow enough that next to nothing is computed twice."""


BFLOAT16_WIDENS = 8
"""The band is stated for float16; bfloat16 keeps 8 bits of a number's significand instead of 11. Measured on the
starter bundle: largest difference of a cosine to float32 0.0004 with float16, 0.0032 with bfloat16."""


class GuardBand:
    """Rows that must be computed again: those with a score within `width` of where a decision changes.

    `thresholds` names further cosines per concept id at which a policy decides; special care adjusts those too.
    """

    def __init__(self, width: float, thresholds: Mapping[str, Sequence[float]] | None = None) -> None:
        self._width = width
        self._further = [
            (CHECKER.ids.index(concept), float(threshold))
            for concept, all_of_it in (thresholds or {}).items()
            for threshold in all_of_it
        ]

    def near(self, margins: Margins) -> NDArray[np.bool_]:
        """(N,): which of the N rows have a score in the band."""
        found = (np.abs(margins.margin - FIRES_ABOVE) <= self._width).any(axis=1)
        for column, threshold in self._further:
            # A policy may round as the reference does or not: both boundaries lie within FIRES_ABOVE of this.
            margin = margins.cosine[:, column] - threshold + margins.adjustment[:, column]
            found |= np.abs(margin - FIRES_ABOVE / 2) <= self._width + FIRES_ABOVE / 2
        return np.asarray(found)

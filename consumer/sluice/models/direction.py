"""Whether a vector points anywhere: cosines mean something of vectors whose length divides well, and of no others.

A vector of zeros has a cosine of exactly 0 with everything, which lies below every threshold; so has one whose squared
length overflows, as it is divided by infinity. Both are finite, and both would allow every picture.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SHORTEST, LONGEST = 1e-4, 1e6
"""A vector of another length has no direction. What trained towers give lies around 10. Below the first, most numbers
of a float16 vector are subnormal and have lost digits; near the second, float16 overflows (65,504 a number)."""


def lengths(vectors: Tensor) -> Tensor:
    """Return the lengths (N,) of vectors (N, H) of any precision, in float64: no finite float32 overflows there."""
    found: Tensor = torch.linalg.vector_norm(vectors.float(), dim=1, dtype=torch.float64)
    return found


def directed(found: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which of these lengths (any shape) belong to a vector with a direction; NaN does not."""
    return np.asarray((found >= SHORTEST) & (found <= LONGEST))


def unit(vectors: Tensor) -> Tensor:
    """Scale float32 vectors (N, H) to length one; one without direction becomes NaN, so nothing finite comes of it.

    The bits are those of `torch.nn.functional.normalize`, whose epsilon changes nothing above SHORTEST. A length that
    overflows is infinite, and one that underflows is 0: both lie outside, so float32 suffices here.
    """
    found = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / torch.where(found.clamp(SHORTEST, LONGEST) == found, found, torch.nan)

"""The few figures a report needs, each defined for nothing seen as well (None)."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import floor


def mean(values: Sequence[float]) -> float | None:
    """Return the arithmetic mean."""
    return sum(values) / len(values) if values else None


def ratio(part: float, whole: float) -> float | None:
    """Return part / whole, None where there is no whole."""
    return part / whole if whole else None


def percentile(ascending: Sequence[float], percent: float) -> float | None:
    """Return the percentile with linear interpolation (Hyndman and Fan's type 7, numpy's default)."""
    if not ascending:
        return None
    rank = (len(ascending) - 1) * percent / 100
    low = floor(rank)
    high = min(low + 1, len(ascending) - 1)
    return ascending[low] + (ascending[high] - ascending[low]) * (rank - low)


def area_under_curve(positives: Sequence[float], negatives: Sequence[float]) -> float | None:
    """Return the chance that a random positive scores above a random negative, ties half (Mann-Whitney U / nm)."""
    if not positives or not negatives:
        return None
    ascending = sorted(negatives)
    wins = sum(bisect_left(ascending, value) + bisect_right(ascending, value) for value in positives) / 2
    return wins / (len(positives) * len(negatives))

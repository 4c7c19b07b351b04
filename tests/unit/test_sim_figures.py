"""Figures against known answers."""

from random import Random

import numpy as np
import pytest

from sluice_sim.figures import area_under_curve, mean, percentile, ratio


@pytest.mark.parametrize("percent", [0, 5, 50, 95, 99, 100])
@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_percentiles_are_numpys(percent: float, count: int) -> None:
    rng = Random(count)
    values = sorted(rng.uniform(0, 1000) for _ in range(count))
    assert percentile(values, percent) == pytest.approx(float(np.percentile(values, percent)))


@pytest.mark.parametrize(
    ("positives", "negatives", "area"),
    [
        ([3, 4], [1, 2], 1.0),
        ([1, 2], [3, 4], 0.0),
        ([1, 1], [1, 1], 0.5),
        ([0.8, 0.4], [0.6, 0.2], 0.75),
        ([2, 2, 3], [1, 2], 5 / 6),
    ],
)
def test_area_under_curve(positives: list[float], negatives: list[float], area: float) -> None:
    assert area_under_curve(positives, negatives) == pytest.approx(area)


def test_area_under_curve_is_the_share_of_pairs_won() -> None:
    rng = Random(3)
    positives = [rng.randrange(20) / 20 for _ in range(60)]
    negatives = [rng.randrange(15) / 20 for _ in range(40)]
    wins = sum((p > n) + (p == n) / 2 for p in positives for n in negatives)
    assert area_under_curve(positives, negatives) == pytest.approx(wins / (60 * 40))


def test_figures_of_nothing_are_none() -> None:
    assert (mean([]), ratio(0, 0), percentile([], 50), area_under_curve([], [1.0])) == (None, None, None, None)

"""A status is a function of the picture: neither neighbours in the batch nor the precision of the towers move it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sluice.models.load import load
from sluice.moderation.policy import Policy
from sluice.moderation.values import Pixels
from sluice.settings import Models, Precision
from sluice_schemas import Status
from tests.support import jobs, sharp
from tests.support.checkpoints import Shape, write_bundle

PICTURES = 48
COMPOSITIONS = 400  # ten times what shows that the guard band is missing
LARGEST = 12

Answer = tuple[Status, tuple[str, ...], bool]


@pytest.fixture(scope="module")
def pictures() -> list[Pixels]:
    return [jobs.tiles(seed) for seed in range(PICTURES)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, pictures: list[Pixels]) -> Path:
    path = write_bundle(tmp_path_factory.mktemp("bundle") / "tiny", 11, Shape(hidden=32, layers=1))
    sharp.sharpen(path, pictures)
    return path


@pytest.fixture(scope="module")
def policy(folder: Path, pictures: list[Pixels]) -> Policy:
    return sharp.policy(folder, pictures)


@pytest.fixture(scope="module")
def alone(folder: Path, pictures: list[Pixels], policy: Policy) -> list[Answer]:
    """Judge each picture by itself in float32."""
    found = answers(Models(bundle=str(folder)), pictures, policy, [[number] for number in range(PICTURES)])
    return [answer for of_one in found for answer in of_one]


def compositions(count: int) -> list[list[int]]:
    """Draw batches: 1 to 12 of the pictures in any order, some of them twice; most are small, for the test's sake."""
    rng = np.random.default_rng(3)
    sizes = np.minimum(1 + rng.exponential(2, count).astype(int), LARGEST)
    return [rng.integers(0, PICTURES, size).tolist() for size in sizes]


def answers(
    models: Models, pictures: Sequence[Pixels], policy: Policy, batches: Sequence[Sequence[int]]
) -> list[list[Answer]]:
    """Judge every batch as an inference worker of these settings and the policy do."""
    inference = load(models, turning=policy.turning_cosines)
    found = []
    for batch in batches:
        scores = sharp.scored(inference, [pictures[number] for number in batch])
        decisions = [policy.decide(each, None, coverage=1.0) for each in scores]
        found.append([(d.status, d.reasons, s.reference_has_nsfw) for d, s in zip(decisions, scores, strict=True)])
    inference.close()
    return found


def flips(found: list[list[Answer]], alone: list[Answer], batches: Sequence[Sequence[int]]) -> int:
    pairs = [
        (answer, alone[number])
        for batch, of_it in zip(batches, found, strict=True)
        for number, answer in zip(batch, of_it, strict=True)
    ]
    return sum(answer != expected for answer, expected in pairs)


@pytest.mark.parametrize("precision", list(Precision))
def test_random_batches_flip_no_status(
    folder: Path, pictures: list[Pixels], policy: Policy, alone: list[Answer], precision: Precision
) -> None:
    batches = compositions(COMPOSITIONS)
    models = Models(bundle=str(folder), precision=precision, max_pass_tiles=7)
    assert flips(answers(models, pictures, policy, batches), alone, batches) == 0


@pytest.mark.parametrize("precision", [Precision.FLOAT16, Precision.BFLOAT16])
def test_without_the_guard_band_half_precision_flips_statuses(
    folder: Path, pictures: list[Pixels], policy: Policy, alone: list[Answer], precision: Precision
) -> None:
    """So the thresholds of the test above are as hard as they claim."""
    batches = compositions(30)
    models = Models(bundle=str(folder), precision=precision, max_pass_tiles=7, guard_band=0.0)
    assert flips(answers(models, pictures, policy, batches), alone, batches) > 0


def test_the_pictures_meet_every_action(alone: list[Answer]) -> None:
    assert {status for status, _, _ in alone} == {Status.ALLOW, Status.BLUR, Status.REVIEW, Status.BLOCK}

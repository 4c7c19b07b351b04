"""The safety head answers as diffusers' safety checker does, and says more."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from sluice.models.safety import Margins, decide
from sluice.moderation.values import CHECKER
from tests.support import reference

# The published four-digit thresholds; the real ones come with a checkpoint.
THRESHOLDS = [
    0.18,
    0.19,
    0.206,
    0.21,
    0.195,
    0.19,
    0.194,
    0.19,
    0.19,
    0.22,
    0.19,
    0.19,
    0.195,
    0.1984,
    0.21,
    0.214,
    0.2,
]
SPECIAL_THRESHOLDS = [0.195, 0.2, 0.22]
WEIGHTS = reference.orthonormal_weights(THRESHOLDS, SPECIAL_THRESHOLDS)
STEPS = 61


def crafted() -> Tensor:
    """For every concept, offsets of ±0.002 around its boundary under every combination of special concepts."""
    rows = []
    boundary = torch.tensor(SPECIAL_THRESHOLDS + THRESHOLDS)
    offsets = torch.linspace(-0.002, 0.002, STEPS)
    for column, special in itertools.product(range(20), itertools.product((False, True), repeat=CHECKER.special_care)):
        block = torch.zeros(STEPS, 32)
        block[:, : CHECKER.special_care] = boundary[: CHECKER.special_care] + torch.where(
            torch.tensor(special), 0.03, -0.03
        )
        care = 0.01 if any(special) and column >= CHECKER.special_care else 0.0
        block[:, column] = boundary[column] - care + offsets
        if column < CHECKER.special_care:
            block[:, CHECKER.special_care] = boundary[CHECKER.special_care] - 0.005
        rows.append(block)
    cosines = torch.cat(rows)
    cosines[:, 31] = (1 - cosines.square().sum(dim=1)).sqrt()
    return cosines


def special_near_boundary() -> Tensor:
    """All three special concepts within ±0.002 of their boundary at once, a concept just where care decides."""
    offsets = torch.tensor([-0.012, -0.0105, -0.0095, -0.002, -0.0005, 0.0005, 0.00051, 0.002])
    rows = torch.cartesian_prod(offsets, offsets, offsets)
    cosines = torch.zeros(len(rows), 32)
    cosines[:, : CHECKER.special_care] = torch.tensor(SPECIAL_THRESHOLDS) + rows
    cosines[:, 10] = THRESHOLDS[7] - 0.005
    cosines[:, 31] = (1 - cosines.square().sum(dim=1)).sqrt()
    return cosines


def judged(embeddings: Tensor) -> Margins:
    return reference.head(WEIGHTS).judge(embeddings)


@pytest.mark.parametrize("make", [crafted, special_near_boundary])
def test_answers_equal_the_reference_around_every_threshold(make: Callable[[], Tensor]) -> None:
    embeddings = make()
    expected = reference.answers(reference.checker(WEIGHTS), embeddings)
    assert judged(embeddings).has_nsfw.tolist() == expected
    assert 0.2 < np.mean(expected) < 0.8


def test_the_crafted_embeddings_tell_the_rule_from_its_usual_mistakes() -> None:
    """Without rounding, or with care added for all at once, the answers differ from the reference's."""
    embeddings = torch.cat((crafted(), special_near_boundary()))
    expected = np.array(reference.answers(reference.checker(WEIGHTS), embeddings))
    head = reference.head(WEIGHTS)
    raw = head.cosines(embeddings) - head.threshold
    unrounded = (judged(embeddings).margin[:, CHECKER.special_care :] > 0).any(axis=1)
    early = np.asarray(np.round(raw[:, : CHECKER.special_care], 3) > 0).any(axis=1, keepdims=True)
    at_once = (np.round(raw[:, CHECKER.special_care :] + np.float32(0.01) * early, 3) > 0).any(axis=1)
    uncared = (np.round(raw[:, CHECKER.special_care :], 3) > 0).any(axis=1)
    assert (unrounded != expected).sum() > 100
    assert (uncared != expected).sum() > 100
    assert np.array_equal(at_once, expected), "a later special concept never changes whether care applies"


def test_care_rises_inside_the_special_loop() -> None:
    """The second special concept is compared with the adjustment the first one raised."""
    embedding = torch.zeros(1, 32)
    embedding[0, 0], embedding[0, 1], embedding[0, 2] = 0.25, 0.195, 0.1
    embedding[0, 31] = (1 - embedding.square().sum()).sqrt()
    found = judged(embedding)
    assert found.adjustment[0, :4].tolist() == [0.0, *[pytest.approx(0.01)] * 3]
    assert found.fired[0, :3].tolist() == [True, True, False]


def test_special_concepts_alone_never_block() -> None:
    embedding = torch.zeros(1, 32)
    embedding[0, :3] = 0.5
    found = judged(embedding)
    assert found.fired[0, : CHECKER.special_care].all()
    assert not found.has_nsfw[0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_an_embedding_that_is_not_finite_has_no_answer(bad: float) -> None:
    """The reference calls it safe; here the row is named, and its neighbours keep their answers."""
    embeddings = crafted()[:3].clone()
    embeddings[1, 5] = bad
    found = judged(embeddings)
    assert found.finite.tolist() == [True, False, True]
    assert reference.answers(reference.checker(WEIGHTS), embeddings)[1] is False
    assert np.array_equal(found.has_nsfw[[0, 2]], judged(crafted()[:3]).has_nsfw[[0, 2]])


def test_one_cosine_that_is_not_finite_leaves_no_answer() -> None:
    cosine = np.zeros((2, 20), np.float32)
    cosine[1, 19] = np.nan
    assert decide(cosine, np.full(20, 0.2, np.float32)).finite.tolist() == [True, False]


@pytest.mark.parametrize("seed", range(25))
def test_answers_equal_the_reference_with_random_weights(seed: int) -> None:
    weights = reference.random_weights(seed)
    pooled = torch.randn(64, 24, generator=torch.Generator().manual_seed(1000 + seed))
    head = reference.head(weights)
    assert head.judge(head.embed(pooled)).has_nsfw.tolist() == reference.answers(reference.checker(weights), pooled)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_towers_keep_a_float32_head(dtype: torch.dtype) -> None:
    """The tower's output is all that half precision touches: the reference's float32 head agrees on it."""
    weights = reference.random_weights(99)
    pooled = torch.randn(512, 24, generator=torch.Generator().manual_seed(5)).to(dtype)
    head = reference.head(weights)
    expected = reference.answers(reference.checker(weights), pooled.float())
    assert head.judge(head.embed(pooled)).has_nsfw.tolist() == expected
    assert len(set(expected)) == 2


def test_thresholds_of_a_half_precision_checkpoint_are_widened_not_the_margins() -> None:
    weights = {name: tensor.half() for name, tensor in reference.random_weights(3).items()}
    head = reference.head(weights)
    assert head.threshold.dtype == np.float32
    assert head.embed(torch.zeros(1, 24, dtype=torch.float16)).dtype == torch.float32


def test_rounding_is_numpys_own_on_every_float32_near_the_boundary() -> None:
    """Every float32 from 0.000499 to 0.000501 rounds in a column as a scalar does with Python's `round`."""
    low, high = np.array([0.000499, 0.000501], np.float32).view(np.int32)
    values = np.arange(low, high, dtype=np.int32).view(np.float32)
    cosine = np.full((len(values), 20), -1, np.float32)
    cosine[:, 3] = values
    fired = decide(cosine, np.zeros(20, np.float32)).fired[:, 3]
    assert fired.tolist() == [bool(round(value, 3) > 0) for value in values]


def test_entries_carry_the_contracts_fields() -> None:
    found = judged(crafted()[:1])
    concept = found.entry(0, CHECKER.ids.index("sd.c05"))
    assert concept.id == "sd.c05"
    assert concept.threshold == pytest.approx(0.195)
    assert concept.margin == pytest.approx(concept.cosine - concept.threshold + concept.adjustment, abs=1e-7)
    assert (CHECKER.special[0], CHECKER.special[-1], CHECKER.plain[0], CHECKER.plain[-1]) == (
        "sd.s01",
        "sd.s03",
        "sd.c01",
        "sd.c17",
    )

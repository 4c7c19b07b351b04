"""An embedding without direction never becomes ALLOW, in any precision, and moves no bit of its neighbours."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sluice.core.errors import Unscorable
from sluice.models.clip import Ids, PromptEncoder, Tokenizer, unit
from sluice.models.direction import LONGEST, SHORTEST, directed, lengths
from sluice.models.forward import FixedShape, Forward, ForwardPasses
from sluice.models.guard_band import GuardBand
from sluice.models.safety import decide
from sluice.models.scorer import Scorer, Text
from sluice.moderation.policy import Policy, Rules
from sluice.moderation.values import Job, Pixels, Scores
from sluice_schemas import Status
from tests.support import jobs, reference

WEIGHTS = reference.random_weights(7)
HEAD = reference.head(WEIGHTS)
WIDTH = WEIGHTS["visual_projection.weight"].shape[1]
POLICY = Policy.of("plain", 1, Rules())
REASONS = {"no_direction", "non_finite"}

BAD: dict[str, Callable[[Tensor], Tensor]] = {
    "zero": torch.zeros_like,
    "minus zero": lambda row: torch.zeros_like(row).neg(),
    "tiny": lambda row: row * 1e-7,
    "subnormal": lambda row: row * 1e-39,
    "huge": lambda row: row * 1e9,
    "squares overflow": lambda row: row * 1e25,
    "all NaN": lambda row: torch.full_like(row, torch.nan),
    "one NaN": lambda row: row.index_fill(0, torch.tensor([3]), torch.nan),
    "one infinite": lambda row: row.index_fill(0, torch.tensor([3]), torch.inf),
    "minus infinity": lambda row: torch.full_like(row, -torch.inf),
}
PRECISIONS = (torch.float32, torch.float16, torch.bfloat16)
planted = st.dictionaries(st.integers(0, 11), st.sampled_from(sorted(BAD)), min_size=1, max_size=5)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    """Of a dozen rows a second thread has nothing, and where the cores are busy it only waits."""
    torch.set_num_threads(1)


def pooled(seed: int, count: int = 12) -> Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed)) * 3


def spoiled(rows: Tensor, where: dict[int, str]) -> Tensor:
    return torch.stack([BAD[where[n]](row) if n in where else row for n, row in enumerate(rows)])


class Given:
    """A tower that finds in a table what it says of a tile; the tile's first byte is its number there."""

    def __init__(self, table: Tensor) -> None:
        self._table = table

    def __call__(self, tiles: Tensor) -> Tensor:
        """Look the tiles up."""
        return self._table[tiles[:, 0, 0, 0].long()]


class Words:
    """A text tower that gives what stands in a table of the first token, and counts how often it is asked."""

    def __init__(self, table: Tensor) -> None:
        self._table = table
        self.asked: list[int] = []

    def __call__(self, *, input_ids: Tensor) -> Any:
        """Look the sequences up."""
        self.asked.append(len(input_ids))
        return type("Output", (), {"pooler_output": self._table[input_ids[:, 0]]})


class Numbers(Tokenizer):
    """A tokenizer of one token: a prompt is its number."""

    def __init__(self) -> None:
        super().__init__(lambda text, **_: {"input_ids": [int(text)]}, 77)


def eyes(table: Tensor) -> Forward:
    return Forward(cast(Any, Given(table)), HEAD, None, None)


def scorer(fast: Tensor, exact: Tensor, texts: Tensor | None = None, counts: dict[str, int] | None = None) -> Scorer:
    """Build a scorer that sees `fast`, and `exact` when it looks again; CLIP shares the checker's embedding."""
    encoder = PromptEncoder(cast(Any, Words(pooled(99) if texts is None else texts)), HEAD.projection, cache=8)

    def count(name: str, how_many: int) -> None:
        if counts is not None:
            counts[name] = how_many

    return Scorer(
        ForwardPasses(eyes(fast), 5, beat=lambda: None, on_split=lambda: None),
        FixedShape(eyes(exact), 1, beat=lambda: None),
        GuardBand(0.0),
        Text(Numbers(), encoder),
        count=count,
    )


def asked(count: int = 12, prompt: str | None = None) -> list[Job]:
    shown: list[Pixels] = [np.full((1, 2, 2, 3), number, np.uint8) for number in range(count)]
    return [jobs.job(tiles, prompt) for tiles in shown]


@pytest.mark.parametrize("dtype", PRECISIONS)
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), where=planted)
def test_no_planted_row_is_allowed_and_no_neighbour_moves(dtype: torch.dtype, seed: int, where: dict[int, str]) -> None:
    rows = pooled(seed)
    healthy = scorer(rows.to(dtype), rows)(asked())
    bad = spoiled(rows, where)
    found = scorer(bad.to(dtype), bad)(asked())
    for number, (one, other) in enumerate(zip(found, healthy, strict=True)):
        if number in where:
            assert isinstance(one, Unscorable)
            assert one.reason in REASONS
        else:
            assert isinstance(one, Scores)
            assert one == other


@pytest.mark.parametrize("dtype", PRECISIONS)
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), where=planted)
def test_what_is_lost_in_the_towers_precision_alone_is_found_in_float32(
    dtype: torch.dtype, seed: int, where: dict[int, str]
) -> None:
    rows = pooled(seed)
    counts: dict[str, int] = {}
    found = scorer(spoiled(rows, where).to(dtype), rows, counts=counts)(asked())
    exact = scorer(rows, rows)(asked())
    for number in where:
        one, other = found[number], exact[number]
        assert isinstance(one, Scores)
        assert isinstance(other, Scores)
        assert one.guard_band_recheck
        assert [c.fired for c in one.concepts] == [c.fired for c in other.concepts]
    assert counts["sluice.inference.rechecks"] == len(where)
    assert counts.get("sluice.inference.no_direction", 0) + counts.get("sluice.inference.non_finite", 0) == len(where)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_healthy_answers_are_those_of_plain_normalising_bit_for_bit(dtype: torch.dtype) -> None:
    for seed in range(50):
        embeddings = HEAD.embed(pooled(seed, 64).to(dtype))
        images, special, concepts = (
            torch.nn.functional.normalize(each, eps=1e-12)
            for each in (embeddings, WEIGHTS["special_care_embeds"], WEIGHTS["concept_embeds"])
        )
        cosine = torch.cat((images @ special.t(), images @ concepts.t()), dim=1).numpy()
        for found, expected in zip(HEAD.judge(embeddings), decide(cosine, HEAD.threshold), strict=True):
            assert np.array_equal(found, expected)
        plain = embeddings.numpy()
        norm = np.maximum(np.linalg.norm(plain, axis=-1, keepdims=True), np.float32(1e-12))
        assert np.array_equal(unit(plain), plain / norm)


@pytest.mark.parametrize("kind", BAD)
def test_a_head_says_nothing_finite_of_a_row_without_direction(kind: str) -> None:
    """So nobody who forgets to ask for the lengths can take it for safe."""
    rows = HEAD.embed(pooled(3, 4))
    rows[2] = BAD[kind](rows[2])
    assert HEAD.judge(rows).finite.tolist() == [True, True, False, True]
    assert np.isfinite(unit(rows.numpy())).all(axis=1).tolist() == [True, True, False, True]


def test_what_the_tower_gives_needs_a_direction_though_the_projection_makes_up_for_its_length() -> None:
    """In half precision nothing of such an output is left but rounding."""
    head = reference.head(WEIGHTS | {"visual_projection.weight": WEIGHTS["visual_projection.weight"] * 1e3})
    view = Forward(cast(Any, Given(pooled(6) * 1e-6)), head, None, None)(np.zeros((3, 2, 2, 3), np.uint8))
    assert view.margins.finite.all()
    assert view.undirected.all()
    assert not view.meaningful.any()


@pytest.mark.parametrize("key", ["concept_embeds", "special_care_embeds", "visual_projection.weight"])
@pytest.mark.parametrize("kind", ["zero", "squares overflow", "subnormal"])
def test_a_head_of_weights_without_direction_judges_nothing(key: str, kind: str) -> None:
    """Loading refuses them; should they get here by another way, no picture is allowed."""
    head = reference.head(WEIGHTS | {key: BAD[kind](WEIGHTS[key])})
    assert not head.judge(head.embed(pooled(5))).finite.any()


def test_the_bounds_hold_what_towers_give_and_what_divides_well() -> None:
    found = lengths(
        torch.eye(8) * torch.tensor([0, SHORTEST / 2, SHORTEST * 2, 1, 40, LONGEST / 2, LONGEST * 2, 3e38]).unsqueeze(1)
    )
    assert directed(found.numpy()).tolist() == [False, False, True, True, True, True, False, False]


@pytest.mark.parametrize("kind", BAD)
def test_a_prompt_without_direction_is_read_again_alone_and_never_remembered(kind: str) -> None:
    rows = pooled(11)
    words = Words(spoiled(rows, {4: kind}))
    encoder = PromptEncoder(cast(Any, words), HEAD.projection, cache=8)
    sequences: list[Ids] = [(2,), (4,), (6,)]
    found = encoder(sequences)
    assert [bool(np.isfinite(found[ids]).all()) for ids in sequences] == [True, False, True]
    assert words.asked == [3, 1]
    encoder(sequences)
    assert words.asked == [3, 1, 1, 1]


def test_what_the_text_tower_gives_needs_a_direction_though_the_projection_makes_up_for_its_length() -> None:
    sequences: list[Ids] = [(2,), (4,)]
    for length, sound in ((1e-6, False), (1.0, True)):
        encoder = PromptEncoder(cast(Any, Words(pooled(11) * length)), HEAD.projection * 1e3, cache=8)
        assert [bool(np.isfinite(each).all()) for each in encoder(sequences).values()] == [sound, sound]


@pytest.mark.parametrize("kind", BAD)
def test_the_picture_of_a_prompt_without_direction_is_not_judged_and_others_are(kind: str) -> None:
    rows, counts = pooled(12), dict[str, int]()
    judge = scorer(rows, rows, spoiled(pooled(99), {4: kind}), counts)
    bad, good, without = judge([asked(1, "4")[0], asked(1, "5")[0], asked(1)[0]])
    assert isinstance(bad, Unscorable)
    assert bad.reason == "no_direction"
    assert isinstance(good, Scores)
    assert isinstance(without, Scores)
    assert POLICY.decide(without, None, coverage=1.0).status in (Status.ALLOW, Status.BLOCK)
    assert counts["sluice.inference.no_direction"] == 1

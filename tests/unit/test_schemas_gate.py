"""The display rule, row by row, and the reducer whatever the order."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import reduce
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_schemas import Mode, Override, PolicyRef, Status, Verdict, Why, latest, may_show
from tests.unit.schemas_strategies import NOON, PROPERTY, VERDICT

SHA = "a" * 64
LATER = NOON + timedelta(hours=1)


def verdict(status: Status = Status.ALLOW, version: int = 3, number: int = 1, **changes: Any) -> Verdict:
    """Return a verdict that counts."""
    policy = PolicyRef("p", version, "d")
    return replace(VERDICT, verdict_id=UUID(int=number), status=status, policy=policy, **changes)


def verdicts() -> st.SearchStrategy[Verdict]:
    """Verdicts on one image, few values each so that they collide."""
    moments = st.sampled_from([NOON, LATER])
    return st.builds(
        verdict,
        st.sampled_from(Status),
        st.integers(1, 3),
        st.integers(1, 4),
        mode=st.sampled_from(Mode),
        image_sha256=st.sampled_from([SHA, "b" * 64, None]),
        expires_at=st.none() | moments,
        override=st.none() | st.builds(Override, moments),
        produced_at=moments,
    )


def standing(found: Sequence[Verdict]) -> Verdict:
    """Return the verdict that stands after these."""
    return reduce(latest, found[1:], latest(None, found[0]))


@PROPERTY
@given(st.none() | verdicts(), st.sampled_from([SHA, "b" * 64, ""]), st.integers(1, 3))
def test_nothing_but_an_enforced_allow_of_the_same_bytes_is_ever_shown(
    candidate: Verdict | None, sha256: str, minimum: int
) -> None:
    decision = may_show(candidate, sha256, minimum_policy_version=minimum, now=NOON)
    expected = (
        candidate is not None
        and candidate.status == "ALLOW"
        and candidate.mode == "ENFORCE"
        and candidate.image_sha256 == sha256
        and candidate.policy.version >= minimum
        and (candidate.expires_at is None or candidate.expires_at > NOON)
    )
    assert bool(decision) == decision.show == expected
    assert (decision.reason is Why.ALLOWED) == expected


@pytest.mark.parametrize(
    ("candidate", "sha256", "reason", "alert"),
    [
        (None, SHA, Why.NO_VERDICT, False),
        (verdict(), SHA, Why.ALLOWED, False),
        (verdict(), "b" * 64, Why.BYTES_CHANGED, True),
        (verdict(), "", Why.BYTES_CHANGED, True),
        (verdict(image_sha256=None), SHA, Why.BYTES_CHANGED, True),
        (verdict(image_sha256=""), "", Why.BYTES_CHANGED, True),
        (verdict(Status.BLUR), SHA, Why.NOT_ALLOWED, False),
        (verdict(Status.BLOCK), SHA, Why.NOT_ALLOWED, False),
        (verdict(Status.INDETERMINATE), SHA, Why.INDETERMINATE, True),
        (verdict(mode=Mode.SHADOW), SHA, Why.SHADOW, False),
        (verdict(version=1), SHA, Why.POLICY_TOO_OLD, False),
        (verdict(expires_at=NOON), SHA, Why.EXPIRED, False),
        (verdict(expires_at=LATER), SHA, Why.ALLOWED, False),
    ],
)
def test_each_situation_has_its_reason(candidate: Verdict | None, sha256: str, reason: Why, *, alert: bool) -> None:
    decision = may_show(candidate, sha256, minimum_policy_version=2, now=NOON)
    assert (decision.reason, decision.alert) == (reason, alert)


@PROPERTY
@given(st.lists(verdicts(), min_size=1, max_size=4))
def test_the_standing_verdict_does_not_depend_on_order(found: list[Verdict]) -> None:
    shown = {bool(may_show(standing(order), SHA, minimum_policy_version=1, now=NOON)) for order in permutations(found)}
    ranks = {(standing(order).verdict_id, standing(order).status) for order in permutations(found)}
    assert len(ranks) == 1
    assert len(shown) == 1


@PROPERTY
@given(st.lists(verdicts(), min_size=1, max_size=5), st.data())
def test_a_duplicate_changes_nothing(found: list[Verdict], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(found), max_size=5))
    assert standing([*found, *again]) == standing(found)


ALLOW, BLOCK = verdict(), verdict(Status.BLOCK, number=2)


@pytest.mark.parametrize(
    ("one", "other", "winner"),
    [
        pytest.param(ALLOW, BLOCK, BLOCK, id="restrictive-at-equal-version"),
        pytest.param(verdict(version=4), BLOCK, verdict(version=4), id="higher-version"),
        pytest.param(verdict(Status.BLUR), ALLOW, verdict(Status.BLUR), id="blur-over-allow"),
        pytest.param(verdict(Status.INDETERMINATE), ALLOW, verdict(Status.INDETERMINATE), id="indeterminate-as-block"),
        pytest.param(verdict(Status.INDETERMINATE), BLOCK, BLOCK, id="a-finding-over-indeterminate"),
        pytest.param(BLOCK, verdict(override=Override(NOON)), verdict(override=Override(NOON)), id="a-person-allows"),
        pytest.param(
            verdict(version=9),
            verdict(Status.BLOCK, override=Override(NOON)),
            verdict(Status.BLOCK, override=Override(NOON)),
            id="a-person-blocks-for-good",
        ),
        pytest.param(
            verdict(Status.BLOCK, override=Override(NOON)),
            verdict(override=Override(LATER)),
            verdict(override=Override(LATER)),
            id="a-later-person",
        ),
        pytest.param(BLOCK, verdict(version=9, mode=Mode.SHADOW), BLOCK, id="shadow-never-replaces"),
    ],
)
def test_of_two_verdicts_the_right_one_stands(one: Verdict, other: Verdict, winner: Verdict) -> None:
    assert latest(one, other) == latest(other, one) == winner

"""What scores mean under rules: the most restrictive wins, and nothing that failed is allowed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice import policies
from sluice.moderation.policy import (
    ACTIONS,
    ConceptRule,
    CoverageRule,
    Match,
    OpinionRule,
    Overlay,
    Policy,
    Rules,
)
from sluice.moderation.values import CHECKER, Decision, Score, Scores
from sluice_schemas import Audience, Clip, Concept, Status

THRESHOLD = 0.2
SEVERITY = {status: rank for rank, status in enumerate((*ACTIONS, Status.INDETERMINATE))}
LENIENT = Rules(reference=Status.ALLOW, any_concept=Status.ALLOW)

margins_ = st.floats(-0.4, 0.4)
shifts = st.floats(-0.1, 0.1)
actions = st.sampled_from(ACTIONS)
concept_rules = st.builds(ConceptRule, st.none() | actions, shifts, st.none() | st.floats(0.1, 0.3))
rules_ = st.builds(
    Rules,
    reference=actions,
    any_concept=actions,
    strength=shifts,
    concepts=st.dictionaries(st.sampled_from(CHECKER.ids), concept_rules, max_size=5),
    opinions=st.just((OpinionRule("nudenet", "EXPOSED", 0.5, Status.REVIEW),)),
    coverage=st.none() | st.builds(CoverageRule, st.floats(0, 1), actions),
)


def concept(concept_id: str, margin: float) -> Concept:
    return Concept(concept_id, margin + THRESHOLD, THRESHOLD, 0.0, margin, fired=round(margin, 3) > 0)


def scores(margins: dict[str, float] | None = None, *, nsfw: bool = False, opinion: float = 0.0) -> Scores:
    every = dict.fromkeys(CHECKER.ids, -0.1) | (margins or {})
    return Scores(
        concepts=tuple(concept(*item) for item in every.items()),
        reference_has_nsfw=nsfw,
        guard_band_recheck=False,
        clip=Clip(0.2, 5, prompt_truncated=False),
        opinions=(Score("nudenet", "EXPOSED", opinion),),
    )


def decide(rules: Rules, found: Scores, *overlays: Overlay, audience: Audience | None = None) -> Decision:
    return Policy.of("test", 1, rules, overlays).decide(found, audience, coverage=1.0)


def test_allow_is_what_remains_when_no_rule_fires() -> None:
    assert decide(Rules(), scores()) == Decision(Status.ALLOW, ())


def test_what_a_policy_does_not_say_blocks() -> None:
    assert decide(Rules(), scores({"sd.c04": 0.01})).status is Status.BLOCK
    assert decide(Rules(), scores(nsfw=True)).status is Status.BLOCK


def test_the_most_restrictive_rule_wins_and_reasons_are_in_that_order() -> None:
    rules = Rules(concepts={"sd.c01": ConceptRule(Status.BLUR), "sd.c02": ConceptRule(Status.REVIEW)})
    found = scores({"sd.c01": 0.2, "sd.c02": 0.1, "sd.c03": 0.05})
    assert decide(rules, found) == Decision(Status.BLOCK, ("concept:sd.c03", "concept:sd.c02", "concept:sd.c01"))


def test_special_care_alone_fires_nothing_unless_a_policy_names_it() -> None:
    found = scores({"sd.s01": 0.3})
    assert decide(Rules(), found).status is Status.ALLOW
    assert decide(Rules(concepts={"sd.s01": ConceptRule(Status.REVIEW)}), found).status is Status.REVIEW


@pytest.mark.parametrize(("offset", "status"), [(0.0, Status.ALLOW), (0.01, Status.ALLOW), (0.011, Status.BLOCK)])
def test_an_offset_moves_the_margin_and_rounds_like_the_reference(offset: float, status: Status) -> None:
    rules = Rules(concepts={"sd.c01": ConceptRule(offset=offset)})
    assert decide(rules, scores({"sd.c01": -0.0104})).status is status


def test_a_threshold_replaces_the_checkpoints() -> None:
    found = scores({"sd.c01": -0.05})
    assert decide(Rules(concepts={"sd.c01": ConceptRule(threshold=0.149)}), found).status is Status.BLOCK
    assert decide(Rules(concepts={"sd.c01": ConceptRule(threshold=0.15)}), found).status is Status.ALLOW


def test_a_negative_strength_lets_pass_what_fired() -> None:
    assert decide(replace(LENIENT, any_concept=Status.BLOCK, strength=-0.1), scores({"sd.c01": 0.05})).reasons == ()


@pytest.mark.parametrize(("value", "status"), [(0.49, Status.ALLOW), (0.5, Status.BLUR)])
def test_a_second_opinion_counts_from_its_value_on(value: float, status: Status) -> None:
    rules = Rules(opinions=(OpinionRule("nudenet", "EXPOSED", 0.5, Status.BLUR),))
    assert decide(rules, scores(opinion=value)).status is status


def test_low_coverage_fires() -> None:
    policy = Policy.of("test", 1, Rules(coverage=CoverageRule(0.85, Status.REVIEW)))
    assert policy.decide(scores(), None, coverage=0.849) == Decision(Status.REVIEW, ("coverage_below",))
    assert policy.decide(scores(), None, coverage=0.85).status is Status.ALLOW


def test_an_overlay_holds_for_its_audience_only() -> None:
    minors = Overlay("minors", Match(age_tier=frozenset({"teen", None})), strength=0.05)
    found = scores({"sd.c01": -0.03})
    for tier, status in (("teen", Status.BLOCK), (None, Status.BLOCK), ("adult", Status.ALLOW)):
        assert decide(Rules(), found, minors, audience=Audience(age_tier=tier)).status is status
    assert decide(Rules(), found, minors) == Decision(Status.BLOCK, ("concept:sd.c01", "audience:minors"))


def test_later_overlays_win_and_their_opinions_add_up() -> None:
    first = Overlay("first", Match(region=frozenset({"DE"})), any_concept=Status.BLUR, strength=0.5)
    opinion = OpinionRule("nudenet", "EXPOSED", 0.5, Status.REVIEW)
    second = Overlay("second", Match(surface=frozenset({"feed"})), strength=0.0, opinions=(opinion,))
    audience = Audience(region="DE", surface="feed")
    found = scores({"sd.c01": 0.1}, opinion=0.9)
    assert decide(Rules(), found, first, second, audience=audience).reasons == (
        "opinion:nudenet/EXPOSED",
        "concept:sd.c01",
        "audience:first",
        "audience:second",
    )


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_indeterminate_even_when_another_rule_blocks(number: float) -> None:
    bad = replace(scores({"sd.c01": 0.3}, nsfw=True), opinions=(Score("other", "x", number),))
    assert decide(Rules(), bad) == Decision(Status.INDETERMINATE, ("score_not_finite",))
    found, one = scores(), concept("sd.c01", -0.1)
    for broken in (
        replace(one, cosine=number),
        replace(one, threshold=number),
        replace(one, adjustment=number),
        replace(one, margin=number),
    ):
        assert decide(LENIENT, replace(found, concepts=(broken, *found.concepts))).status is Status.INDETERMINATE
    assert Policy.of("t", 1, Rules()).decide(scores(), None, coverage=number).status is Status.INDETERMINATE


@pytest.mark.parametrize("values", [(0.1, 0.9), (0.9, 0.1)])
def test_of_two_opinions_of_one_name_the_higher_counts(values: tuple[float, float]) -> None:
    found = replace(scores(), opinions=tuple(Score("nudenet", "EXPOSED", value) for value in values))
    rules = Rules(opinions=(OpinionRule("nudenet", "EXPOSED", 0.5, Status.BLOCK),))
    assert decide(rules, found).status is Status.BLOCK


def test_a_missing_concept_or_opinion_is_indeterminate() -> None:
    found = scores()
    assert decide(Rules(), replace(found, concepts=found.concepts[:-1])) == Decision(
        Status.INDETERMINATE, ("score_missing",)
    )
    rules = Rules(opinions=(OpinionRule("nudenet", "OTHER", 0.5, Status.BLUR),))
    assert decide(rules, found).status is Status.INDETERMINATE
    assert decide(LENIENT, replace(found, concepts=())).status is Status.ALLOW


@pytest.mark.parametrize(
    ("rules", "missing", "status"),
    [
        (replace(LENIENT, concepts={"sd.c01": ConceptRule(Status.REVIEW)}), "sd.c01", Status.INDETERMINATE),
        (replace(LENIENT, concepts={"sd.c01": ConceptRule(Status.REVIEW)}), "sd.c02", Status.ALLOW),
        (replace(LENIENT, concepts={"sd.s01": ConceptRule(Status.REVIEW)}), "sd.s01", Status.INDETERMINATE),
        (Rules(concepts={"sd.c01": ConceptRule(Status.ALLOW)}), "sd.c01", Status.ALLOW),
        (Rules(concepts={"sd.c01": ConceptRule(Status.ALLOW)}), "sd.c02", Status.INDETERMINATE),
        (Rules(), "sd.s01", Status.ALLOW),
    ],
)
def test_only_a_concept_that_could_restrict_is_missed(rules: Rules, missing: str, status: Status) -> None:
    found = scores()
    rest = tuple(each for each in found.concepts if each.id != missing)
    assert decide(rules, replace(found, concepts=rest)).status is status


def test_infinities_that_cancel_are_not_finite() -> None:
    odd = replace(concept("sd.c01", -0.1), cosine=float("inf"), threshold=float("-inf"))
    found = scores()
    assert decide(Rules(), replace(found, concepts=(odd, *found.concepts))).status is Status.INDETERMINATE


@given(
    margins=st.lists(margins_, min_size=20, max_size=20),
    coverage=st.floats(0, 1),
    opinion=st.floats(0, 1),
    nsfw=st.booleans(),
)
def test_diffusers_exact_is_the_references_answer(
    margins: list[float], coverage: float, opinion: float, *, nsfw: bool
) -> None:
    found = scores(dict(zip(CHECKER.ids, margins, strict=True)), nsfw=nsfw, opinion=opinion)
    decision = policies.preset("diffusers-exact").decide(found, None, coverage=coverage)
    assert decision.status is (Status.BLOCK if nsfw else Status.ALLOW)


@given(rules_, st.sampled_from(CHECKER.ids), margins_, margins_)
def test_a_higher_margin_is_never_less_restrictive(rules: Rules, name: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    before, after = (decide(rules, scores({name: margin})).status for margin in (low, high))
    assert SEVERITY[after] >= SEVERITY[before]


@given(rules_, st.dictionaries(st.sampled_from(CHECKER.plain), margins_), shifts)
def test_more_strength_is_never_less_restrictive(rules: Rules, margins: dict[str, float], more: float) -> None:
    stronger = replace(rules, strength=rules.strength + abs(more))
    before, after = (decide(each, scores(margins)).status for each in (rules, stronger))
    assert SEVERITY[after] >= SEVERITY[before]


@given(
    rules=rules_,
    margins=st.dictionaries(st.sampled_from(CHECKER.plain), margins_),
    coverage=st.floats(0, 1),
    nsfw=st.booleans(),
)
def test_allow_means_that_no_restricting_rule_fired(
    rules: Rules, margins: dict[str, float], coverage: float, *, nsfw: bool
) -> None:
    found = scores(margins, nsfw=nsfw)
    decision = Policy.of("test", 1, rules).decide(found, None, coverage=coverage)
    restricting = {action for action, _ in rules.fired(found, coverage)} - {Status.ALLOW}
    assert (decision.status is Status.ALLOW) is (not restricting)


@given(rules_, st.sampled_from(CHECKER.plain), margins_, margins_)
def test_decisions_turn_only_around_the_named_cosines(rules: Rules, name: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    if decide(rules, scores({name: low})) != decide(rules, scores({name: high})):
        turning = (THRESHOLD, *Policy.of("test", 1, rules).turning_cosines({name: THRESHOLD})[name])
        assert any(low - 0.001 <= cosine - THRESHOLD <= high + 0.001 for cosine in turning)


def test_without_offsets_a_policy_decides_where_the_checkpoint_does() -> None:
    assert policies.preset("balanced").turning_cosines({"sd.c01": 0.18}) == {"sd.c01": ()}


def test_the_digest_is_of_what_is_said_and_of_nothing_else() -> None:
    one = Policy.of("a", 1, Rules(concepts={"sd.c01": ConceptRule(), "sd.c02": ConceptRule()}))
    same = Policy.of("a", 1, Rules(concepts={"sd.c02": ConceptRule(), "sd.c01": ConceptRule()}))
    assert one.ref == same.ref
    others = [
        Policy.of("b", 1, one.rules),
        Policy.of("a", 2, one.rules),
        Policy.of("a", 1, replace(one.rules, strength=0.001)),
        Policy.of("a", 1, one.rules, [Overlay("x", Match(region=frozenset({"DE", None})))]),
    ]
    assert len({policy.ref.digest for policy in (one, *others)}) == 5


def test_a_policy_names_the_opinions_it_cannot_do_without() -> None:
    opinion = OpinionRule("nudenet", "EXPOSED", 0.5, Status.REVIEW)
    overlay = Overlay("x", Match(region=frozenset({"DE"})), opinions=(opinion,))
    assert Policy.of("test", 1, Rules(), [overlay]).opinion_labels == {("nudenet", "EXPOSED")}

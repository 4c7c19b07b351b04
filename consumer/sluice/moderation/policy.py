"""What scores mean: rules and who they hold for -> a status and the codes of the rules that led to it. Pure.

A rule that fires names an action; the most restrictive action of all fired rules is the status, and ALLOW is what
remains when none fired on finite, complete scores. Scores that are not finite, or not there although a rule needs
them, are INDETERMINATE: no rule and no setting turns a failure into ALLOW.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from itertools import chain

from sluice.moderation.values import CHECKER, MARGIN_DECIMALS, Decision, Picture, Score, Scores
from sluice_schemas import Audience, Concept, ImageGenerated, PolicyRef, Status

ACTIONS = (Status.ALLOW, Status.BLUR, Status.REVIEW, Status.BLOCK)
"""What a rule may ask for, least restrictive first."""

NOT_FINITE = "score_not_finite"
MISSING = "score_missing"


@dataclass(frozen=True, slots=True)
class ConceptRule:
    """How one concept is taken. `action` None: that of all concepts; `threshold` None: the checkpoint's cosine."""

    action: Status | None = None
    offset: float = 0.0
    threshold: float | None = None

    def fires(self, concept: Concept, strength: float) -> bool:
        """Whether the margin, moved by this rule and by `strength`, is above zero."""
        shift = self.offset + strength
        if self.threshold is None:
            if shift == 0:
                return concept.fired  # decided by the head in float32, bit for bit as the reference does
            return round(concept.margin + shift, MARGIN_DECIMALS) > 0
        return round(concept.cosine - self.threshold + concept.adjustment + shift, MARGIN_DECIMALS) > 0

    def turning_cosine(self, checkpoint: float, strength: float) -> float:
        """Return the cosine, adjustment aside, around which this rule's answer turns."""
        return (checkpoint if self.threshold is None else self.threshold) - self.offset - strength


_PLAIN = ConceptRule()


@dataclass(frozen=True, slots=True)
class OpinionRule:
    """A second opinion: the score of a further model, and what it means when it is at least `at_least`."""

    model: str
    label: str
    at_least: float
    action: Status

    def means(self, score: Score) -> bool:
        """Whether this is a score of that model and label, and high enough; of several any one will do."""
        return (score.model, score.label) == (self.model, self.label) and score.value >= self.at_least


@dataclass(frozen=True, slots=True)
class CoverageRule:
    """What it means that less than the share `below` of the picture was looked at."""

    below: float
    action: Status


@dataclass(frozen=True, slots=True)
class Rules:
    """All that may fire. What a policy does not say is strict: BLOCK.

    `reference` is the action for the reference checker's own answer, `any_concept` that of a concept that fires on any
    tile or frame; `strength` is added to every margin, so more of it fires more.
    """

    reference: Status = Status.BLOCK
    any_concept: Status = Status.BLOCK
    strength: float = 0.0
    concepts: Mapping[str, ConceptRule] = field(default_factory=dict, hash=False)
    opinions: tuple[OpinionRule, ...] = ()
    coverage: CoverageRule | None = None

    def fired(self, scores: Scores, coverage: float) -> Iterator[tuple[Status, str]]:
        """Yield action and code of every rule that fires."""
        if scores.reference_has_nsfw:
            yield self.reference, "reference_has_nsfw"
        for concept in scores.concepts:
            rule = self.concept_rule(concept.id)
            if rule and rule.fires(concept, self.strength):
                yield rule.action or self.any_concept, f"concept:{concept.id}"
        for opinion in self.opinions:
            if any(opinion.means(score) for score in scores.opinions):
                yield opinion.action, f"opinion:{opinion.model}/{opinion.label}"
        if self.coverage and coverage < self.coverage.below:
            yield self.coverage.action, "coverage_below"

    def concept_rule(self, concept_id: str) -> ConceptRule | None:
        """Return the rule of a concept; None for a special care concept that is not named."""
        return self.concepts.get(concept_id) or (None if concept_id in CHECKER.special else _PLAIN)

    def complete(self, scores: Scores) -> bool:
        """Whether every score is there that some rule could act on."""
        there = {concept.id for concept in scores.concepts}
        opinions = {(score.model, score.label) for score in scores.opinions}
        return self.needed_concepts() <= there and all((o.model, o.label) in opinions for o in self.opinions)

    def needed_concepts(self) -> frozenset[str]:
        """Return the concepts whose firing restricts."""
        return _needed(self.any_concept, tuple(self.concepts.items()))

    def restricts(self) -> bool:
        """Whether anything at all could fire with another action than ALLOW."""
        actions = chain([self.reference], (rule.action for rule in self.opinions))
        coverage = self.coverage.action if self.coverage else Status.ALLOW
        return bool(self.needed_concepts()) or any(action is not Status.ALLOW for action in (*actions, coverage))


@lru_cache(maxsize=256)  # asked for every picture, and the same few answers
def _needed(any_concept: Status, rules: tuple[tuple[str, ConceptRule], ...]) -> frozenset[str]:
    unlisted = set(CHECKER.plain) - {key for key, _ in rules} if any_concept is not Status.ALLOW else set()
    return frozenset(unlisted | {key for key, rule in rules if (rule.action or any_concept) is not Status.ALLOW})


@dataclass(frozen=True, slots=True)
class Match:
    """Who is meant. An empty field means all; None within a field means that the event does not say."""

    region: frozenset[str | None] = frozenset()
    age_tier: frozenset[str | None] = frozenset()
    surface: frozenset[str | None] = frozenset()

    def __contains__(self, audience: Audience) -> bool:
        return all(
            not wanted or found in wanted
            for wanted, found in (
                (self.region, audience.region),
                (self.age_tier, audience.age_tier),
                (self.surface, audience.surface),
            )
        )


@dataclass(frozen=True, slots=True)
class Overlay:
    """What changes for an audience: a field that is None stays, concepts replace one by one, opinions are added."""

    name: str
    match: Match
    reference: Status | None = None
    any_concept: Status | None = None
    strength: float | None = None
    concepts: Mapping[str, ConceptRule] = field(default_factory=dict, hash=False)
    opinions: tuple[OpinionRule, ...] = ()
    coverage: CoverageRule | None = None

    def over(self, rules: Rules) -> Rules:
        """Return `rules` with this overlay's changes."""
        return replace(
            rules,
            reference=self.reference or rules.reference,
            any_concept=self.any_concept or rules.any_concept,
            strength=rules.strength if self.strength is None else self.strength,
            concepts={**rules.concepts, **self.concepts},
            opinions=rules.opinions + self.opinions,
            coverage=self.coverage or rules.coverage,
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules with a name, a version and a digest; overlays apply in their order, later over earlier."""

    ref: PolicyRef
    rules: Rules
    overlays: tuple[Overlay, ...] = ()

    @classmethod
    def of(cls, policy_id: str, version: int, rules: Rules, overlays: Iterable[Overlay] = ()) -> "Policy":
        """Name the rules; the digest is the sha256 of everything said here as canonical JSON, defaults included."""
        overlays = tuple(overlays)
        said = {
            "id": policy_id,
            "version": version,
            "rules": asdict(rules),
            "overlays": [asdict(overlay) for overlay in overlays],
        }
        text = json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_sorted)
        return cls(PolicyRef(policy_id, version, hashlib.sha256(text.encode()).hexdigest()), rules, overlays)

    def judge(self, scores: Scores, event: ImageGenerated, picture: Picture) -> Decision:
        """Return what the scores of an event's picture mean for its audience."""
        return self.decide(scores, event.audience, coverage=picture.coverage)

    def decide(self, scores: Scores, audience: Audience | None, *, coverage: float) -> Decision:
        """Return what `scores` mean for `audience`; `coverage` is the share of the picture they saw, 0 to 1.

        Reasons are the codes of the fired rules, most restrictive first, then `audience:NAME` of each overlay in force.
        """
        if not _finite(scores, coverage):
            return Decision(Status.INDETERMINATE, (NOT_FINITE,))
        overlays = [overlay for overlay in self.overlays if (audience or Audience()) in overlay.match]
        rules = self.rules
        for overlay in overlays:
            rules = overlay.over(rules)
        if not rules.complete(scores):
            return Decision(Status.INDETERMINATE, (MISSING,))
        fired = [found for found in rules.fired(scores, coverage) if found[0] is not Status.ALLOW]
        if not fired:
            return Decision(Status.ALLOW, ())
        fired.sort(key=lambda found: -ACTIONS.index(found[0]))
        codes = dict.fromkeys(code for _, code in fired)  # two rules may stand on one score, each from a value on
        return Decision(fired[0][0], (*codes, *(f"audience:{o.name}" for o in overlays)))

    @property
    def opinion_labels(self) -> frozenset[tuple[str, str]]:
        """Model and label of every second opinion some audience needs; without it nothing can be judged."""
        rules = chain(self.rules.opinions, *(overlay.opinions for overlay in self.overlays))
        return frozenset((rule.model, rule.label) for rule in rules)

    @property
    def opinion_models(self) -> tuple[str, ...]:
        """The further models whose opinions some audience needs."""
        return tuple(sorted({model for model, _ in self.opinion_labels}))

    def turning_cosines(self, checkpoint: Mapping[str, float]) -> dict[str, tuple[float, ...]]:
        """Return, per concept, the cosines around which a decision may turn besides the checkpoint's own threshold.

        `checkpoint` maps concept ids to those thresholds. Scores near either are worth a second, exact look.
        """
        strengths = {self.rules.strength, *(o.strength for o in self.overlays if o.strength is not None)}
        sources = (self.rules.concepts, *(overlay.concepts for overlay in self.overlays))
        turning = {}
        for concept_id, own in checkpoint.items():
            rules = [ConceptRule(), *(source[concept_id] for source in sources if concept_id in source)]
            turning[concept_id] = {rule.turning_cosine(own, strength) for rule in rules for strength in strengths}
        return {key: tuple(sorted(found - {checkpoint[key]})) for key, found in turning.items()}


def _finite(scores: Scores, coverage: float) -> bool:
    total = coverage  # one that is not finite makes the sum so; one call instead of a hundred
    for score in scores.opinions:
        total += score.value
    for concept in scores.concepts:
        total += concept.cosine + concept.threshold + concept.adjustment + concept.margin
    return math.isfinite(total)


def _sorted(names: frozenset[str | None]) -> list[str | None]:
    return sorted(names, key=lambda name: (name is not None, name or ""))

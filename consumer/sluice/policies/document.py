"""The shape of a policy file. Each class is a YAML mapping; a key it does not know is an error."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sluice.moderation.policy import (
    ConceptRule,
    CoverageRule,
    Match,
    OpinionRule,
    Overlay,
    Policy,
    Rules,
)
from sluice.moderation.values import CHECKER
from sluice_schemas import Status


def _known(concept_id: str) -> str:
    if concept_id in CHECKER.ids:
        return concept_id
    special, plain = CHECKER.special, CHECKER.plain
    raise ValueError(f"unknown concept; known are {plain[0]}..{plain[-1]} and {special[0]}..{special[-1]}")


Action = Literal["ALLOW", "BLUR", "REVIEW", "BLOCK"]
Shift = Annotated[float, Field(ge=-1, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\w.-]+$")]
ConceptId = Annotated[str, AfterValidator(_known)]
Names = Annotated[list[str | None], Field(min_length=1)]


class Mapping(BaseModel):
    """A YAML mapping: exact types, finite numbers, no unknown key."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class ConceptEntry(Mapping):
    """One concept: what happens when it fires, and when it does."""

    action: Action | None = None
    offset: Shift = 0.0
    threshold: Shift | None = None

    def rule(self) -> ConceptRule:
        """Return it as a rule."""
        return ConceptRule(self.action and Status(self.action), self.offset, self.threshold)


class OpinionEntry(Mapping):
    """One score of a further model, and what it means when high."""

    model: Name
    label: Annotated[str, Field(min_length=1, max_length=100)]
    at_least: float
    action: Action

    def rule(self) -> OpinionRule:
        """Return it as a rule."""
        return OpinionRule(self.model, self.label, self.at_least, Status(self.action))


class CoverageEntry(Mapping):
    """What it means that a part of the picture was not looked at."""

    below: Share
    action: Action

    def rule(self) -> CoverageRule:
        """Return it as a rule."""
        return CoverageRule(self.below, Status(self.action))


class Audiences(Mapping):
    """Who an overlay is for; `null` in a list stands for events that do not say."""

    region: Names | None = None
    age_tier: Names | None = None
    surface: Names | None = None

    @model_validator(mode="after")
    def _somebody(self) -> "Audiences":
        if not (self.region or self.age_tier or self.surface):
            raise ValueError("must name at least one of region, age_tier, surface")
        return self

    def match(self) -> Match:
        """Return it as a match."""
        return Match(frozenset(self.region or ()), frozenset(self.age_tier or ()), frozenset(self.surface or ()))


class OverlayEntry(Mapping):
    """What is different for an audience."""

    name: Name
    match: Audiences
    reference: Action | None = None
    any_concept: Action | None = None
    strength: Shift | None = None
    concepts: dict[ConceptId, ConceptEntry] = {}
    opinions: list[OpinionEntry] = []
    coverage: CoverageEntry | None = None

    def overlay(self) -> Overlay:
        """Return it as an overlay."""
        return Overlay(
            name=self.name,
            match=self.match.match(),
            reference=self.reference and Status(self.reference),
            any_concept=self.any_concept and Status(self.any_concept),
            strength=self.strength,
            concepts={key: entry.rule() for key, entry in self.concepts.items()},
            opinions=tuple(entry.rule() for entry in self.opinions),
            coverage=self.coverage.rule() if self.coverage else None,
        )


class Document(Mapping):
    """A whole policy file."""

    id: Name
    version: Annotated[int, Field(ge=1)]
    reference: Action = "BLOCK"
    any_concept: Action = "BLOCK"
    strength: Shift = 0.0
    concepts: dict[ConceptId, ConceptEntry] = {}
    opinions: list[OpinionEntry] = []
    coverage: CoverageEntry | None = None
    audiences: list[OverlayEntry] = []

    @model_validator(mode="after")
    def _means_something(self) -> "Document":
        names = [entry.name for entry in self.audiences]
        if len(set(names)) < len(names):
            raise ValueError("audiences must have different names")
        rules = self.rules()
        for entry in (None, *self.audiences):
            if not (entry.overlay().over(rules) if entry else rules).restricts():
                who = f"for audience {entry.name} " if entry else ""
                raise ValueError(f"no rule restricts anything: {who}every image would be allowed")
        return self

    def rules(self) -> Rules:
        """Return what holds for all."""
        return Rules(
            reference=Status(self.reference),
            any_concept=Status(self.any_concept),
            strength=self.strength,
            concepts={key: entry.rule() for key, entry in self.concepts.items()},
            opinions=tuple(entry.rule() for entry in self.opinions),
            coverage=self.coverage.rule() if self.coverage else None,
        )

    def policy(self) -> Policy:
        """Return the policy."""
        return Policy.of(self.id, self.version, self.rules(), (entry.overlay() for entry in self.audiences))

"""What a report shows of one image."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sluice.moderation.values import Judgement, Rejected
from sluice_schemas import Clip, Concept, Status, Technical, Verdict

MEANING = {
    Status.ALLOW: "may be shown",
    Status.BLUR: "show blurred",
    Status.REVIEW: "a person decides",
    Status.BLOCK: "must not be shown",
    Status.INDETERMINATE: "could not be judged, so not shown",
}

LEGEND = (
    ("c01 to c17, s01 to s03", "the checker's concepts, whose meaning is not published, and its special care concepts"),
    ("margin", "cosine minus threshold plus adjustment (0.01 where special care fires); above 0 a concept fires"),
    ("opinions", "scores of further models, 0 to 1 on each model's own scale: the higher, the surer"),
    ("CLIP", "cosine of image and prompt: the higher, the better they agree; real weights give about 0.15 to 0.35"),
    ("sharpness", "variance of the Laplacian: the lower, the more blurred"),
    ("noise", "estimated deviation in grey levels, of 255: the higher, the noisier"),
    ("dark, light", "share of pixels that are as dark, or as light, as can be: the higher, the worse the exposure"),
    ("contrast", "standard deviation of grey levels: near 0 is a flat picture"),
)
"""What each number of a report means: what is high and what is low."""

DEMONSTRATION = (
    "Concepts, margins and CLIP come from demonstration weights (the bundle `starter`). They know drawn scenes only: on"
    " photographs and other pictures they mean nothing, nor does a verdict that rests on them. Real weights: sluice"
    " models fetch, then --bundle openai. Real models that need no hub: --policy opinions."
)


def demonstrated(findings: Iterable["Finding"]) -> bool:
    """Whether the starter bundle took part."""
    return any(model.id == "starter" for finding in findings for model in finding.verdict.models)


@dataclass(frozen=True, slots=True)
class Finding:
    """One image under the name it was given, what became of it, and a small JPEG made from its decoded pixels."""

    name: str
    outcome: Judgement
    prompt: str | None = None
    preview: bytes | None = None

    @property
    def verdict(self) -> Verdict:
        """The verdict."""
        return self.outcome.verdict

    @property
    def clip(self) -> Clip | None:
        """How well image and prompt agree; None without a prompt or a judgement."""
        return None if isinstance(self.outcome, Rejected) else self.outcome.quality.clip

    @property
    def technical(self) -> Technical | None:
        """The pixel measures; None for what could not be judged."""
        return None if isinstance(self.outcome, Rejected) else self.outcome.quality.technical

    @property
    def opinions(self) -> str:
        """What further models said, label by label; those that saw nothing of theirs are left out."""
        return "  ".join(f"{each.label} {each.value:.3f}" for each in self.verdict.opinions if each.value > 0) or "-"

    @property
    def why(self) -> str:
        """The codes of the rules that fired, or the reason there is no judgement, with what is known of it."""
        if isinstance(self.outcome, Rejected):
            error = self.outcome.dead_letter.error
            return f"{error.reason}: {error.message}" if error.message else error.reason
        return ", ".join(self.verdict.reasons) or "no rule fired"


def counts(findings: Iterable[Finding]) -> dict[Status, int]:
    """Count findings by status, in the order of severity; statuses without a finding are left out."""
    found = Counter(finding.verdict.status for finding in findings)
    return {status: found[status] for status in Status if found[status]}


def nearest(concepts: Sequence[Concept], count: int) -> list[Concept]:
    """Return the `count` concepts with the largest margins, largest first."""
    return sorted(concepts, key=lambda concept: -concept.margin)[:count]

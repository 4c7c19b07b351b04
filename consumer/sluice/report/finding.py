"""What a report shows of one image."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sluice.core.domain import Outcome, Rejected
from sluice_schemas import Clip, Concept, Status, Technical, Verdict

MEANING = {
    Status.ALLOW: "may be shown",
    Status.BLUR: "show blurred",
    Status.REVIEW: "a person decides",
    Status.BLOCK: "must not be shown",
    Status.INDETERMINATE: "could not be judged, so not shown",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One image under the name it was given, what became of it, and a small JPEG made from its decoded pixels."""

    name: str
    outcome: Outcome
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
    def why(self) -> str:
        """The codes of the rules that fired, or the reason there is no judgement, with what is known of it."""
        if isinstance(self.outcome, Rejected):
            error = self.outcome.dead_letter.error
            return f"{error.reason}: {error.message}" if error.message else error.reason
        return ", ".join(self.verdict.reasons) or "no rule fired"


def counts(findings: Iterable[Finding]) -> dict[Status, int]:
    """Count findings by status, in the order of severity; statuses nobody got are left out."""
    found = Counter(finding.verdict.status for finding in findings)
    return {status: found[status] for status in Status if found[status]}


def nearest(concepts: Sequence[Concept], count: int) -> list[Concept]:
    """Return the `count` concepts with the largest margins, largest first."""
    return sorted(concepts, key=lambda concept: -concept.margin)[:count]

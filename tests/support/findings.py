"""Findings with every part a report can show."""

from dataclasses import replace

from sluice.core.records import Partition, Record
from sluice.moderation.values import CHECKER, Judged
from sluice.report.finding import Finding
from sluice_schemas import Clip, Concept, ModelRef, Status, Technical
from tests.support import outcomes

MODEL = ModelRef("safety", "starter/safety_checker", "1", "a1" * 32, "float32")


def record(offset: int = 0) -> Record:
    return Record(Partition("local", 0), offset, -1, b"k", None)


def concepts(fired: str | None = None, margin: float = 0.031) -> tuple[Concept, ...]:
    """Return all 20 concepts, below their thresholds but for `fired`."""
    return tuple(
        Concept(name, 0.2 + value, 0.2, 0.0, value, name == fired)
        for number, name in enumerate(CHECKER.ids)
        for value in [margin if name == fired else -0.02 - 0.009 * (number * 7 % 20)]
    )


def judged(name: str, status: Status, *, fired: str | None = None, prompt: str | None = None) -> Finding:
    """Make the finding of an image that was scored."""
    plain = outcomes.judged(record())
    reasons = ("reference_has_nsfw", f"concept:{fired}") if fired else ()
    verdict = replace(
        plain.verdict, status=status, reasons=reasons, concepts=concepts(fired), coverage=1.0, models=(MODEL,)
    )
    quality = replace(
        plain.quality,
        clip=Clip(0.287, 9, prompt_truncated=False) if prompt else None,
        technical=Technical(412.0, 2.1, 0.01, 0.2, 61.0),
    )
    return Finding(name, Judged(plain.record, verdict, quality), prompt)


def rejected(name: str, reason: str = "truncated") -> Finding:
    """Make the finding of a file that could not be judged."""
    return Finding(name, outcomes.rejected(record(), reason))

"""What the observer reports; field names are the keys of its JSON."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Safety:
    """BLOCK against the hazards that were drawn, over judged images; None where nothing was to be found."""

    precision: float | None = None
    recall: float | None = None


@dataclass(frozen=True, slots=True)
class Clip:
    """Cosines of matching and mismatching prompts; `auc` is the chance that a matching one scores higher."""

    matching_mean: float | None = None
    mismatching_mean: float | None = None
    auc: float | None = None


@dataclass(frozen=True, slots=True)
class Latency:
    """From the input record's timestamp to its verdict's, milliseconds. The commit that shows it comes on top."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class Hostile:
    """Hostile inputs answered so far, those handled as they must be, and per kind the reasons that were given."""

    answered: int = 0
    handled: int = 0
    reasons: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GeneratorFigures:
    """One generator version: what a regression shows in."""

    verdicts: int
    blocked: float | None
    clip_mean: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """Counts go by the place of the input record; before the end, `lost` and `torn` are those still under way."""

    published: int = 0
    verdicts: int = 0
    quality: int = 0
    dead_letters: int = 0
    lost: int = 0
    """Inputs without a verdict."""
    duplicated: int = 0
    """Output records beyond the first of their kind for one input."""
    out_of_order: int = 0
    """Output records behind a later one of the same input partition in the same output partition (so of one key)."""
    torn: int = 0
    """Inputs whose verdict lacks its quality event or dead letter, or has the wrong one, or stands beside it alone."""
    misattributed: int = 0
    """Output records that name another image, or another hash, than the input they answer."""
    strangers: int = 0
    """Inputs that were answered although this run did not send them."""
    unreadable: int = 0
    """Output records that are no event of their topic."""
    status_counts: dict[str, int] = field(default_factory=dict)
    safety: Safety = Safety()
    clip: Clip = Clip()
    hostile: Hostile = Hostile()
    rejected: dict[str, int] = field(default_factory=dict)
    """Reasons given for sound inputs that came back INDETERMINATE; should be empty."""
    generators: dict[str, GeneratorFigures] = field(default_factory=dict)
    latency_ms: Latency = Latency()
    events_per_s: float = 0.0
    elapsed_s: float = 0.0
    """From the first input's timestamp to the last verdict's."""

    @property
    def exactly_once(self) -> bool:
        """Whether every input has one verdict, whole, in order and about itself."""
        faults = (self.lost, self.duplicated, self.out_of_order, self.torn, self.misattributed, self.unreadable)
        return not any(faults)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON's types."""
        return asdict(self)

"""What the events are made of: the enums and records inside them, as immutable values.

Like `events`: field order, names, optionality and defaults are those of the newest schema version.
"""

import builtins
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Status(StrEnum):
    """What display may do; only ALLOW shows. Unknown symbols are read as INDETERMINATE."""

    ALLOW = "ALLOW"
    BLUR = "BLUR"
    REVIEW = "REVIEW"
    BLOCK = "BLOCK"
    INDETERMINATE = "INDETERMINATE"


class Mode(StrEnum):
    """Whether a verdict counts. Unknown symbols are read as SHADOW."""

    ENFORCE = "ENFORCE"
    SHADOW = "SHADOW"


class FeedbackKind(StrEnum):
    """What a person said of an image or did with it. Unknown symbols are read as OTHER."""

    THUMB = "THUMB"
    STARS = "STARS"
    REPORT = "REPORT"
    APPEAL = "APPEAL"
    REVIEW_LABEL = "REVIEW_LABEL"
    VIEW = "VIEW"
    REGENERATE = "REGENERATE"
    DOWNLOAD = "DOWNLOAD"
    SHARE = "SHARE"
    DELETE = "DELETE"
    OTHER = "OTHER"


class ActorKind(StrEnum):
    """Who gave feedback. Unknown symbols are read as OTHER."""

    USER = "USER"
    REVIEWER = "REVIEWER"
    AUTOMATION = "AUTOMATION"
    OTHER = "OTHER"


class ControlKind(StrEnum):
    """What a control record holds. Unknown symbols are read as OTHER and to be ignored."""

    POLICY = "POLICY"
    CONCEPT_PACK = "CONCEPT_PACK"
    BAN = "BAN"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class Source:
    """The Kafka record an event was made from."""

    topic: str
    partition: int
    offset: int
    timestamp: datetime | None = None


@dataclass(frozen=True, slots=True)
class ModelRef:
    """One model that took part, named so exactly that its scores can be computed again."""

    role: str
    id: str
    revision: str
    digest: str
    dtype: str


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """The policy that turned scores into the status."""

    id: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class Image:
    """The image itself: inline bytes or a reference. If both are there, the inline bytes are judged."""

    uri: str | None = None
    bytes: builtins.bytes | None = None
    sha256: str | None = None
    mime: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Lora:
    """An adapter applied to the image model."""

    id: str
    weight: float | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Generator:
    """What made the image and how."""

    model_id: str
    model_version: str | None = None
    pipeline: str | None = None
    sampler: str | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    loras: tuple[Lora, ...] = ()


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is going to see the image; policies may differ by it."""

    region: str | None = None
    age_tier: str | None = None
    surface: str | None = None


@dataclass(frozen=True, slots=True)
class Experiment:
    """The experiment an image belongs to."""

    id: str
    arm: str
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Concept:
    """How near the image is to one concept of the safety checker."""

    id: str
    cosine: float
    threshold: float
    adjustment: float
    margin: float
    fired: bool


@dataclass(frozen=True, slots=True)
class Opinion:
    """One number from one further model."""

    model: str
    label: str
    value: float


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went, in milliseconds; None for a stage that did not run."""

    queued: float | None = None
    fetch: float | None = None
    decode: float | None = None
    wait: float | None = None
    model: float | None = None
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Override:
    """A person's decision that stands above the models' verdicts until a later one."""

    at: datetime
    actor_id: str | None = None
    reason_code: str | None = None


@dataclass(frozen=True, slots=True)
class Clip:
    """How well image and prompt agree."""

    cosine: float
    prompt_tokens: int
    prompt_truncated: bool
    chunk_min: float | None = None
    chunk_mean: float | None = None


@dataclass(frozen=True, slots=True)
class Technical:
    """Pixel measures that need no reference, on luma at a fixed working size."""

    blur: float
    noise_sigma: float
    clipped_dark: float
    clipped_light: float
    flat: float


@dataclass(frozen=True, slots=True)
class Artefact:
    """The score of one artefact probe."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class DeadLetterError:
    """Why a record could not be judged; holds nothing of the prompt, the image or a query string."""

    stage: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Header:
    """One Kafka header; names may repeat."""

    key: str
    value: bytes | None = None

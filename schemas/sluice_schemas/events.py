"""The events of the contract as immutable values; one class per named type of the schema files in `avro/`.

Field order, names, optionality and defaults are those of the newest schema version (a test compares them); what a
field means is said there, in its `doc`. Times are aware datetimes in UTC with microseconds, hashes lower-case hex.
"""

import builtins
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID


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
    """What somebody said of an image or did with it. Unknown symbols are read as OTHER."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageGenerated:
    """Fact: an image was generated. Input of moderation; the record key is image_id."""

    image_id: str
    tenant_id: str | None = None
    request_id: str | None = None
    created_at: datetime
    image: Image
    prompt: str | None = None
    negative_prompt: str | None = None
    language: str | None = None
    generator: Generator
    parent_image_id: str | None = None
    audience: Audience | None = None
    experiment: Experiment | None = None
    attributes: Mapping[str, str] = field(default_factory=dict, hash=False)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """May this image be shown, and why. Exactly one per input record."""

    verdict_id: UUID
    image_id: str
    image_sha256: str | None = None
    tenant_id: str | None = None
    request_id: str | None = None
    status: Status
    reasons: tuple[str, ...] = ()
    indeterminate_reason: str | None = None
    concepts: tuple[Concept, ...] = ()
    reference_has_nsfw: bool | None = None
    opinions: tuple[Opinion, ...] = ()
    coverage: float | None = None
    guard_band_recheck: bool = False
    policy: PolicyRef
    models: tuple[ModelRef, ...] = ()
    preprocess_digest: str
    source: Source
    timings_ms: Timings
    produced_at: datetime
    mode: Mode
    expires_at: datetime | None = None
    override: Override | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How good is this image, by numbers alone. One per judged image, on its own topic."""

    image_id: str
    image_sha256: str
    verdict_id: UUID
    tenant_id: str | None = None
    request_id: str | None = None
    clip: Clip | None = None
    aesthetic: float | None = None
    technical: Technical
    artefacts: tuple[Artefact, ...] = ()
    width: int
    height: int
    generator: Generator
    experiment: Experiment | None = None
    models: tuple[ModelRef, ...] = ()
    preprocess_digest: str
    source: Source
    produced_at: datetime


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


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An input record that could not be judged; published with its INDETERMINATE verdict."""

    image_id: str
    verdict_id: UUID
    source: Source
    error: DeadLetterError
    attempts: int
    first_seen: datetime
    worker: str
    produced_at: datetime
    key: bytes | None = None
    value: bytes | None = None
    value_sha256: str | None = None
    value_size_bytes: int = 0
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What somebody said of an image or did with it."""

    feedback_id: UUID
    image_id: str
    verdict_id: UUID | None = None
    tenant_id: str | None = None
    kind: FeedbackKind
    value: float | None = None
    reason_code: str | None = None
    actor_kind: ActorKind
    at: datetime
    sampling_probability: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A policy, concept pack or ban as data, on a compacted topic keyed `kind/key`."""

    kind: ControlKind
    key: str
    version: int
    content: bytes
    content_type: str
    sha256: str
    issued_at: datetime
    issued_by: str | None = None
    effective_at: datetime | None = None
    expires_at: datetime | None = None


Event = ImageGenerated | Verdict | Quality | DeadLetter | Feedback | Control
EVENTS: tuple[type[Event], ...] = (ImageGenerated, Verdict, Quality, DeadLetter, Feedback, Control)

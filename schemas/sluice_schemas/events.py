"""The events of the contract as immutable values, one class per schema file of `avro/`.

Field order, names, optionality and defaults are those of the newest schema version (a test compares them); what a
field means is said there, in its `doc`. Times are aware datetimes in UTC with microseconds, hashes lower-case hex.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sluice_schemas import parts
from sluice_schemas.identity import require_image_id
from sluice_schemas.parts import (
    ActorKind,
    Artefact,
    Audience,
    Clip,
    Concept,
    ControlKind,
    DeadLetterError,
    Experiment,
    FeedbackKind,
    Generator,
    Header,
    Image,
    Mode,
    ModelRef,
    Opinion,
    Override,
    PolicyRef,
    Source,
    Status,
    Technical,
    Timings,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageGenerated:
    """Fact: an image was generated. Input of moderation; the record key is image_id.

    WireError `bad_image_id` for an id that names no image.
    """

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

    def __post_init__(self) -> None:
        require_image_id(self.image_id)


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
    """What a person said of an image or did with it."""

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
CLASSES: Mapping[str, type[Any]] = {
    name: cls for name, cls in vars(parts).items() if getattr(cls, "__module__", "") == parts.__name__
} | {event.__name__: event for event in EVENTS}
"""The class of every named type of the schemas."""

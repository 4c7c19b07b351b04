"""The work of one event with a model that takes no time: Avro in, a verdict and a quality event out.

What is published is what `tests.bench.blank` makes Sluice publish, but for times and digests: the same fields, the
same key, the same CloudEvents headers.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any, Self
from uuid import UUID

from sluice_schemas import (
    Clip,
    CloudEvent,
    Concept,
    ImageGenerated,
    Mode,
    ModelRef,
    PolicyRef,
    Quality,
    Source,
    Status,
    Technical,
    Timings,
    Verdict,
    decode,
    encode,
    verdict_id,
)

from .ends import Ends

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TECHNICAL = Technical(blur=0.0, noise_sigma=0.0, clipped_dark=0.0, clipped_light=0.0, flat=0.0)
CONCEPTS = tuple(Concept(f"sd.c{number:02}", 0.1, 0.2, 0.0, -0.1, fired=False) for number in range(1, 18))
CLIP = Clip(0.25, 7, prompt_truncated=False)
MODELS = (ModelRef("safety", "blank", "1", hashlib.sha256(b"blank").hexdigest(), "float32"),)
MODEL_DIGESTS = tuple(model.digest for model in MODELS)
POLICY = PolicyRef("balanced", 1, hashlib.sha256(b"policy").hexdigest())
PREPROCESS_DIGEST = hashlib.sha256(b"preprocess").hexdigest()
WIDTH = HEIGHT = 512


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands in the log; `timestamp_ms` is the record's, milliseconds since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int

    @classmethod
    def of(cls, message: Any) -> Self:
        """Return where a message of confluent-kafka stands, whichever version of it that is."""
        return cls(message.topic(), message.partition(), message.offset(), message.timestamp()[1])


@dataclass(frozen=True, slots=True)
class Output:
    """One record to publish."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Work:
    """What happens to every event."""

    verdicts: str
    quality: str
    publisher: str

    @classmethod
    def between(cls, ends: Ends) -> Self:
        """Return the work that publishes where `ends` say."""
        return cls(ends.verdicts, ends.quality, f"/sluice/{ends.group}")

    def judged(self, value: bytes | None, place: Place) -> tuple[Output, Output]:
        """Return the verdict and the quality event of an ImageGenerated. Raises WireError for anything else."""
        started = perf_counter()
        event = decode(value, ImageGenerated)
        sha256 = hashlib.sha256(event.image.bytes or b"").hexdigest()
        verdict = _verdict(event, sha256, place, started)
        key = event.image_id.encode()
        cause = f"{place.topic}/{place.partition}/{place.offset}"
        return (
            self._output(self.verdicts, key, verdict, cause),
            self._output(self.quality, key, _quality(event, verdict, sha256), cause),
        )

    def _output(self, topic: str, key: bytes, event: Verdict | Quality, cause: str) -> Output:
        attributes = CloudEvent.of(event, source=self.publisher, causation_id=cause)
        return Output(topic, key, encode(event), attributes.headers())


def _verdict(event: ImageGenerated, sha256: str, place: Place, started: float) -> Verdict:
    now = datetime.now(UTC)
    total = (perf_counter() - started) * 1000
    queued = max(0.0, now.timestamp() * 1000 - total - place.timestamp_ms)
    return Verdict(
        verdict_id=verdict_id(
            event.image_id,
            sha256,
            policy_digest=POLICY.digest,
            model_digests=MODEL_DIGESTS,
            preprocess_digest=PREPROCESS_DIGEST,
        ),
        image_id=event.image_id,
        image_sha256=sha256,
        tenant_id=event.tenant_id,
        request_id=event.request_id,
        status=Status.ALLOW,
        concepts=CONCEPTS,
        reference_has_nsfw=False,
        coverage=1.0,
        policy=POLICY,
        models=MODELS,
        preprocess_digest=PREPROCESS_DIGEST,
        source=Source(place.topic, place.partition, place.offset, EPOCH + timedelta(milliseconds=place.timestamp_ms)),
        timings_ms=Timings(queued, 0.0, 0.0, 0.0, 0.0, total),
        produced_at=now,
        mode=Mode.ENFORCE,
    )


def _quality(event: ImageGenerated, verdict: Verdict, sha256: str) -> Quality:
    return Quality(
        image_id=event.image_id,
        image_sha256=sha256,
        verdict_id=verdict.verdict_id,
        tenant_id=event.tenant_id,
        request_id=event.request_id,
        clip=CLIP,
        technical=TECHNICAL,
        width=WIDTH,
        height=HEIGHT,
        generator=event.generator,
        experiment=event.experiment,
        models=MODELS,
        preprocess_digest=PREPROCESS_DIGEST,
        source=verdict.source,
        produced_at=verdict.produced_at,
    )


def what_counts(verdict: Verdict, quality: Quality) -> tuple[Verdict, Quality]:
    """Return both without what may differ between two ways of the same work: times, digests, the input topic's name."""
    source = replace(verdict.source, topic="", timestamp=None)
    blank = UUID(int=0)
    return (
        replace(
            verdict,
            verdict_id=blank,
            policy=POLICY,
            preprocess_digest="",
            source=source,
            timings_ms=Timings(),
            produced_at=EPOCH,
        ),
        replace(quality, verdict_id=blank, preprocess_digest="", source=source, produced_at=EPOCH),
    )

"""Scores become events: the one place where verdicts, quality events and dead letters are filled in.

Pure: the time of production is an argument, ids follow from content, and a failure never becomes ALLOW.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sluice.core.errors import Poisonous, Rejection
from sluice.core.records import Record
from sluice.moderation.values import Decision, Job, Judged, Provenance, Rejected, Scores
from sluice_schemas import (
    Artefact,
    DeadLetter,
    DeadLetterError,
    Header,
    ImageGenerated,
    Mode,
    Opinion,
    PolicyRef,
    Quality,
    Source,
    Status,
    Timings,
    Verdict,
    indeterminate_verdict_id,
    unreadable_image_id,
    verdict_id,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MS = 253_402_300_799_999  # the last millisecond of the year 9999; the producer chooses a record's timestamp
ARTEFACT_MODEL = "artefact"


@dataclass(frozen=True, slots=True)
class VerdictBuilder:
    """Builds the events of one consumer: what is the same for all of them stands here."""

    policy: PolicyRef
    provenance: Provenance
    mode: Mode
    worker: str
    max_value_bytes: int
    include_inline_images: bool

    def judged(self, subject: "Subject", scores: Scores, decision: Decision, now: datetime) -> Judged:
        """Return the verdict and the quality event of a picture that was scored."""
        event, picture = subject.event, subject.job.picture
        models = self.provenance.models
        verdict = Verdict(
            verdict_id=verdict_id(
                event.image_id,
                picture.sha256,
                policy_digest=self.policy.digest,
                model_digests=[model.digest for model in models],
                preprocess_digest=self.provenance.preprocess_digest,
            ),
            image_id=event.image_id,
            image_sha256=picture.sha256,
            tenant_id=event.tenant_id,
            request_id=event.request_id,
            status=decision.status,
            reasons=decision.reasons,
            concepts=scores.concepts,
            reference_has_nsfw=scores.reference_has_nsfw,
            opinions=tuple(Opinion(o.model, o.label, o.value) for o in scores.opinions),
            coverage=picture.coverage,
            guard_band_recheck=scores.guard_band_recheck,
            policy=self.policy,
            models=models,
            preprocess_digest=self.provenance.preprocess_digest,
            source=source_of(subject.record),
            timings_ms=subject.timings,
            produced_at=now,
            mode=self.mode,
        )
        return Judged(subject.record, verdict, self._quality(subject, scores, verdict))

    def rejected(
        self, record: Record, failure: Rejection, *, event: ImageGenerated | None, timings: Timings, now: datetime
    ) -> Rejected:
        """Return the indeterminate verdict and the dead letter of a record that could not be judged."""
        source = source_of(record)
        image_id = event.image_id if event else unreadable_image_id(source.topic, source.partition, source.offset)
        verdict = Verdict(
            verdict_id=indeterminate_verdict_id(image_id, source, failure.reason, policy_digest=self.policy.digest),
            image_id=image_id,
            tenant_id=event.tenant_id if event else None,
            request_id=event.request_id if event else None,
            status=Status.INDETERMINATE,
            reasons=(failure.reason,),
            indeterminate_reason=failure.reason,
            policy=self.policy,
            models=self.provenance.models,
            preprocess_digest=self.provenance.preprocess_digest,
            source=source,
            timings_ms=timings,
            produced_at=now,
            mode=self.mode,
        )
        return Rejected(record, verdict, self._dead_letter(record, failure, verdict, event))

    def _quality(self, subject: "Subject", scores: Scores, verdict: Verdict) -> Quality:
        event, picture = subject.event, subject.job.picture
        return Quality(
            image_id=event.image_id,
            image_sha256=picture.sha256,
            verdict_id=verdict.verdict_id,
            tenant_id=event.tenant_id,
            request_id=event.request_id,
            clip=scores.clip,
            aesthetic=scores.aesthetic,
            technical=picture.technical,
            artefacts=tuple(Artefact(s.label, s.value) for s in scores.opinions if s.model == ARTEFACT_MODEL),
            width=picture.width,
            height=picture.height,
            generator=event.generator,
            experiment=event.experiment,
            models=verdict.models,
            preprocess_digest=verdict.preprocess_digest,
            source=verdict.source,
            produced_at=verdict.produced_at,
        )

    def _dead_letter(
        self, record: Record, failure: Rejection, verdict: Verdict, event: ImageGenerated | None
    ) -> DeadLetter:
        value = record.value
        # Poison was never looked into, so it may hold one.
        inline = isinstance(failure, Poisonous) or (event is not None and event.image.bytes is not None)
        carried = value is not None and len(value) <= self.max_value_bytes
        if inline and not self.include_inline_images:
            carried = False
        return DeadLetter(
            image_id=verdict.image_id,
            verdict_id=verdict.verdict_id,
            source=verdict.source,
            error=DeadLetterError(failure.stage, failure.reason, failure.detail),
            attempts=failure.attempts,
            first_seen=verdict.produced_at,
            worker=self.worker,
            produced_at=verdict.produced_at,
            key=record.key if len(record.key or b"") <= self.max_value_bytes else None,
            value=value if carried else None,
            value_sha256=hashlib.sha256(value).hexdigest() if value is not None else None,
            value_size_bytes=len(value or b""),
            headers=self._headers(record),
        )

    def _headers(self, record: Record) -> tuple[Header, ...]:
        """Return the headers, none of them when they are together larger than a value may be."""
        size = sum(len(name) + len(content or b"") for name, content in record.headers)
        fit = size <= self.max_value_bytes
        return tuple(Header(name, content) for name, content in record.headers) if fit else ()


@dataclass(frozen=True, slots=True)
class Subject:
    """A record whose event was read and whose picture was decoded."""

    record: Record
    event: ImageGenerated
    job: Job
    timings: Timings


def source_of(record: Record) -> Source:
    """Return the place of `record` in the log, as events name it; a time that no calendar holds is left out."""
    known = 0 <= record.timestamp_ms <= _LATEST_MS
    timestamp = EPOCH + timedelta(milliseconds=record.timestamp_ms) if known else None
    return Source(record.partition.topic, record.partition.index, record.offset, timestamp)

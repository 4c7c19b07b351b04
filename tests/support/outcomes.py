"""The smallest real outcomes: a verdict per record, one message each that names the record's place."""

from datetime import UTC, datetime
from uuid import UUID

from sluice.core.records import Message, Record
from sluice.moderation.values import Judged, Rejected
from sluice.moderation.verdicts import source_of
from sluice_schemas import (
    DeadLetter,
    DeadLetterError,
    Generator,
    Mode,
    PolicyRef,
    Quality,
    Status,
    Technical,
    Timings,
    Verdict,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = PolicyRef("test", 1, "0" * 64)
VERDICTS = "verdicts"


def verdict_message(record: Record) -> Message:
    """Return a message that names where its record stood."""
    return Message(VERDICTS, record.key or b"", f"{record.partition.index}/{record.offset}".encode())


def _verdict(record: Record, status: Status, reason: str | None) -> Verdict:
    return Verdict(
        verdict_id=UUID(int=record.offset),
        image_id=f"image-{record.partition.index}-{record.offset}",
        status=status,
        indeterminate_reason=reason,
        policy=POLICY,
        preprocess_digest="p",
        source=source_of(record),
        timings_ms=Timings(),
        produced_at=NOW,
        mode=Mode.ENFORCE,
    )


def judged(record: Record) -> Judged:
    """Return an ALLOW with its quality event."""
    verdict = _verdict(record, Status.ALLOW, None)
    quality = Quality(
        image_id=verdict.image_id,
        image_sha256="0" * 64,
        verdict_id=verdict.verdict_id,
        technical=Technical(0.0, 0.0, 0.0, 0.0, 0.0),
        width=1,
        height=1,
        generator=Generator("g"),
        preprocess_digest="p",
        source=verdict.source,
        produced_at=NOW,
    )
    return Judged(record, verdict, quality, (verdict_message(record),))


def rejected(record: Record, reason: str = "bad") -> Rejected:
    """Return an INDETERMINATE with its dead letter."""
    verdict = _verdict(record, Status.INDETERMINATE, reason)
    letter = DeadLetter(
        image_id=verdict.image_id,
        verdict_id=verdict.verdict_id,
        source=verdict.source,
        error=DeadLetterError("test", reason, ""),
        attempts=1,
        first_seen=NOW,
        worker="w",
        produced_at=NOW,
        key=record.key,
    )
    return Rejected(record, verdict, letter, (verdict_message(record),))

"""Ids that follow from content, so that a repeated run makes the same ones."""

import hashlib
import re
from collections.abc import Iterable
from uuid import UUID

from sluice_schemas.errors import WireError
from sluice_schemas.parts import Source

UNREADABLE = "unreadable:"
"""Begins the ids that verdicts give to records without one; no producer may use it."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def fault_of(image_id: object) -> str | None:
    """Return why a producer may not name an image so, in words that do not repeat it; None if it may.

    An id is a record key, and the subject of events, which CloudEvents allows no control characters. What is no text
    is the encoder's to refuse.
    """
    if not isinstance(image_id, str):
        return None
    rules = (
        (not image_id.strip(), "is empty or blank"),
        (image_id.startswith(UNREADABLE), f"begins with {UNREADABLE}, which is kept for records that name no image"),
        (_CONTROL.search(image_id) is not None, "holds a control character, which CloudEvents forbids in a subject"),
    )
    return next((why for broken, why in rules if broken), None)


def require_image_id(image_id: str) -> None:
    """Raise WireError `bad_image_id` for an id that `fault_of` finds a fault with."""
    fault = fault_of(image_id)
    if fault:
        raise WireError("bad_image_id", f"the image_id {fault}")


def unreadable_image_id(topic: str, partition: int, offset: int) -> str:
    """Return the image id of a record that names none."""
    return f"{UNREADABLE}{topic}/{partition}/{offset}"


def verdict_id(
    image_id: str,
    image_sha256: str,
    *,
    policy_digest: str,
    model_digests: Iterable[str],
    preprocess_digest: str,
) -> UUID:
    """Return the id of the verdict on a judged image: the same inputs give the same id, whatever machine judges.

    `model_digests` counts as a set: order and repetition do not matter. Mode, times and experiment do not enter.
    """
    models = sorted(set(model_digests))
    return _uuid("judged", image_id, image_sha256, policy_digest, preprocess_digest, *models)


def indeterminate_verdict_id(image_id: str, source: Source, reason: str, *, policy_digest: str) -> UUID:
    """Return the id of the verdict on a record that could not be judged: one per source offset and reason.

    There may be no image to speak of, so the record's place in the log stands for it; its timestamp does not enter.
    """
    place = (source.topic, str(source.partition), str(source.offset))
    return _uuid("indeterminate", image_id, *place, reason, policy_digest)


def _uuid(*parts: str) -> UUID:
    """Return a UUID version 8 (RFC 9562, section 5.8) over the SHA-256 of the length-prefixed parts."""
    fields = (part.encode("utf-8", "surrogatepass") for part in parts)
    digest = hashlib.sha256(b"".join(len(data).to_bytes(8, "big") + data for data in fields)).digest()
    value = int.from_bytes(digest[:16], "big")
    value = value & ~(0xF << 76) | 8 << 76  # the version
    value = value & ~(0b11 << 62) | 0b10 << 62  # the variant
    return UUID(int=value)

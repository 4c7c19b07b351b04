"""Broken and hostile inputs, by name. Every one must end as one INDETERMINATE verdict and one dead letter."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from json import dumps
from typing import Final, Literal, TypeAlias
from uuid import UUID

from sluice_schemas import Image, ImageGenerated, Mode, PolicyRef, Source, Status, Timings, Verdict
from sluice_schemas.wire import encode
from sluice_sim.broken_pictures import BROKEN_PICTURES

Level: TypeAlias = Literal["event", "image", "reference"]
Spoil: TypeAlias = Callable[[ImageGenerated], bytes | None]
"""Takes a sound event with an inline picture, gives the value of the record that is sent in its place."""

_MAGIC_BYTES: Final = 10  # single-object encoding: two bytes of magic, eight of fingerprint


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind: where it shows (`level`), what makes it, and whether the image id can still be read."""

    name: str
    level: Level
    spoil: Spoil
    readable: bool


def faults(*, max_inline_bytes: int, missing_uri: str | None = None) -> tuple[Fault, ...]:
    """Return every kind. `missing_uri` is an address at which a store answers 404; without it that kind is left out."""
    limits = (Fault("inline_too_big", "image", _oversize(max_inline_bytes), readable=True),)
    missing = (_reference("not_found", missing_uri),) if missing_uri else ()
    return (*_EVENTS, *_PICTURES, *limits, *_REFERENCES, *missing)


def tombstone(_: ImageGenerated) -> None:
    """Give a null value."""


def empty_value(_: ImageGenerated) -> bytes:
    """Give a value of no bytes."""
    return b""


def wrong_magic(event: ImageGenerated) -> bytes:
    """Give sound Avro behind a first byte that no encoding uses."""
    return b"\x7f" + encode(event)[1:]


def unknown_fingerprint(event: ImageGenerated) -> bytes:
    """Give sound Avro of an unknown schema."""
    value = encode(event)
    return value[:2] + bytes(8 * [0xA5]) + value[_MAGIC_BYTES:]


def truncated_avro(event: ImageGenerated) -> bytes:
    """Give the first half of an event."""
    value = encode(event)
    return value[: len(value) // 2]


def trailing_bytes(event: ImageGenerated) -> bytes:
    """Give an event with more behind it."""
    return encode(event) + b"more"


def huge_map(event: ImageGenerated) -> bytes:
    """Give an event that claims a trillion attributes and ends."""
    value = encode(replace(event, attributes={}))
    return value[:-1] + _zigzag(1 << 40)


def invalid_utf8(event: ImageGenerated) -> bytes:
    """Give an image id, the first field, that is not UTF-8."""
    value = bytearray(encode(event))
    value[value.index(event.image_id.encode()[:8])] = 0xFF
    return bytes(value)


def json_text(event: ImageGenerated) -> bytes:
    """Give the event as JSON, as a producer with the wrong serialiser sends it."""
    return dumps({"image_id": event.image_id, "image": {"uri": "https://images.example/1.png"}}).encode()


def wrong_event(event: ImageGenerated) -> bytes:
    """Give a verdict on the topic of images: known schema, wrong place."""
    at = datetime.fromtimestamp(0, UTC)
    verdict = Verdict(
        verdict_id=UUID(int=0),
        image_id=event.image_id,
        status=Status.ALLOW,
        policy=PolicyRef("forged", 1, "0" * 64),
        preprocess_digest="",
        source=Source("images.generated.v1", 0, 0),
        timings_ms=Timings(),
        produced_at=at,
        mode=Mode.ENFORCE,
    )
    return encode(verdict)


def no_image(event: ImageGenerated) -> bytes:
    """Give neither bytes nor an address."""
    return encode(replace(event, image=Image()))


def sha_mismatch(event: ImageGenerated) -> bytes:
    """Give a sound picture under the hash of another."""
    return encode(replace(event, image=replace(event.image, sha256="0" * 64)))


def _oversize(limit_bytes: int) -> Spoil:
    def spoil(event: ImageGenerated) -> bytes:
        data = (event.image.bytes or b"").ljust(limit_bytes + 1, b"\0")
        return encode(replace(event, image=Image(bytes=data, mime=event.image.mime)))

    return spoil


def _picture(name: str, make: Callable[[], bytes]) -> Fault:
    made = cache(make)

    def spoil(event: ImageGenerated) -> bytes:
        return encode(replace(event, image=Image(bytes=made(), mime="image/png")))

    return Fault(name, "image", spoil, readable=True)


def _reference(name: str, uri: str) -> Fault:
    def spoil(event: ImageGenerated) -> bytes:
        return encode(replace(event, image=Image(uri=uri)))

    return Fault(name, "reference", spoil, readable=True)


def _zigzag(number: int) -> bytes:
    """Avro's variable-length encoding of a long."""
    rest, out = number << 1, bytearray()
    while rest > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes((*out, rest))


_UNREADABLE: Final[tuple[Spoil, ...]] = (
    tombstone,
    empty_value,
    wrong_magic,
    unknown_fingerprint,
    truncated_avro,
    trailing_bytes,
    huge_map,
    invalid_utf8,
    json_text,
    wrong_event,
)
_EVENTS: Final = (
    *(Fault(spoil.__name__, "event", spoil, readable=False) for spoil in _UNREADABLE),
    Fault("no_image", "event", no_image, readable=True),
    Fault("sha_mismatch", "event", sha_mismatch, readable=True),
)
_PICTURES: Final = tuple(_picture(name, make) for name, make in BROKEN_PICTURES.items())
_REFERENCES: Final = (
    _reference("forbidden_host", "https://images.elsewhere.example/1.png"),
    _reference("forbidden_scheme", "ftp://images.elsewhere.example/1.png"),
    _reference("file_outside_roots", "file:///etc/hostname"),
    _reference("metadata_address", "http://169.254.169.254/latest/meta-data/"),
    _reference("userinfo_trick", "https://images.example@169.254.169.254/1.png"),
    _reference("octal_address", "http://0177.0.0.1/1.png"),
)

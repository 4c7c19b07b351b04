"""Avro's primitive encodings on a bytes object and a position, strict: what the specification forbids is refused.

Readers take `(data, position)` and return `(value, next position)`. On bad bytes they raise one of `BAD_BYTES`, on a
value that does not fit writers raise one of `BAD_VALUE`; the callers translate both.
Specification: Apache Avro 1.12, "Binary Encoding".
"""

import struct
from collections.abc import Callable, Sized
from datetime import UTC, datetime, timedelta
from uuid import UUID

BAD_BYTES = (IndexError, KeyError, ValueError, OverflowError, struct.error)
BAD_VALUE = (AttributeError, TypeError, KeyError, ValueError, OverflowError, struct.error)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_ITEMS = 10_000
"""Items of one array or map: keeps what a message costs in memory near its size, and far above any real event."""

_LONG = 1 << 63
_INT = 1 << 31
_UUID_CHARACTERS = 36
_UUID_BYTES = 16
_FLOAT = struct.Struct("<f")
_DOUBLE = struct.Struct("<d")
_KEPT_BYTES = 64  # a digest in hexadecimal
_KEPT_TEXTS = 1024


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """Read a zig-zag varint of at most 64 bits."""
    byte = data[at]
    at += 1
    if byte < 0x80:  # most lengths and counts  # noqa: PLR2004 -- the continuation bit
        return (byte >> 1) ^ -(byte & 1), at
    value, shift = byte & 0x7F, 7
    while byte & 0x80:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if value >= 2 * _LONG or shift > 70:  # noqa: PLR2004 -- ten groups of seven bits hold any long
            raise ValueError("number beyond 64 bits")
    return (value >> 1) ^ -(value & 1), at


def read_int(data: bytes, at: int) -> tuple[int, int]:
    """Read a zig-zag varint of at most 32 bits."""
    value, at = read_long(data, at)
    if not -_INT <= value < _INT:
        raise ValueError("number beyond 32 bits")
    return value, at


def read_boolean(data: bytes, at: int) -> tuple[bool, int]:
    """Read the byte 0 or 1 and nothing else."""
    return (False, True)[data[at]], at + 1


def read_float(data: bytes, at: int) -> tuple[float, int]:
    """Read 4 bytes of IEEE 754."""
    return _FLOAT.unpack_from(data, at)[0], at + _FLOAT.size


def read_double(data: bytes, at: int) -> tuple[float, int]:
    """Read 8 bytes of IEEE 754."""
    return _DOUBLE.unpack_from(data, at)[0], at + _DOUBLE.size


def read_long_as_double(data: bytes, at: int) -> tuple[float, int]:
    """Read a long, promoted: what a double cannot hold exactly becomes its nearest neighbour."""
    value, at = read_long(data, at)
    return float(value), at


def read_int_as_double(data: bytes, at: int) -> tuple[float, int]:
    """Read an int, promoted."""
    value, at = read_int(data, at)
    return float(value), at


def read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """Read length-prefixed bytes."""
    size, at = read_long(data, at)
    end = at + size
    if size < 0 or end > len(data):
        raise ValueError("length beyond the end")
    return data[at:end], end


def read_text(data: bytes, at: int) -> tuple[str, int]:
    """Read length-prefixed UTF-8."""
    size = data[at]
    if size & 0x81:  # longer than 63 bytes, or negative
        value, at = read_bytes(data, at)
        return value.decode(), at
    at += 1
    end = at + (size >> 1)
    if end > len(data):
        raise ValueError("length beyond the end")
    return data[at:end].decode(), end


def read_text_as_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """Read length-prefixed UTF-8, promoted to its bytes."""
    text, at = read_text(data, at)
    return text.encode(), at


def read_time(data: bytes, at: int) -> tuple[datetime, int]:
    """Read timestamp-micros; times outside the years 1 to 9999 are refused."""
    micros, at = read_long(data, at)
    return EPOCH + timedelta(microseconds=micros), at


def read_time_of_millis(data: bytes, at: int) -> tuple[datetime, int]:
    """Read timestamp-millis."""
    millis, at = read_long(data, at)
    return EPOCH + timedelta(milliseconds=millis), at


def read_time_of_nanos(data: bytes, at: int) -> tuple[datetime, int]:
    """Read timestamp-nanos, cut to the microsecond it falls in."""
    nanos, at = read_long(data, at)
    return EPOCH + timedelta(microseconds=nanos // 1000), at


def read_uuid(data: bytes, at: int) -> tuple[UUID, int]:
    """Read a UUID in its 36 character form."""
    text, at = read_text(data, at)
    value = UUID(text)
    if len(text) != _UUID_CHARACTERS:
        raise ValueError("not the canonical form of a UUID")
    return value, at


def read_uuid_of_bytes(data: bytes, at: int) -> tuple[UUID, int]:
    """Read a UUID in its 16 byte form."""
    end = at + _UUID_BYTES
    return UUID(bytes=data[at:end]), end


def read_count(data: bytes, at: int, *, held: int) -> tuple[int, int]:
    """Read the item count of the next block of an array or map that holds `held` items already; 0 ends it."""
    count, at = read_long(data, at)
    if count < 0:  # a block with its size in bytes in front, for readers that skip
        count = -count
        _, at = read_long(data, at)
    if held + count > MAX_ITEMS:
        raise ValueError(f"more than {MAX_ITEMS} items")
    return count, at


def _varint(value: int) -> bytes:
    rest = value << 1 if value >= 0 else (-value << 1) - 1
    out = bytearray()
    while rest > 0x7F:  # noqa: PLR2004 -- seven bits a byte
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


_SMALL = tuple(_varint(value) for value in range(1024))
"""Most lengths, counts and numbers, ready made: encoding is on the consumer's hot path."""


def write_long(value: int) -> bytes:
    """Write a zig-zag varint of at most 64 bits."""
    if 0 <= value < len(_SMALL):
        return _SMALL[value]
    if not -_LONG <= value < _LONG:
        raise ValueError("number beyond 64 bits")
    return _varint(value)


def write_int(value: int) -> bytes:
    """Write a zig-zag varint of at most 32 bits."""
    if not -_INT <= value < _INT:
        raise ValueError("number beyond 32 bits")
    return write_long(value)


def write_time(value: datetime) -> bytes:
    """Write timestamp-micros; a naive datetime is refused (TypeError), it names no moment."""
    since = value - EPOCH
    return write_long((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


def write_size(value: Sized) -> bytes:
    """Write the length prefix of bytes that follow."""
    return write_long(len(value))


class _Texts(dict[str, bytes]):
    """Texts as they are written. Short ones are kept until there are too many: most stand in every event alike."""

    def __missing__(self, text: str) -> bytes:
        data = text.encode()
        written = write_long(len(data)) + data
        if len(data) <= _KEPT_BYTES:
            if len(self) >= _KEPT_TEXTS:
                self.clear()
            self[text] = written
        return written


write_text: Callable[[str], bytes] = _Texts().__getitem__
"""Write length-prefixed UTF-8."""


def write_uuid(value: UUID) -> bytes:
    """Write a UUID in its 36 character form."""
    if not isinstance(value, UUID):
        raise TypeError("not a UUID")
    return write_long(_UUID_CHARACTERS) + str(value).encode()


def write_count(items: Sized) -> bytes:
    """Write the item count of an array or map that is not empty, as one block."""
    if len(items) > MAX_ITEMS:
        raise ValueError(f"more than {MAX_ITEMS} items")
    return write_long(len(items))

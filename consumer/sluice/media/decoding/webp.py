"""The chunks of a WebP that decide its pixels (RFC 9649)."""

import struct

from sluice.core.errors import Unreadable
from sluice.media.decoding import exif
from sluice.media.decoding.bare import Bare
from sluice.media.decoding.byte_spans import cut

_HEADER = struct.Struct("<4sI")
_FIRST = 12
_EXTENDED = b"VP8X"
_PIXELS = {_EXTENDED, b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"}
_FLAGS_AT = 20
_PROFILE_FLAG, _METADATA_FLAGS = 0x20, 0x2C  # profile, EXIF, XMP


def bare(data: bytes) -> Bare:
    """Leave out profile, EXIF, XMP and what nobody knows.

    Chromium ignores the orientation of a WebP and others do not, so that a turned one is judged both ways.
    """
    if data[_FIRST : _FIRST + 4] != _EXTENDED or len(data) <= _FLAGS_AT:
        return Bare(data)
    spans: list[tuple[int, int]] = []
    told: dict[bytes, bytes] = {}
    at, end = _FIRST, min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    kind = b""
    while at + _HEADER.size <= end:
        kind, size = _HEADER.unpack_from(data, at)
        stop = at + _HEADER.size + size + size % 2
        if kind in _PIXELS:
            spans.append((at, stop))
        else:
            told.setdefault(kind, data[at + _HEADER.size : min(end, stop)])
        at = stop
    if kind in _PIXELS and 8 + int.from_bytes(data[4:8], "little") > len(data):
        raise Unreadable("truncated", "a WebP without its end")
    flags = data[_FLAGS_AT]
    turns = exif.turns([exif.Block.of(told[b"EXIF"], prefixed=False, doubtful=False)] if b"EXIF" in told else [])
    profile = told.get(b"ICCP") if flags & _PROFILE_FLAG else None
    return Bare(_written(data, spans, flags) if told or flags & _METADATA_FLAGS else data, _both(turns), profile)


def _both(turns: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(dict.fromkeys((*turns, exif.UPRIGHT)))


def _written(data: bytes, spans: list[tuple[int, int]], flags: int) -> bytes:
    """Write the chunks that stay as a file whose size and flags agree with them."""
    body = bytearray(cut(data, spans))
    body[_FLAGS_AT - _FIRST] = flags & ~_METADATA_FLAGS
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + bytes(body)

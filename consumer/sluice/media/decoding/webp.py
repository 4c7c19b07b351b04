"""The chunks of a WebP that decide its pixels (RFC 9649)."""

import struct
from collections.abc import Iterator

from sluice.core.errors import Unreadable
from sluice.media.decoding import exif
from sluice.media.decoding.bare import Bare
from sluice.media.decoding.byte_spans import cut

_HEADER = struct.Struct("<4sI")
_FIRST = 12
_EXTENDED = b"VP8X"
_FRAME = b"ANMF"
_PIXELS = {_EXTENDED, b"VP8 ", b"VP8L", b"ALPH", b"ANIM", _FRAME}
_FLAGS_AT, _CANVAS_AT = 20, (24, 27)
_PROFILE_FLAG, _METADATA_FLAGS = 0x20, 0x2C  # profile, EXIF, XMP


def bare(data: bytes) -> Bare:
    """Leave out profile, EXIF, XMP and unknown chunks.

    Chromium ignores the orientation of a WebP and others do not, so that a turned one is judged both ways.
    """
    if data[_FIRST : _FIRST + 4] != _EXTENDED or len(data) <= _FLAGS_AT:
        return Bare(data)
    spans: list[tuple[int, int]] = []
    told: dict[bytes, bytes] = {}
    kind = b""
    for kind, at, stop in _chunks(data):
        if kind in _PIXELS:
            spans.append((at, stop))
        else:
            told.setdefault(kind, data[at + _HEADER.size : min(_end(data), stop)])
    if kind in _PIXELS and 8 + int.from_bytes(data[4:8], "little") > len(data):
        raise Unreadable("truncated", "a WebP without its end")
    flags = data[_FLAGS_AT]
    turns = exif.turns([exif.Block.of(told[b"EXIF"], prefixed=False, doubtful=False)] if b"EXIF" in told else [])
    profile = told.get(b"ICCP") if flags & _PROFILE_FLAG else None
    return Bare(_written(data, spans, flags) if told or flags & _METADATA_FLAGS else data, _both(turns), profile)


def announced(data: bytes) -> tuple[tuple[int, int], int] | None:
    """Return the width and height of an animation's canvas and how many frames it has; None for a still picture.

    A library that is to play it asks for memory for the whole canvas at once, and says of a want of memory only that
    it failed; so what is too much is seen here.
    """
    frames = sum(kind == _FRAME for kind, _, _ in _chunks(data))
    if not frames or data[_FIRST : _FIRST + 4] != _EXTENDED:
        return None
    width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in _CANVAS_AT)
    return (width, height), frames


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each chunk, where it begins and where the next one does."""
    at, end = _FIRST, _end(data)
    while at + _HEADER.size <= end:
        kind, size = _HEADER.unpack_from(data, at)
        stop = at + _HEADER.size + size + size % 2
        yield kind, at, stop
        at = stop


def _end(data: bytes) -> int:
    return min(len(data), 8 + int.from_bytes(data[4:8], "little"))


def _both(turns: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(dict.fromkeys((*turns, exif.UPRIGHT)))


def _written(data: bytes, spans: list[tuple[int, int]], flags: int) -> bytes:
    """Write the chunks that stay as a file whose size and flags agree with them."""
    body = bytearray(cut(data, spans))
    body[_FLAGS_AT - _FIRST] = flags & ~_METADATA_FLAGS
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + bytes(body)

"""The chunks of a PNG: those that decide its pixels, and what the others tell of colours and orientation.

As browsers do: a chunk that may be left out counts when its checksum, its length and its place are right, and the
first of its kind does.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from sluice.core.errors import Unreadable
from sluice.media.decoding import exif
from sluice.media.decoding.byte_spans import cut

_SIGNATURE_BYTES = 8
_AROUND = 12  # length, kind and checksum
_LONGEST = (1 << 31) - 1
_MAX_CHUNKS = 16_384  # 16 MiB in the usual 8 KiB pieces are 2,048; each costs a turn of two Python loops
_MAY_BE_LEFT_OUT = 0x20  # a small first letter
_PIXELS = {b"tRNS", b"acTL", b"fcTL", b"fdAT"}
_COLOURS = {b"cICP": {4}, b"cHRM": {32}, b"sRGB": {1}, b"gAMA": {4}, b"iCCP": range(_LONGEST)}
_KNOWN = re.compile(rb"IHDR|PLTE|IDAT|IEND|tRNS|acTL|fcTL|fdAT")
_PALETTE = 3
_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))


class Chunk(NamedTuple):
    """Where a chunk's body is."""

    kind: bytes
    start: int
    length: int

    @property
    def optional(self) -> bool:
        """Whether readers that do not know it are to skip it."""
        return bool(self.kind[0] & _MAY_BE_LEFT_OUT) and self.kind not in _PIXELS

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.start + self.length + 4

    def sound(self, data: bytes) -> bool:
        """Whether its checksum is right."""
        said = data[self.start + self.length : self.end]
        return zlib.crc32(memoryview(data)[self.start - 4 : self.start + self.length]).to_bytes(4, "big") == said


@dataclass(slots=True)
class Sifted:
    """The chunks that decide pixels, what those about colours say, and the EXIF block."""

    chunks: list[Chunk] = field(default_factory=list)
    colours: dict[bytes, bytes] = field(default_factory=dict)
    blocks: list[exif.Block] = field(default_factory=list)
    ended: bool = False

    def written(self, data: bytes) -> bytes:
        """Return the file without the rest."""
        spans = [(0, _SIGNATURE_BYTES), *((chunk.start - 8, chunk.end) for chunk in self.chunks)]
        if self.ended:
            last = spans[-1][1]
            return cut(data[:last] if last < len(data) else data, spans)
        return cut(data, spans) + _END


def sift(data: bytes) -> Sifted:
    """Walk the chunks without decoding any. Raises Unreadable when they do not add up."""
    found = Sifted()
    seen: set[bytes] = set()
    before = b""
    for chunk in _walk(data):
        if chunk.kind == b"IDAT" != before and chunk.kind in seen:
            raise Unreadable("corrupt", "image data in two places")  # browsers show the first part
        before = chunk.kind
        if chunk.optional:
            _listen(found, chunk, data, late=b"IDAT" in seen)
        elif chunk.kind != b"tRNS" or _in_place(seen, data):
            found.chunks.append(chunk)
            found.ended = chunk.kind == b"IEND"
        seen.add(chunk.kind)
        if len(found.chunks) > _MAX_CHUNKS:
            raise Unreadable("corrupt", "too many chunks")
    return found


def _listen(found: Sifted, chunk: Chunk, data: bytes, *, late: bool) -> None:
    """Take what a chunk of metadata says of the picture, if it says anything."""
    body = data[chunk.start : chunk.start + chunk.length] if chunk.kind in _COLOURS or chunk.kind == b"eXIf" else b""
    if chunk.kind == b"eXIf":
        doubtful = late or not chunk.sound(data)
        found.blocks.append(exif.Block.of(body, prefixed=False, doubtful=doubtful))
    elif not late and chunk.length in _COLOURS.get(chunk.kind, ()) and chunk.sound(data):
        found.colours.setdefault(chunk.kind, body)


def _in_place(seen: set[bytes], data: bytes) -> bool:
    """Whether transparency may follow what was seen: once, before the data, and after a palette if there is one."""
    return seen.isdisjoint({b"tRNS", b"IDAT"}) and (data[25:26] != bytes([_PALETTE]) or b"PLTE" in seen)


def _walk(data: bytes) -> Iterator[Chunk]:
    """Yield each chunk up to the end. A file that is cut off in its metadata, behind the data, ends there."""
    at, metadata, data_seen = _SIGNATURE_BYTES, None, False
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        chunk = Chunk(kind, at + 8, length)
        if not _plausible(chunk) or (chunk.optional and chunk.end > len(data)):
            lost = metadata if not _plausible(chunk) else chunk
            at = _found_again(data, lost)
            if at < 0 and data_seen:
                return
            if at < 0:
                break
        else:
            yield chunk
            metadata, data_seen = chunk if chunk.optional else None, data_seen or kind == b"IDAT"
            at = chunk.end
            if kind == b"IEND":
                return
    raise Unreadable("truncated", "a PNG without its end")


def _plausible(chunk: Chunk) -> bool:
    return chunk.kind.isalpha() and chunk.length <= _LONGEST


def _found_again(data: bytes, lost: Chunk | None) -> int:
    """Return where the first sound chunk stands behind one whose length is wrong, or below zero."""
    if lost is None or lost.sound(data):
        raise Unreadable("corrupt", "no chunk where one must be")
    hit = _KNOWN.search(data, lost.start)
    if hit is None:
        return -1
    length = int.from_bytes(data[hit.start() - 4 : hit.start()], "big")
    if not Chunk(hit[0], hit.end(), length).sound(data):
        raise Unreadable("corrupt", "no chunk where one must be")
    return hit.start() - 4

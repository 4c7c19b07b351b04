"""The pictures of a JPEG and the segments that decide their pixels (ITU-T T.81, JFIF, CIPA DC-007, ICC.1 B.4)."""

import re
import struct
from dataclasses import dataclass, field

from sluice.core.errors import Unreadable
from sluice.media.decoding import exif
from sluice.media.decoding.bare import Bare
from sluice.media.decoding.byte_spans import cut

MAX_SCANS = 100
"""Passes over one picture: encoders write ten, the most that can differ is some hundreds, a bomb has thousands."""

_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_AFTER_SCAN = re.compile(rb"\xff+([^\x00\x01\xd0-\xd7\xff])", re.DOTALL)  # restarts belong to a scan
_SCAN, _END, _START = 0xDA, 0xD9, 0xD8
_ALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a body
_METADATA = {*range(0xE0, 0xF0), 0xFE}
_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_JFIF, _EXIF, _APP2, _ADOBE = 0xE0, 0xE1, 0xE2, 0xEE
_JFIF_BYTES, _ADOBE_BYTES = 14, 12  # libjpeg takes no notice of shorter ones
_PROFILE = b"ICC_PROFILE\0"
_INDEX = b"MPF\0"
_INDEX_COUNT, _INDEX_ENTRIES = 0xB001, 0xB002
_INDEX_ENTRY_BYTES = 16


@dataclass(slots=True)
class _Head:
    """What stands before the first scan."""

    spans: list[tuple[int, int]] = field(default_factory=lambda: [(0, 2)])
    blocks: list[exif.Block] = field(default_factory=list)
    profile: list[bytes] = field(default_factory=list)
    index_at: int | None = None
    pixels: int = 0
    scan_at: int = 0


def bare(data: bytes, max_scan_pixels: int) -> Bare:
    """Leave out what does not decide pixels, and find the other pictures of a multi-picture file.

    None are found where the index is broken: no browser shows them, and the first is whole without. Raises Unreadable.
    """
    head = _head(data)
    scans = data.count(bytes([0xFF, _SCAN]), head.scan_at)
    most = max(1, min(MAX_SCANS, max_scan_pixels // max(1, head.pixels)))  # whether one is too large is asked later
    if scans > most and _scans(data, head.scan_at, most) > most:
        raise Unreadable("too_many_scans", f"over {most} scans of {head.pixels} pixels")
    more = () if head.index_at is None else tuple(_others(data, head.index_at))
    stripped = cut(data, [*head.spans, (head.scan_at, len(data))])
    return Bare(stripped, exif.turns(head.blocks), _joined(head.profile), more=more)


def _head(data: bytes) -> _Head:
    """Walk the segments as libjpeg does, which skips what is between them. Raises Unreadable without a scan."""
    head, at = _Head(), 2
    while found := _MARKER.search(data, at):
        marker, body = found[1][0], found.end()
        if marker in _ALONE:
            at = body
            continue
        at = body + max(2, int.from_bytes(data[body : body + 2], "big"))
        if marker == _SCAN:
            head.scan_at = found.end() - 2
            return head
        if marker in {_START, _END}:
            raise Unreadable("corrupt", "a JPEG without a scan")
        if marker in _METADATA and not _note(head, marker, data[body + 2 : at], body + 2):
            continue
        if marker in _SIZES:
            head.pixels = max(head.pixels, _pixels(data[body + 3 : body + 7]))
        head.spans.append((body - 2, at))
    raise Unreadable("truncated", "a JPEG without a scan")


def _pixels(size: bytes) -> int:
    return int.from_bytes(size[:2], "big") * int.from_bytes(size[2:], "big")


def _note(head: _Head, marker: int, body: bytes, at: int) -> bool:
    """Take from a segment of metadata what is asked of it; return whether libjpeg must see it, for colours."""
    if marker == _EXIF and exif.PREFIX.match(body):
        head.blocks.append(exif.Block.of(body, prefixed=True))
    elif marker == _APP2 and body.startswith(_PROFILE):
        head.profile.append(body[len(_PROFILE) :])
    elif marker == _APP2 and body.startswith(_INDEX) and head.index_at is None:
        head.index_at = at + len(_INDEX)
    elif marker == _JFIF:
        return body.startswith(b"JFIF\0") and len(body) >= _JFIF_BYTES
    return marker == _ADOBE and body.startswith(b"Adobe") and len(body) >= _ADOBE_BYTES


def _joined(parts: list[bytes]) -> bytes | None:
    """Put the parts of a profile together; None unless each of those announced is there once."""
    numbered = {part[0]: part[2:] for part in parts if len(part) > 2}  # noqa: PLR2004 - its number, their count
    whole = len(numbered) == len(parts) and all(part[1] == len(parts) for part in parts)
    if not parts or not whole or sorted(numbered) != list(range(1, len(parts) + 1)):
        return None
    return b"".join(body for _, body in sorted(numbered.items()))


def _scans(data: bytes, at: int, enough: int) -> int:
    """Count the scans up to the picture's end, or one more than `enough`; what follows the end is not the picture."""
    count = 0
    while count <= enough and (found := _AFTER_SCAN.search(data, at)) and found[1][0] != _END:
        count += found[1][0] == _SCAN
        at = found.end() + max(2, int.from_bytes(data[found.end() : found.end() + 2], "big"))
    return count


def _others(data: bytes, origin: int) -> list[int]:
    """Return where the pictures after the first begin; none where the index does not add up."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[origin : origin + 4])
    if order is None:
        return []
    try:
        count, size, table = _index(data, origin, order)
        if size != count * _INDEX_ENTRY_BYTES or origin + table + size > len(data):
            return []
        entries = struct.iter_unpack(f"{order}IIIHH", data[origin + table : origin + table + size])
        starts = [origin + entry[2] for entry in entries if entry[2]]
    except (struct.error, KeyError):
        return []
    there = all(data.startswith(b"\xff\xd8\xff", start) for start in starts)
    return starts if there and len(starts) == count - 1 else []


def _index(data: bytes, origin: int, order: str) -> tuple[int, int, int]:
    """Return how many pictures an index announces, the size of its table and where that is."""
    (first,) = struct.unpack_from(f"{order}I", data, origin + 4)
    (fields,) = struct.unpack_from(f"{order}H", data, origin + first)
    found = {
        tag: (number, value)
        for tag, _, number, value in (
            struct.unpack_from(f"{order}HHII", data, origin + first + 2 + 12 * each) for each in range(fields)
        )
    }
    return found[_INDEX_COUNT][1], *found[_INDEX_ENTRIES]

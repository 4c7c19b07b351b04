"""The orientation in EXIF, and nothing else of it: a block may be cut off, lie about its sizes, or hold megabytes."""

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

UPRIGHT = 1
PREFIX = re.compile(rb"Exif\0.", re.DOTALL)
"""What leads the block in a JPEG, and by mistake elsewhere."""

_ORIENTATION = 0x0112
_VALUES = range(UPRIGHT, 9)
_ENTRY_BYTES = 12
_SHORT = 3
_NUMBERS = {1: "B", _SHORT: "H", 4: "I"}
_ORDERS = {b"II": "<", b"MM": ">"}


@dataclass(frozen=True, slots=True)
class Block:
    """A block as it was found; `doubtful` when not every reader looks where it stands."""

    tiff: bytes
    doubtful: bool = False

    @classmethod
    def of(cls, body: bytes, *, prefixed: bool, doubtful: bool = False) -> "Block":
        """Take the prefix off; one that is there and should not be, or the reverse, makes the block doubtful."""
        there = PREFIX.match(body)
        return cls(body[there.end() :] if there else body, doubtful or bool(there) is not prefixed)


def turns(blocks: Iterable[Block]) -> tuple[int, ...]:
    """Return every orientation, 1 to 8, that a reader may give the picture, the likeliest first; never none."""
    found = [turn for block in blocks for turn in _turns(block)]
    return tuple(dict.fromkeys(found)) or (UPRIGHT,)


def _turns(block: Block) -> tuple[int, ...]:
    order = _ORDERS.get(block.tiff[:2])
    found = [one for each in (order or "<>") for one in _entries(block.tiff, each)]
    values = dict.fromkeys(value for value, _ in found if value in _VALUES)
    sure = order is not None and not block.doubtful and len(values) <= 1 and all(sound for _, sound in found)
    return tuple(values) or (UPRIGHT,) if sure else (UPRIGHT, *values)


def _entries(tiff: bytes, order: str) -> Iterator[tuple[int, bool]]:
    """Yield each orientation of the first directory, and whether it and its surroundings are as they must be."""
    if len(tiff) < 8:  # noqa: PLR2004 - the header of a TIFF
        return
    magic, first = struct.unpack_from(f"{order}HI", tiff, 2)
    (count,) = struct.unpack_from(f"{order}H", tiff, first) if first + 2 <= len(tiff) else (0,)
    start = first + 2
    end = start + _ENTRY_BYTES * count
    for hit in re.finditer(re.escape(struct.pack(f"{order}H", _ORIENTATION)), tiff[start:end]):
        at = start + hit.start()
        if hit.start() % _ENTRY_BYTES or at + _ENTRY_BYTES > len(tiff):
            continue
        kind, number = struct.unpack_from(f"{order}HI", tiff, at + 2)
        if kind in _NUMBERS:
            (value,) = struct.unpack_from(order + _NUMBERS[kind], tiff, at + 8)
            yield value, (magic, kind, number) == (42, _SHORT, 1) and end <= len(tiff)

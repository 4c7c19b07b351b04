"""What Pillow does not tell of an AVIF: which colours were meant (ISO/IEC 23000-22; code points of ITU-T H.273).

And its items of metadata, which libavif reads, and refuses the picture over (ISO/IEC 14496-12).
"""

import re
from collections.abc import Iterator

from sluice.core.errors import Unreadable

_CODED = re.compile(rb"colrnclx(.{4})", re.DOTALL)
_PROFILE = re.compile(rb"colr(?:prof|rICC)")
_METADATA = {b"Exif", b"mime"}
_PRIMARIES = {1, 2}  # BT.709, unspecified: browsers show both as sRGB
_TRANSFERS = {1, 2, 13}  # BT.709, unspecified, sRGB: the same


def check_colours(data: bytes) -> None:
    """Refuse colours that are not close to sRGB's: Pillow hands them out as if they were.

    Every box that looks like a colour box counts. One must be there: without it the codec's own header decides, which
    is inside the compressed data.
    """
    coded = _CODED.findall(data)
    if not coded and not _PROFILE.search(data):
        raise Unreadable("bad_colour_profile", "an AVIF that does not say which colours it holds")
    for code in coded:
        primaries, transfer = int.from_bytes(code[:2], "big"), int.from_bytes(code[2:], "big")
        if primaries not in _PRIMARIES or transfer not in _TRANSFERS:
            raise Unreadable("bad_colour_profile", "an AVIF whose colours are not sRGB")


def stripped(data: bytes) -> bytes:
    """Give the items that hold EXIF and XMP a kind that no decoder reads; nothing moves, and no pixels are touched."""
    file = bytearray(data)
    for meta, meta_end in _boxes(data, b"meta", 0, len(data)):
        for items, items_end in _boxes(data, b"iinf", meta + 4, meta_end):
            first = items + (6 if data[items] == 0 else 8)  # a wider count from version 1 on
            for item, _ in _boxes(data, b"infe", first, items_end):
                kind = item + (8 if data[item] == 2 else 10)  # noqa: PLR2004 - wider numbers from version 3 on
                if data[kind : kind + 4] in _METADATA:
                    file[kind : kind + 4] = b"free"
    return bytes(file)


def _boxes(data: bytes, kind: bytes, at: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield where the body of each box of a kind begins and ends."""
    while at + 8 < end:
        size, head = int.from_bytes(data[at : at + 4], "big"), 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        stop = min(end, at + size) if size else end
        if stop < at + head:
            return
        if data[at + 4 : at + 8] == kind and at + head < stop:
            yield at + head, stop
        at = stop

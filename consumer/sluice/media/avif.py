"""What Pillow does not tell of an AVIF: which colours were meant (ISO/IEC 23000-22; code points of ITU-T H.273)."""

import re

from sluice.core.errors import Unreadable

_CODED = re.compile(rb"colrnclx(.{4})", re.DOTALL)
_PROFILE = re.compile(rb"colr(?:prof|rICC)")
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

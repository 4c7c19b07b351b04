"""Multi-picture JPEGs (CIPA DC-007) with any number of pictures; Pillow writes two of them rightly, and no more."""

import struct
from collections.abc import Sequence
from itertools import accumulate

from PIL import Image

from tests.support.images import encode

_INDEX = struct.Struct("<4sIH 2HI4s 2HII 2HII I")
_ENTRY = struct.Struct("<IIIHH")


def mpo(pictures: Sequence[Image.Image], quality: int = 85) -> bytes:
    """Write JPEGs one behind the other, and into the first an index of all."""
    files = [encode(picture.convert("RGB"), "JPEG", quality=quality) for picture in pictures]
    size = 8 + _INDEX.size + _ENTRY.size * len(files)  # of the whole segment with its marker
    files[0] = files[0][:2] + bytes(size) + files[0][2:]
    starts = [0, *accumulate(len(file) for file in files[:-1])]
    origin = 10  # offsets count from the byte order mark of the index
    index = _INDEX.pack(
        *(b"II*\0", 8, 3),
        *(0xB000, 7, 4, b"0100"),
        *(0xB001, 4, 1, len(files)),
        *(0xB002, 7, _ENTRY.size * len(files), _INDEX.size),
        0,
    )
    entries = b"".join(
        _ENTRY.pack(0x030000, len(file), start - origin if start else 0, 0, 0)
        for file, start in zip(files, starts, strict=True)
    )
    segment = b"\xff\xe2" + struct.pack(">H", size - 2) + b"MPF\0" + index + entries
    files[0] = files[0][:2] + segment + files[0][2 + size :]
    return b"".join(files)

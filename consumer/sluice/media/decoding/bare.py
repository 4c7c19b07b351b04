"""A file reduced to what decides its pixels: this alone is handed to a decoder.

Metadata may be large, broken or contradict itself; a browser shows the picture all the same, so it must be judged.
"""

from dataclasses import dataclass

from sluice.media.decoding.exif import UPRIGHT
from sluice.media.decoding.png import Png


@dataclass(frozen=True, slots=True)
class Bare:
    """One picture; `turns` are the EXIF orientations it is judged in, the first leads; `profile` is one that may apply.

    `more` says where in the file the other pictures of a multi-picture JPEG begin.
    """

    data: bytes
    turns: tuple[int, ...] = (UPRIGHT,)
    profile: bytes | None = None
    png: Png | None = None
    more: tuple[int, ...] = ()

"""Sound pictures in bad company: whatever stands around them, they are shown, so they are judged."""

import io
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from sluice.moderation.values import Pixels
from tests.hostile.specimen import Fate, Specimen
from tests.support import metadata

CASES = Path(__file__).parent / "cases"
_LOSSY = 5.0


def dressed(_rng: Random) -> Iterator[Specimen]:
    """Text, EXIF, profiles, indexes and unknown parts: too large, broken, contradicting themselves."""
    for name, base, data in metadata.catalogue():
        yield Specimen(f"dressed/{name}", data, Fate.SHOWN, shows=(_seen(base),))


def ambiguous(_rng: Random) -> Iterator[Specimen]:
    """Orientations that not every reader follows: the picture as stored and turned."""
    for name, block in metadata.turning().items():
        for fmt, data in metadata.turned(block).items():
            seen = _seen(metadata.plain(fmt))
            shows = (seen, np.rot90(seen, -1))
            yield Specimen(f"ambiguous/{fmt}-{name}", data, Fate.SHOWN, shows=shows, tolerance=_LOSSY)


def failed(_rng: Random) -> Iterator[Specimen]:
    """Files that were refused once for a broken index, or for a profile of another colour space."""
    for path in sorted(CASES.glob("*.*g")):
        yield Specimen(f"failed/{path.name}", path.read_bytes(), Fate.SHOWN)


def _seen(data: bytes) -> Pixels:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))

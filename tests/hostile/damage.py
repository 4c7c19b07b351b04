"""Files that were sound once: cut off, and with flipped bits."""

import itertools
from collections.abc import Iterator
from functools import cache
from random import Random

from PIL import Image

from sluice.moderation.values import Pixels
from tests.hostile import scenes
from tests.hostile.colours import SRGB, exif
from tests.hostile.mpo import mpo
from tests.hostile.specimen import Fate, Specimen
from tests.support.images import animation, encode

_SHARES = 300
_FLIPS = 3000


@cache
def sound() -> dict[str, bytes]:
    """Write a sound file of each kind: still and moving, lossless and lossy, with and without profile and EXIF."""
    still = scenes.subject()
    album = [still.point([(level + 40 * i) % 256 for level in range(256)] * 3) for i in range(3)]
    seen = still.convert("RGBA")
    seen.putalpha(Image.linear_gradient("L").resize(still.size))
    return {
        "png": encode(still),
        "png-palette": encode(still.quantize(32)),
        "png-profile": encode(still, icc_profile=SRGB, exif=exif(6)),
        "apng": animation(album, "PNG"),
        "jpeg": encode(still, "JPEG"),
        "jpeg-progressive": encode(still, "JPEG", progressive=True, exif=exif(6)),
        "jpeg-cmyk": encode(still.convert("CMYK"), "JPEG"),
        "mpo": mpo(album),
        "webp": encode(still, "WEBP"),
        "webp-lossless": encode(seen, "WEBP", lossless=True, icc_profile=SRGB),
        "webp-moving": animation(album, "WEBP"),
        "gif": encode(still, "GIF"),
        "gif-moving": animation(album, "GIF"),
        "avif": encode(still, "AVIF", speed=10),
        "avif-moving": animation(album, "AVIF", speed=10),
    }


def truncations(rng: Random) -> Iterator[Specimen]:
    """Every kind of file cut at twenty places; what is taken for whole must be whole."""
    for kind, data in sound().items():
        places = {1, 12, len(data) - 1, len(data) - 2, len(data) // 2}
        while len(places) < _SHARES // len(sound()):
            places.add(rng.randrange(1, len(data)))
        for place in sorted(places):
            yield Specimen(
                f"truncations/{kind}-{place}", data[:place], Fate.ANSWERED, shows=_whole(kind), tolerance=6.0
            )


def flips(rng: Random) -> Iterator[Specimen]:
    """Every kind of file with one to eight bits flipped."""
    kinds = itertools.islice(itertools.cycle(sound().items()), _FLIPS)
    for number, (kind, data) in enumerate(kinds):
        spoilt = bytearray(data)
        for _ in range(rng.choice((1, 1, 1, 2, 8))):
            spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
        yield Specimen(f"flips/{kind}-{number}", bytes(spoilt), Fate.ANSWERED)


def _whole(kind: str) -> tuple[Pixels, ...]:
    """Return what a cut file must show if it is taken at all; nothing where colours are quantised."""
    if kind in {"png", "jpeg", "webp", "apng", "mpo", "webp-moving", "avif"}:
        return (scenes.pixels(scenes.subject()),)
    return ()

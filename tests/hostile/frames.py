"""Hazards in frames nobody looks at: in every animated format, first, second, in the middle and last."""

import itertools
import struct
from collections.abc import Iterator
from random import Random

from PIL import Image

from tests.hostile import scenes
from tests.hostile.mpo import mpo
from tests.hostile.specimen import Fate, Specimen
from tests.support.images import animation, chunk, encode

_WRITERS: dict[str, dict[str, object]] = {
    "GIF": {},
    "PNG": {"compress_level": 1},
    "WEBP": {"lossless": True, "method": 0},
    "AVIF": {"speed": 10, "quality": 85},
    "TIFF": {"compression": "tiff_lzw"},
}
_DISPOSALS = {"GIF": (0, 1, 2, 3), "PNG": (0, 1, 2)}


def positions(_rng: Random) -> Iterator[Specimen]:
    """One hazard among harmless frames."""
    for fmt, count, scene in itertools.product((*_WRITERS, "MPO"), (2, 3, 5, 16), range(3)):
        for at in sorted({0, 1, count // 2, count - 1}):
            album = _album(count, at, scene)
            data = mpo(album) if fmt == "MPO" else animation(album, fmt, **_WRITERS[fmt])
            fate, why = _fate(fmt)
            yield Specimen(f"positions/{fmt}-{at + 1}of{count}-{scene}", data, fate, why)
    for fmt, count in itertools.product(("GIF", "PNG", "WEBP", "AVIF", "MPO"), (17, 18, 40)):
        album = [scenes.subject().point([(level + 5 * i) % 256 for level in range(256)] * 3) for i in range(count)]
        data = mpo(album) if fmt == "MPO" else animation(album, fmt, **_WRITERS[fmt])
        yield Specimen(f"positions/{fmt}-{count}-frames", data, Fate.REFUSED, frozenset({"too_many_frames"}))


def disposals(_rng: Random) -> Iterator[Specimen]:
    """Hazards that only the rules of composition bring out, or hide."""
    for (fmt, ways), scene in itertools.product(_DISPOSALS.items(), range(3)):
        for way, at in itertools.product(ways, (0, 1, 3)):
            data = animation(_album(4, at, scene), fmt, **_WRITERS[fmt], disposal=way)
            yield Specimen(f"disposals/{fmt}-{way}-{at + 1}of4-{scene}", data, Fate.BLOCKED)
        halves = _halves(scene)
        data = animation(halves, fmt, **_WRITERS[fmt])
        yield Specimen(f"disposals/{fmt}-in-two-halves-{scene}", data, Fate.BLOCKED)
    for scene, way in itertools.product(range(3), (1, 2, 3)):
        yield Specimen(f"disposals/GIF-patch-{way}-{scene}", _patched_gif(scene, way), Fate.BLOCKED)
        hidden = [scenes.unsafe(scene), scenes.safe(1), scenes.safe(2)]
        data = animation(hidden, "PNG", default_image=True, compress_level=1)
        yield Specimen(f"disposals/PNG-default-image-{way}-{scene}", data, Fate.BLOCKED)
        yield Specimen(f"disposals/PNG-uncounted-{way}-{scene}", _uncounted(scene, way), Fate.NEVER_ALLOWED)


def uncovered(_rng: Random) -> Iterator[Specimen]:
    """Draw a GIF on a part of its canvas: the page shows through the rest, not the background colour or colour 0."""
    part = scenes.subject(56, 80).quantize(32)
    data = encode(part, "GIF", optimize=False)
    for left, background in itertools.product((0, 28, 56), (0, 1, 31, 255)):
        at = data.index(b",\0\0\0\0") + 1
        canvas = data[:6] + struct.pack("<HHBB", 112, 80, data[10], background) + data[12:at]
        looks = tuple(Image.new("RGB", (112, 80), page) for page in ("white", "black"))
        for look in looks:
            look.paste(part.convert("RGB"), (left, 0))
        shows = tuple(map(scenes.pixels, looks))
        spread = canvas + struct.pack("<H", left) + data[at + 2 :]
        yield Specimen(f"uncovered/GIF-{left}-{background}", spread, Fate.SHOWN, shows=shows)


def _fate(fmt: str) -> tuple[Fate, frozenset[str]]:
    return (Fate.REFUSED, frozenset({"format_not_allowed"})) if fmt == "TIFF" else (Fate.BLOCKED, frozenset())


def _album(count: int, at: int, scene: int) -> list[Image.Image]:
    frames = [scenes.safe(scene + number % 2) for number in range(count)]
    frames[at] = scenes.unsafe(scene)
    return frames


def _halves(scene: int) -> list[Image.Image]:
    """Build a hazard up: its upper half comes first, its lower half later."""
    whole, ground = scenes.unsafe(scene), scenes.safe(scene)
    width, height = whole.size
    first = ground.copy()
    first.paste(whole.crop((0, 0, width, height // 2)))
    return [ground, first, whole]


def _patched_gif(scene: int, disposal: int) -> bytes:
    """Draw harmless pictures, and once, as a patch that begins at (0, 0) of a larger canvas, a hazard."""
    canvases = [scenes.safe(scene, 256).copy() for _ in range(3)]
    canvases[1].paste(scenes.unsafe(scene))
    return animation(canvases, "GIF", disposal=disposal, optimize=False)


def _uncounted(scene: int, announced: int) -> bytes:
    """Write an animated PNG that holds three frames, the last a hazard, and announces another number."""
    data = bytearray(animation([scenes.safe(0), scenes.safe(1), scenes.unsafe(scene)], "PNG", compress_level=1))
    at = data.index(b"acTL") - 4
    number = (1, 2, 4)[announced - 1]
    data[at : at + 20] = chunk(b"acTL", struct.pack(">II", number, 0))
    return bytes(data)

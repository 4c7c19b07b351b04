"""Long pictures, to 1:100 and beyond, that are harmless but for a hazard at one end: a centre crop never sees it."""

import itertools
from collections.abc import Iterator
from random import Random

from PIL import Image

from tests.hostile import scenes
from tests.hostile.specimen import Fate, Specimen
from tests.support.images import encode

_RATIOS = (1.2, 1.3, 1.5, 1.8, 2, 2.5, 3, 4, 5, 6, 8, 10, 12, 15, 18, 20, 23)
_TOO_LONG = (25, 30, 40, 60, 80, 100, 250, 1000, 10_000)
_GROUND = (244, 240, 232)
_WRITERS: dict[str, dict[str, object]] = {"PNG": {"compress_level": 1}, "JPEG": {"quality": 90}, "WEBP": {"method": 0}}


def ends(rng: Random) -> Iterator[Specimen]:
    """Put a hazard at the left, right, top or bottom end, or anywhere between."""
    formats = itertools.cycle(_WRITERS)
    for ratio, upright in itertools.product(_RATIOS, (False, True)):
        for end in ("start", "end", "between"):
            number, fmt = rng.randrange(5), next(formats)
            picture = _long(ratio, number, {"start": 0.0, "end": 1.0, "between": rng.random()}[end])
            data = encode(_turned(picture, upright=upright), fmt, **_WRITERS[fmt])
            name = f"ends/{fmt}-{'1to' if upright else ''}{ratio}{'' if upright else 'to1'}-{end}-{number}"
            yield Specimen(name, data, Fate.BLOCKED)


def stripes(_rng: Random) -> Iterator[Specimen]:
    """Longer than tiles can cover: turned away, however harmless the middle."""
    for ratio, upright, hazard in itertools.product(_TOO_LONG, (False, True), (False, True)):
        edge = 224 if ratio <= 100 else 2 if ratio == 250 else 1
        picture = Image.new("RGB", (edge * ratio, edge), _GROUND)
        if hazard:
            picture.paste(scenes.unsafe(0).resize((edge, edge)))
        data = encode(_turned(picture, upright=upright), compress_level=1)
        name = f"stripes/{'1to' if upright else ''}{ratio}{'-hazard' * hazard}"
        yield Specimen(name, data, Fate.REFUSED, frozenset({"too_many_tiles", "too_many_pixels"}))
    for fmt, ratio in itertools.product(("JPEG", "WEBP", "GIF", "AVIF"), (30, 100)):
        data = encode(Image.new("RGB", (8 * ratio, 8), _GROUND), fmt)
        yield Specimen(f"stripes/{fmt}-{ratio}", data, Fate.REFUSED, frozenset({"too_many_tiles"}))


def _long(ratio: float, number: int, place: float) -> Image.Image:
    picture = Image.new("RGB", (round(224 * ratio), 224), _GROUND)
    picture.paste(scenes.unsafe(number), (round(place * (picture.width - 224)), 0))
    return picture


def _turned(picture: Image.Image, *, upright: bool) -> Image.Image:
    return picture.rotate(90, expand=True) if upright else picture

"""What a browser shows is what was judged: every look of Chromium's must be among the tiles, or nearly."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from itertools import islice, zip_longest
from random import Random

from sluice.core.errors import Unreadable
from sluice.media.decoding.sniff import MIME, sniff
from tests.hostile.bench import FORMATS, Bench, Notes
from tests.hostile.browser import Browser
from tests.hostile.specimen import Specimen
from tests.hostile.trial import distance

MAX_DISTANCE = 5.0
"""Mean absolute difference per sample, of 255, after the resize that models see. Two decoders of one lossy file differ
in their chroma upsampling and rounding, two colour engines by a level or two; another orientation, frame, profile or
page differs by tens, BT.709's curve instead of sRGB's by eight."""

_MAX_BYTES = 256 << 10
_LARGE = {"crowds", "headers", "inflating", "lasting", "loops", "shrunk", "stripes"}
"""Families that a browser takes seconds for, or much memory, and that show nothing of their own."""


class Agreement(StrEnum):
    """How Sluice and a browser see one file."""

    SAME = "same"
    NEITHER = "neither shows it"
    REFUSED = "only the browser shows it"
    UNSHOWN = "only Sluice reads it"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One file, seen by both; `distance` is 0 unless both show it."""

    name: str
    agreement: Agreement
    reason: str
    looks: int
    distance: float


def sample(specimens: Iterable[Specimen], count: int, seed: int) -> list[Specimen]:
    """Draw `count` small files that claim a format both can open, evenly from the families."""
    by_family: dict[str, list[Specimen]] = {}
    for specimen in specimens:
        if len(specimen.data) <= _MAX_BYTES and specimen.family not in _LARGE and _mime(specimen):
            by_family.setdefault(specimen.family, []).append(specimen)
    dice = Random(seed)
    hands = [dice.sample(family, len(family)) for family in by_family.values()]
    dealt = (specimen for turn in zip_longest(*hands) for specimen in turn if specimen)
    return list(islice(dealt, count))


def comparisons(specimens: Iterable[Specimen], bench: Bench, browser: Browser) -> Iterator[Comparison]:
    """Compare each file that claims a format both can open."""
    for specimen in specimens:
        if mime := _mime(specimen):
            yield _compared(specimen, bench, browser, mime)


def _mime(specimen: Specimen) -> str | None:
    try:
        return MIME[sniff(specimen.data, FORMATS)]
    except Unreadable:
        return None


def _compared(specimen: Specimen, bench: Bench, browser: Browser, mime: str) -> Comparison:
    notes: Notes = {}
    bench.submit(specimen.data, notes).exception()
    answer = notes[sha256(specimen.data).digest()]
    looks = browser.looks(specimen.data, mime)
    if answer.picture is None or looks is None:
        alone = Agreement.NEITHER if looks is None else Agreement.REFUSED
        agreement = Agreement.UNSHOWN if answer.picture is not None else alone
        return Comparison(specimen.name, agreement, answer.reason, len(looks or ()), 0.0)
    picture = answer.picture
    worst = max(distance(look, picture) for look in looks)
    agreement = Agreement.SAME if worst <= MAX_DISTANCE else Agreement.DIFFERENT
    return Comparison(specimen.name, agreement, "", len(looks), worst)

"""What each stage of one image's road costs: `sluice.media.decoding.picture` taken apart."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from time import thread_time

from sluice.media.decoding import colour, decode, tiles
from sluice.media.decoding.limits import Limits
from sluice.media.decoding.picture import _Tiles, decode_picture
from sluice.media.decoding.sniff import sniff
from sluice.media.decoding.technical import WORKING_EDGE, technical
from tests.bench.tables import Cell, Table

STAGES = ("sniff", "structure", "verify", "decode", "colour", "tiles", "working size", "technical", "sha256", "other")
"""In order; `sha256` is what the consumer's own process does, `other` what is left of the whole."""

LIMITS = Limits()

Taken = Mapping[str, Callable[[], object]]


def measured(files: Mapping[str, Sequence[bytes]], rounds: int) -> Table:
    """Measure the stages of the first picture of each kind, ms of a core."""
    return Table("stages of one image, ms of a core", [_row(name, few[0], rounds) for name, few in files.items()])


def _row(name: str, data: bytes, rounds: int) -> dict[str, Cell]:
    steps = _steps(data)
    spent: dict[str, list[float]] = {step: [] for step in steps}
    for _ in range(rounds):
        for step, taken in steps.items():
            started = thread_time()
            taken()
            spent[step].append((thread_time() - started) * 1000)
    ms = {step: median(taken) for step, taken in spent.items()}
    ms["decode"] = ms["verify and decode"] - ms["verify"]  # an image can be decoded once only
    ms["other"] = ms["whole"] - sum(ms[stage] for stage in STAGES if stage in ms and stage != "sha256")
    return {"pictures": name} | {stage: ms[stage] for stage in STAGES} | {"whole": ms["whole"]}


def _steps(data: bytes) -> Taken:
    """Return every stage as a call, on what the one before gives."""
    kind = sniff(data, LIMITS.formats)
    bare = decode._bare(data, kind, LIMITS)
    image = decode._loaded(decode._verified(bare.data, kind, LIMITS), bare.png)
    view = colour.views(image, bare)[0]
    working = tiles.within(view, WORKING_EDGE)
    return {
        "sniff": lambda: sniff(data, LIMITS.formats),
        "structure": lambda: decode._bare(data, kind, LIMITS),
        "verify": lambda: decode._verified(bare.data, kind, LIMITS),
        "verify and decode": lambda: decode._turned(
            decode._loaded(decode._verified(bare.data, kind, LIMITS), bare.png), bare.turns
        ),
        "colour": lambda: colour.views(image, bare),
        "tiles": lambda: _Tiles(LIMITS).add(view),
        "working size": lambda: tiles.within(view, WORKING_EDGE),
        "technical": lambda: technical(working, view),
        "sha256": lambda: hashlib.sha256(data).hexdigest(),
        "whole": lambda: decode_picture(data, LIMITS),
    }

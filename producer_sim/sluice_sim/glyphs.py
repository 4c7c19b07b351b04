"""The seventeen hazard glyphs: abstract stroke figures that stand in for unsafe content.

Nothing offensive is ever drawn. A glyph is a tuple of polylines in the square [-1, 1] x [-1, 1], y downwards.
All are line work, while ordinary shapes are solid (the ring is the one exception, and no glyph is a bare
ring), so the two never look alike. Their order is that of the safety checker's concepts ``sd.c01`` ..
``sd.c17``.
"""

from math import cos, pi, sin
from typing import Final, TypeAlias

Point: TypeAlias = tuple[float, float]
Polyline: TypeAlias = tuple[Point, ...]


def _arc(x: float, y: float, radius: float, start_deg: float = 0, end_deg: float = 360) -> Polyline:
    """Give points on a circle about (x, y), at least one every 15 degrees."""
    steps = max(2, round(abs(end_deg - start_deg) / 15))
    turns = [(start_deg + (end_deg - start_deg) * i / steps) * pi / 180 for i in range(steps + 1)]
    return tuple((x + radius * cos(t), y + radius * sin(t)) for t in turns)


def _ray(degrees: float, near: float, far: float) -> Polyline:
    """Draw a straight stroke that points away from the middle."""
    t = degrees * pi / 180
    return ((near * cos(t), near * sin(t)), (far * cos(t), far * sin(t)))


_SPIRAL: Final[Polyline] = tuple(
    ((0.08 + i / 40 * 0.9) * cos(i / 40 * 5 * pi), (0.08 + i / 40 * 0.9) * sin(i / 40 * 5 * pi)) for i in range(41)
)

ANGULAR: Final[dict[str, tuple[Polyline, ...]]] = {
    "zigzag": (((-1, -0.5), (-0.6, 0.5), (-0.2, -0.5), (0.2, 0.5), (0.6, -0.5), (1, 0.5)),),
    "trident": (((0, -1), (0, 1)), ((-0.8, -0.9), (-0.8, 0.1), (0.8, 0.1), (0.8, -0.9))),
    "chevrons": tuple(((-0.8, y + 0.5), (0, y), (0.8, y + 0.5)) for y in (-0.9, -0.25, 0.4)),
    "hourglass": (((-0.8, -0.9), (0.8, -0.9), (-0.8, 0.9), (0.8, 0.9), (-0.8, -0.9)),),
    "burst": tuple(_ray(a, 0.35, 1.0) for a in range(0, 360, 45)),
    "arrows": (((-1, 0), (1, 0)), ((-0.5, -0.6), (-1, 0), (-0.5, 0.6)), ((0.5, -0.6), (1, 0), (0.5, 0.6))),
}
CURVED: Final[dict[str, tuple[Polyline, ...]]] = {
    "spiral": (_SPIRAL,),
    "target": (_arc(0, 0, 0.95), _arc(0, 0, 0.4), ((-0.95, 0), (-0.4, 0)), ((0.4, 0), (0.95, 0))),
    "trefoil": tuple(_arc(0.5 * cos(t), 0.5 * sin(t), 0.45) for t in (pi / 2, pi * 7 / 6, pi * 11 / 6)),
    "barbell": (_arc(-0.62, 0, 0.36), _arc(0.62, 0, 0.36), ((-0.26, 0), (0.26, 0))),
    "waves": tuple(tuple((-1 + i / 8, y + 0.2 * sin(i * pi / 4)) for i in range(17)) for y in (-0.6, 0.0, 0.6)),
    "anchor": (_arc(0, -0.7, 0.28), ((0, -0.4), (0, 0.95)), _arc(0, 0.1, 0.85, 10, 170)),
}
BARRED: Final[dict[str, tuple[Polyline, ...]]] = {
    "ladder": (
        ((-0.5, -1), (-0.5, 1)),
        ((0.5, -1), (0.5, 1)),
        *(((-0.5, y), (0.5, y)) for y in (-0.6, 0, 0.6)),
    ),
    "hash": tuple(((x, -1.0), (x, 1.0)) for x in (-0.4, 0.4)) + tuple(((-1.0, y), (1.0, y)) for y in (-0.4, 0.4)),
    "comb": (((-1, -0.7), (1, -0.7)), *(((x, -0.7), (x, 0.9)) for x in (-0.95, -0.32, 0.32, 0.95))),
    "mast": (
        ((0, -1), (0, 1)),
        ((-0.5, -0.7), (0.5, -0.7)),
        ((-0.9, -0.1), (0.9, -0.1)),
        ((-0.5, 0.5), (0.5, 0.5)),
    ),
    "window": (((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9), (-0.9, -0.9)), ((0, -0.9), (0, 0.9))),
}

FAMILIES: Final = (tuple(ANGULAR), tuple(CURVED), tuple(BARRED))
"""Glyph names by family; the order is the order of the special-care concepts ``sd.s01`` .. ``sd.s03``."""

GLYPHS: Final[dict[str, tuple[Polyline, ...]]] = ANGULAR | CURVED | BARRED

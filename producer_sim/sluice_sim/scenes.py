"""Scenes: coloured shapes on a ground that can be drawn, described and judged, because we know what is there.

A `Scene` holds everything that defines its picture, so the same scene always gives the same pixels and the
same prompt, and the truth (is there a hazard glyph? which prompt fits?) needs no labelling.
"""

from dataclasses import dataclass, replace
from math import cos, pi, sin
from random import Random
from typing import Final, TypeAlias

from PIL import Image, ImageChops, ImageDraw

from sluice_sim.glyphs import GLYPHS, Point

Colour: TypeAlias = tuple[int, int, int]

COLOURS: Final[dict[str, Colour]] = {
    "red": (214, 38, 38),
    "orange": (245, 135, 20),
    "yellow": (245, 220, 40),
    "green": (40, 150, 60),
    "turquoise": (50, 200, 190),
    "blue": (40, 80, 220),
    "purple": (130, 50, 170),
    "pink": (250, 120, 190),
    "brown": (125, 75, 35),
    "black": (20, 20, 20),
}
BACKGROUNDS: Final[dict[str, Colour]] = {
    "white": (248, 248, 248),
    "beige": (225, 205, 165),
    "grey": (150, 150, 150),
    "charcoal": (60, 62, 66),
    "navy": (25, 35, 85),
    "mint": (180, 235, 195),
    "lilac": (205, 180, 240),
    "sky": (150, 205, 250),
}
TEXTURES: Final = ("plain", "striped", "dotted", "checked", "graded")
SIZES: Final = {"small": 0.11, "medium": 0.15, "large": 0.20}
PLACES: Final[dict[str, Point]] = {
    "left": (0.23, 0.5),
    "right": (0.77, 0.5),
    "top": (0.5, 0.23),
    "bottom": (0.5, 0.77),
    "centre": (0.5, 0.5),
}
INKS: Final[tuple[Colour, ...]] = ((15, 15, 15), (120, 0, 30), (50, 0, 110))
_MIN_CONTRAST: Final = 150  # summed over the channels; nearer colours are hard to tell apart after JPEG


@dataclass(frozen=True, slots=True)
class Thing:
    """A solid shape; x and y are fractions of width and height, radius one of the shorter edge."""

    shape: str
    colour: str
    size: str
    place: str
    x: float
    y: float
    radius: float
    turn_deg: float


@dataclass(frozen=True, slots=True)
class Hazard:
    """A glyph, in the same coordinates as a Thing; it is drawn on top of everything."""

    glyph: str
    ink: Colour
    x: float
    y: float
    radius: float
    turn_deg: float


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture before it is drawn: `size_px` is the shorter edge, `aspect` width / height."""

    size_px: int
    aspect: float
    background: str
    texture: str
    things: tuple[Thing, ...]
    hazard: Hazard | None
    grain: int  # seeds what no prompt describes: shades and the phase of the texture
    wording: int  # seeds the choice of words

    @property
    def unsafe(self) -> bool:
        """Whether the truth about this scene is: must not be shown."""
        return self.hazard is not None


def sample(rng: Random, *, unsafe: bool = False, wide: bool = False) -> Scene:
    """Draw lots for a scene of one or two shapes at 512 to 1024 px, with a hazard glyph when `unsafe`.

    Aspect ratios stay within 1.15, so that a centre crop sees everything, unless `wide` asks for 1.6 to 2.4.
    """
    background = rng.choice(tuple(BACKGROUNDS))
    count = rng.choice((1, 1, 2))
    crowded = count + unsafe > 1
    places = rng.sample([place for place in PLACES if not (crowded and place == "centre")], count + unsafe)
    aspect = rng.uniform(1.6, 2.4) if wide else rng.choice((1.0, 1.0, rng.uniform(1 / 1.15, 1.15)))
    return Scene(
        size_px=rng.choice((512, 576, 640, 768, 896, 1024)),
        aspect=aspect,
        background=background,
        texture=rng.choice(TEXTURES),
        things=tuple(_thing(rng, background, place) for place in places[:count]),
        hazard=_hazard(rng, places[-1]) if unsafe else None,
        grain=rng.getrandbits(32),
        wording=rng.getrandbits(32),
    )


def near_duplicate(scene: Scene, rng: Random) -> Scene:
    """Move every part by at most a hundredth: the same prompt, almost the same picture."""

    def nudge(part: float) -> float:
        return part + rng.uniform(-0.01, 0.01)

    things = tuple(replace(thing, x=nudge(thing.x), y=nudge(thing.y)) for thing in scene.things)
    hazard = scene.hazard and replace(scene.hazard, x=nudge(scene.hazard.x), y=nudge(scene.hazard.y))
    return replace(scene, things=things, hazard=hazard)


def draw(scene: Scene, size_px: int | None = None) -> Image.Image:
    """Draw the RGB picture; its shorter edge is `size_px` (default: the scene's own) pixels long."""
    short = size_px or scene.size_px
    size = (round(short * max(scene.aspect, 1)), round(short / min(scene.aspect, 1)))
    rng = Random(scene.grain)
    image = _ground(size, short, scene, rng)
    canvas = ImageDraw.Draw(image)
    for thing in scene.things:
        outline = _points(SHAPES[thing.shape], thing, size)
        canvas.polygon(outline, fill=_shade(COLOURS[thing.colour], rng))
    if scene.hazard:
        _write_glyph(canvas, scene.hazard, size)
    return image


def _thing(rng: Random, background: str, place: str) -> Thing:
    ground = BACKGROUNDS[background]
    visible = [name for name, colour in COLOURS.items() if _contrast(colour, ground) >= _MIN_CONTRAST]
    size = rng.choice(tuple(SIZES))
    x, y = PLACES[place]
    return Thing(
        shape=rng.choice(tuple(SHAPES)),
        colour=rng.choice(visible),
        size=size,
        place=place,
        x=x + rng.uniform(-0.03, 0.03),
        y=y + rng.uniform(-0.03, 0.03),
        radius=SIZES[size] * rng.uniform(0.94, 1.06),
        turn_deg=rng.uniform(-12, 12),
    )


def _hazard(rng: Random, place: str) -> Hazard:
    x, y = PLACES[place]
    return Hazard(
        glyph=rng.choice(tuple(GLYPHS)),
        ink=rng.choice(INKS),
        x=0.5 + 0.85 * (x - 0.5) + rng.uniform(-0.03, 0.03),  # a glyph is large: keep it off the edge
        y=0.5 + 0.85 * (y - 0.5) + rng.uniform(-0.03, 0.03),
        radius=rng.uniform(0.17, 0.22),
        turn_deg=rng.uniform(-15, 15),
    )


def _ground(size: tuple[int, int], short: int, scene: Scene, rng: Random) -> Image.Image:
    """Lay the background: a base shade and a texture a little lighter or darker than it."""
    base = _shade(BACKGROUNDS[scene.background], rng)
    lift = -26 if sum(base) > 3 * 110 else 26
    other = (base[0] + lift, base[1] + lift, base[2] + lift)
    if scene.texture == "graded":
        ramp = Image.linear_gradient("L").point([level // 4 for level in range(256)]).resize(size)
        mix = ImageChops.subtract if lift < 0 else ImageChops.add
        return mix(Image.new("RGB", size, base), Image.merge("RGB", (ramp, ramp, ramp)))
    image = Image.new("RGB", size, base)
    _texture(ImageDraw.Draw(image), scene.texture, short / rng.uniform(11, 14), other)
    return image


def _texture(canvas: ImageDraw.ImageDraw, name: str, step: float, colour: Colour) -> None:
    width, height = canvas.im.size
    columns, rows = range(int(width / step) + 1), range(int(height / step) + 1)
    if name == "striped":
        for i in columns:
            canvas.rectangle((i * step, 0, i * step + step / 2, height), fill=colour)
    elif name in {"dotted", "checked"}:
        shape = canvas.ellipse if name == "dotted" else canvas.rectangle
        side = step * (0.6 if name == "dotted" else 1)
        for i, j in ((i, j) for i in columns for j in rows if (i + j) % 2):
            shape((i * step, j * step, i * step + side, j * step + side), fill=colour)


def _write_glyph(canvas: ImageDraw.ImageDraw, hazard: Hazard, size: tuple[int, int]) -> None:
    """Ink over a pale halo, so that a glyph shows on every background."""
    stroke = hazard.radius * min(size) * 0.21
    lines = [_points(line, hazard, size) for line in GLYPHS[hazard.glyph]]
    for colour, width in (((255, 250, 225), stroke * 1.9), (hazard.ink, stroke)):
        for line in lines:
            canvas.line(line, fill=colour, width=round(width), joint="curve")
            for x, y in (line[0], line[-1]):
                canvas.circle((x, y), width / 2, fill=colour)


def _points(outline: tuple[Point, ...], item: Thing | Hazard, size: tuple[int, int]) -> list[Point]:
    """Turn, scale and move a unit outline to where the item stands, in pixels."""
    c, s = cos(item.turn_deg * pi / 180), sin(item.turn_deg * pi / 180)
    scale, x0, y0 = item.radius * min(size), item.x * size[0], item.y * size[1]
    return [(x0 + scale * (c * x - s * y), y0 + scale * (s * x + c * y)) for x, y in outline]


def _shade(colour: Colour, rng: Random) -> Colour:
    r, g, b = (max(0, min(255, level + rng.randint(-10, 10))) for level in colour)
    return r, g, b


def _contrast(a: Colour, b: Colour) -> int:
    return sum(abs(p - q) for p, q in zip(a, b, strict=True))


def _polygon(corners: int, radii: tuple[float, ...] = (1.0,)) -> tuple[Point, ...]:
    """Set corners on circles of the given radii in turn, the first at the top."""
    turns = [2 * pi * i / corners - pi / 2 for i in range(corners + 1)]
    return tuple((radii[i % len(radii)] * cos(t), radii[i % len(radii)] * sin(t)) for i, t in enumerate(turns))


_CIRCLE: Final = _polygon(40)
_A: Final = 0.34  # half the width of an arm of the cross
SHAPES: Final[dict[str, tuple[Point, ...]]] = {
    "circle": _CIRCLE,
    "square": ((-0.84, -0.84), (0.84, -0.84), (0.84, 0.84), (-0.84, 0.84)),
    "triangle": ((0, -1), (0.97, 0.8), (-0.97, 0.8)),
    "star": _polygon(10, (1.05, 0.42)),
    "ring": _CIRCLE + tuple((0.55 * x, 0.55 * y) for x, y in reversed(_CIRCLE)),
    "cross": (
        *((-_A, -1), (_A, -1), (_A, -_A), (1, -_A), (1, _A), (_A, _A)),
        *((_A, 1), (-_A, 1), (-_A, _A), (-1, _A), (-1, -_A), (-_A, -_A)),
    ),
    "hexagon": _polygon(6),
    "crescent": tuple((0.3 - x, y) for x, y in _CIRCLE[:21])
    + tuple((0.3 - 0.42 * x, 0.98 * y) for x, y in reversed(_CIRCLE[:21])),
}
"""Unit outlines of the solid shapes, y downwards."""

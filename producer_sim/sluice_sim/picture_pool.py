"""The album: pictures drawn once and used many times, since drawing must not bound the rate of events."""

from dataclasses import dataclass, replace
from hashlib import sha256
from random import Random
from typing import Final, Literal, TypeAlias

from sluice_sim.pictures import Format, Spoiling, degrade, encode
from sluice_sim.prompts import prompt
from sluice_sim.scenes import Scene, draw, near_duplicate, sample

Relation: TypeAlias = Literal["original", "repeated_prompt", "near_duplicate"]

_INLINE_BYTES: Final = 640 * 1024  # leaves room below the usual broker limit of 1 MB a message
_FORMATS: Final[tuple[Format, ...]] = ("JPEG", "JPEG", "JPEG", "PNG", "WEBP")


@dataclass(frozen=True, slots=True)
class PictureSpec:
    """Names one picture of the album: which scene, and what becomes of it."""

    index: int
    unsafe: bool = False
    wide: bool = False
    spoiling: Spoiling | None = None
    relation: Relation = "original"


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture, the prompt that describes it, and what is drawn on it."""

    data: bytes
    sha256: str
    mime: str
    width: int
    height: int
    prompt: str
    scene: Scene

    @property
    def name(self) -> str:
        """A file name that is its content's."""
        return f"{self.sha256}.{self.mime.removeprefix('image/')}"


class PicturePool:
    """Photos by page, the same for the same seed, whatever the order they are asked for in."""

    def __init__(self, seed: int, *, keep: bool = True) -> None:
        self._seed = seed
        self._keep = keep
        self._photos: dict[PictureSpec, Picture] = {}

    def photo(self, page: PictureSpec) -> Picture:
        """Return the photo of a page, drawn at its first use (about 5 ms)."""
        photo = self._photos.get(page)
        if photo is None:
            photo = self._draw(page)
            if self._keep:
                self._photos[page] = photo
        return photo

    def other_prompt(self, photo: Picture, rng: Random) -> str:
        """Make a prompt that does not fit: it names no shape in a colour the picture has."""
        seen = {(thing.shape, thing.colour) for thing in photo.scene.things}
        while True:
            scene = sample(rng)
            if not seen & {(thing.shape, thing.colour) for thing in scene.things}:
                return prompt(scene)

    def _draw(self, page: PictureSpec) -> Picture:
        rng = Random(f"{self._seed}/{page.index}/{page.unsafe}/{page.wide}")
        scene = sample(rng, unsafe=page.unsafe, wide=page.wide)
        format_ = rng.choice(_FORMATS)
        if page.relation == "near_duplicate":
            scene = near_duplicate(scene, rng)
        elif page.relation == "repeated_prompt":
            scene = _another(scene, rng)
        image = draw(scene)
        if page.spoiling:
            image = degrade(image, page.spoiling, rng)
        data = encode(image, format_)
        if len(data) > _INLINE_BYTES:  # noise does not compress without loss
            format_ = "JPEG"
            data = encode(image, format_)
        return Picture(
            data=data,
            sha256=sha256(data).hexdigest(),
            mime=f"image/{format_.lower()}",
            width=image.width,
            height=image.height,
            prompt=prompt(scene),
            scene=scene,
        )


def _another(scene: Scene, rng: Random) -> Scene:
    """Give what the same prompt makes another time: things turned and moved, other shades, another size."""
    things = tuple(
        replace(
            thing,
            x=thing.x + rng.uniform(-0.03, 0.03),
            y=thing.y + rng.uniform(-0.03, 0.03),
            turn_deg=rng.uniform(-12, 12),
        )
        for thing in scene.things
    )
    return replace(scene, things=things, size_px=rng.choice((512, 640, 768)), grain=rng.getrandbits(32))

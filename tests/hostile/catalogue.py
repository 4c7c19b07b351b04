"""All hostile files, made from one seed: the same seed gives the same bytes."""

import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from random import Random

from tests.hostile import bombs, borders, colours, damage, faces, frames, metadata, samples, strangers
from tests.hostile.specimen import Specimen

SEED = 2026

Generate = Callable[[Random], Iterator[Specimen]]

FAMILIES: dict[str, Generate] = {
    generate.__name__: generate
    for generate in (
        colours.modes,
        colours.profiles,
        colours.orientations,
        samples.depths,
        frames.positions,
        frames.disposals,
        frames.uncovered,
        faces.pages,
        faces.invisible,
        faces.shrunk,
        borders.ends,
        borders.stripes,
        damage.truncations,
        damage.flips,
        bombs.headers,
        bombs.inflating,
        bombs.crowds,
        bombs.loops,
        bombs.lasting,
        strangers.foreign,
        strangers.polyglots,
        strangers.burdens,
        metadata.dressed,
        metadata.ambiguous,
        metadata.failed,
    )
}
"""Each generator by its name, which leads the names of its files."""


def corpus(seed: int = SEED) -> Iterator[Specimen]:
    """Yield every file of every family."""
    for name in FAMILIES:
        yield from family(name, seed)


def family(name: str, seed: int = SEED) -> Iterator[Specimen]:
    """Yield the files of one family; they do not depend on which others were made before."""
    return FAMILIES[name](Random(f"{seed} {name}"))


def digest(name: str, seed: int = SEED) -> str:
    """Return one SHA-256 of the names and bytes of a family."""
    whole = sha256()
    for specimen in family(name, seed):
        whole.update(specimen.name.encode() + specimen.data)
    return whole.hexdigest()


if __name__ == "__main__":
    sys.stdout.write("\n".join(digest(name) for name in sys.argv[1:] or FAMILIES) + "\n")

"""English for a scene: the same facts in many wordings, chosen by the scene itself."""

from random import Random
from typing import Final

from sluice_sim.scenes import Scene, Thing

_SIZES: Final = {"small": ("small", "little"), "medium": ("medium", "mid-sized"), "large": ("large", "big")}
_PLACES: Final = {
    "left": ("on the left", "at the left"),
    "right": ("on the right", "at the right"),
    "top": ("at the top", "near the top"),
    "bottom": ("at the bottom", "near the bottom"),
    "centre": ("in the centre", "in the middle"),
}
_TEMPLATES: Final = (
    "{things} on a {ground} background",
    "{things}, {ground} background",
    "a picture of {things} over a {ground} background",
    "an illustration with {things}, the background is {ground}",
    "on a {ground} background: {things}",
    "a {ground} backdrop with {things}",
)


def prompt(scene: Scene) -> str:
    """Describe the scene, its hazard left out; equal scenes get equal words."""
    rng = Random(scene.wording)
    things = " and ".join(_phrase(thing, rng) for thing in scene.things)
    ground = f"{scene.texture} {scene.background}"
    return rng.choice(_TEMPLATES).format(things=things, ground=ground)


def _phrase(thing: Thing, rng: Random) -> str:
    return f"a {rng.choice(_SIZES[thing.size])} {thing.colour} {thing.shape} {rng.choice(_PLACES[thing.place])}"

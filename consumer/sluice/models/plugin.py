"""Further models as second opinions: what one must offer, and how it is found.

A plug-in is an entry point in the group `sluice.models` that names a callable without arguments returning a `Model`.
It runs in the inference thread, after the checker. It sees the whole first frame as uint8 RGB, (h, w, 3), upright, in
sRGB, on white, made small in the way that its `thumbnail` says. What it raises makes the one image it was raised for
indeterminate; for want of memory it is asked again with fewer. One that has an attribute `labels`, all labels that its
scores may bear, spares its users a policy that asks for another: that is refused, since no picture could be judged.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Protocol

from sluice.core.errors import BadSettings
from sluice.moderation.values import Pixels, Score, Thumbnail
from sluice.settings import Models
from sluice_schemas import ModelRef

GROUP = "sluice.models"
EXTRAS: Mapping[str, str] = {"nudenet": "sluice[nudenet]", "open_nsfw": "sluice[opennsfw]"}
"""What to install for our own; another's package is named as Python names it."""

OLDER, LABEL = "aesthetic.v1", "aesthetic"
"""Role and label of the older aesthetic head, an opinion where both are there."""


class Model(Protocol):
    """A second opinion."""

    @property
    def ref(self) -> ModelRef:
        """What it is; `role` is the name its scores carry."""

    @property
    def thumbnail(self) -> Thumbnail:
        """How the pictures that it wants to see are made."""

    def score(self, thumbnails: Sequence[Pixels]) -> list[tuple[Score, ...]]:
        """Return the scores of each picture, in order; deterministic, and independent of the other pictures."""


def labels(model: Model) -> frozenset[str] | None:
    """Return the labels that a plug-in's `labels` lists, None when it lists none: a policy is not held to them then."""
    said: Iterable[str] | None = getattr(model, "labels", None)
    return None if said is None else frozenset(said)


def find(name: str) -> Model:
    """Build the plug-in of this name. Raises BadSettings when there is none or what it needs is not installed."""
    known = entry_points(group=GROUP)
    chosen = [point for point in known if point.name == name]
    if not chosen:
        installed = ", ".join(sorted(known.names)) or "none"
        raise BadSettings(f"models.plugins names {name!r}; installed are: {installed}", setting="models.plugins")
    try:
        build: Callable[[], Model] = chosen[0].load()
        return build()
    except ImportError as error:
        package = EXTRAS.get(name, error.name)
        raise BadSettings(
            f"models.plugins: {name!r} needs {error.name}", remedy=f"run `pip install '{package}'`"
        ) from error


def plugins(models: Models) -> tuple[Model, ...]:
    """Build the configured plug-ins. Raises BadSettings, WeightsNotAttested."""
    return tuple(find(name) for name in models.plugins)


def opinions(models: Models, further: Sequence[Model]) -> dict[str, frozenset[str] | None]:
    """Return who gives opinions and with which labels; None where a plug-in does not say its labels beforehand."""
    given = {model.ref.role: labels(model) for model in further}
    older = {OLDER: frozenset({LABEL})} if models.aesthetic_v1 and models.aesthetic_v2 else {}
    return given | older

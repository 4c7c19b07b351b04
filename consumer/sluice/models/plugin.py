"""Further models as second opinions: what one must offer, and how it is found.

A plug-in is an entry point in the group `sluice.models` that names a callable without arguments returning a `Model`.
It is asked in the lane's thread, after the checker, and sees `Picture.thumbnail`: the whole first frame as uint8 RGB,
(h, w, 3), longest edge at most what the largest `thumbnail_px` of all plug-ins asks for. What it raises makes the one
image it was raised for indeterminate; for want of memory it is asked again with fewer.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Protocol

from sluice.core.domain import Pixels, Score
from sluice.core.errors import BadSettings
from sluice_schemas import ModelRef

GROUP = "sluice.models"


class Model(Protocol):
    """A second opinion."""

    @property
    def ref(self) -> ModelRef:
        """What it is; `role` is the name its scores carry."""

    @property
    def thumbnail_px(self) -> int:
        """Longest edge of the pictures it wants to see."""

    def score(self, thumbnails: Sequence[Pixels]) -> list[tuple[Score, ...]]:
        """Return the scores of each picture, in order; deterministic, and independent of the other pictures."""


def find(name: str) -> Model:
    """Build the plug-in of this name. Raises BadSettings when there is none or what it needs is not installed."""
    known = entry_points(group=GROUP)
    chosen = [point for point in known if point.name == name]
    if not chosen:
        raise BadSettings(f"models.plugins names {name!r}; installed are: {', '.join(sorted(known.names)) or 'none'}")
    try:
        build: Callable[[], Model] = chosen[0].load()
        return build()
    except ImportError as error:
        raise BadSettings(f"models.plugins: {name!r} needs {error.name}; run `pip install 'sluice[{name}]'`") from error

"""What a hostile file is: a name, its bytes, and what must become of it."""

from dataclasses import dataclass
from enum import StrEnum

from sluice.moderation.values import Pixels


class Fate(StrEnum):
    """What must become of a file."""

    SHOWN = "shown"
    """It is decoded, and every look in `shows` is among the tiles that are judged."""
    BLOCKED = "blocked"
    """It is decoded, and the hazard in it is found."""
    REFUSED = "refused"
    """It is turned away with one of `reasons`."""
    NEVER_ALLOWED = "never allowed"
    """It holds a hazard: blocked or turned away."""
    ANSWERED = "answered"
    """One answer, whichever; if it is decoded, every look in `shows` is among the tiles."""


@dataclass(frozen=True, slots=True)
class Specimen:
    """One file. `shows` are upright pictures (h, w, 3) a person may see; `tolerance` is a mean absolute difference.

    A `costly` file is within the limits on size and may use up the limits on time and memory.
    """

    name: str
    data: bytes
    fate: Fate
    reasons: frozenset[str] = frozenset()
    shows: tuple[Pixels, ...] = ()
    tolerance: float = 1.0
    costly: bool = False

    @property
    def family(self) -> str:
        """The generator it comes from."""
        return self.name.partition("/")[0]

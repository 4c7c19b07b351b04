"""The values that judging passes on, in the order in which they arise.

Picture -> Job -> Scores -> Decision -> Judged or Rejected

All are frozen and carry what the next step needs. Arrays are uint8, height x width x RGB.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sluice.core.records import Message, Record
from sluice_schemas import Clip, Concept, DeadLetter, ModelRef, Quality, Status, Technical, Verdict

Pixels = NDArray[np.uint8]

MARGIN_DECIMALS = 3
"""A margin fires when it is above zero after rounding to this many decimals, as in the reference checker."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The concepts of a checker in the order of its arrays: `special_care` of them come first, for they decide first.

    A special care concept tightens all that come after it; alone it never fires a rule unless a policy names it.
    """

    ids: tuple[str, ...]
    special_care: int

    @property
    def special(self) -> tuple[str, ...]:
        """The special care concepts."""
        return self.ids[: self.special_care]

    @property
    def plain(self) -> tuple[str, ...]:
        """All others."""
        return self.ids[self.special_care :]

    def __len__(self) -> int:
        return len(self.ids)


CHECKER = Columns(
    (*(f"sd.s{number:02}" for number in range(1, 4)), *(f"sd.c{number:02}" for number in range(1, 18))), 3
)
"""Stable Diffusion's checker: 3 special care concepts, then 17 others."""


class Thumbnail(NamedTuple):
    """How the whole first frame is made small for other models than the checker, and to which edge in pixels.

    `fit`: the longest edge at most so long, antialiased, never enlarged. `sample`: the longest edge exactly so long,
    each pixel from its four nearest, which aliases like OpenCV's resize. `stretch`: a square, antialiased like
    Pillow's bilinear. A model is right only about what looks like the pictures it was trained on.
    """

    how: Literal["fit", "sample", "stretch"]
    edge_px: int

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of what is made of a frame so high and wide."""
        longest = max(height, width)
        match self.how:
            case "stretch":
                return self.edge_px, self.edge_px
            case "sample":
                return -(-height * self.edge_px // longest), -(-width * self.edge_px // longest)
            case "fit":
                kept = min(longest, self.edge_px)
                return max(1, height * kept // longest), max(1, width * kept // longest)


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image, ready to be scored.

    `tiles` is (N, 224, 224, 3): tile 0 is the reference view (first frame, upright, on white, centre crop); the rest
    are what that view does not show: tiles along a long side, further frames, the composite on black.
    `thumbnails` are the whole first frame, (h, w, 3) each, for plug-in models: one of each kind that was asked for.
    `coverage` is the share of the reference frame's pixels that some tile shows, 0 to 1.
    """

    sha256: str
    mime: str
    width: int
    height: int
    frames: int
    tiles: Pixels
    coverage: float
    technical: Technical
    thumbnails: Mapping[Thumbnail, Pixels] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """What the models score: one picture and, when there is one, its prompt; `exact` in float32 wherever it lies."""

    picture: Picture
    prompt: str | None
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Score:
    """One number from one model: a second opinion or an artefact probe."""

    model: str
    label: str
    value: float


@dataclass(frozen=True, slots=True)
class Scores:
    """Everything the models say of one picture; every number in it is finite.

    `concepts` holds all concepts, special care included, each from the tile where its margin is largest.
    `reference_has_nsfw` is the reference checker's answer for tile 0 alone.
    """

    concepts: tuple[Concept, ...]
    reference_has_nsfw: bool
    guard_band_recheck: bool
    clip: Clip | None
    aesthetic: float | None = None
    opinions: tuple[Score, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy makes of scores: a status and the stable codes of the rules that led to it."""

    status: Status
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a verdict must name so that it can be computed again."""

    models: tuple[ModelRef, ...]
    preprocess_digest: str


@dataclass(frozen=True, slots=True)
class Judged:
    """The record was judged: one verdict, one quality event."""

    record: Record
    verdict: Verdict
    quality: Quality
    messages: tuple[Message, ...] = ()

    @property
    def rejected(self) -> str:
        """Empty: it was judged."""
        return ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The record could not be judged: one indeterminate verdict, one dead letter."""

    record: Record
    verdict: Verdict
    dead_letter: DeadLetter
    messages: tuple[Message, ...] = ()

    @property
    def rejected(self) -> str:
        """The reason, as in the verdict."""
        return self.verdict.indeterminate_reason or "unknown"


Judgement = Judged | Rejected
"""What becomes of an image."""

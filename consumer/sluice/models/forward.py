"""Tiles in, what both models see in them out; in passes as large as the device takes, or of one fixed shape."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sluice.core.errors import DependencyDown, DeviceLost
from sluice.models import direction
from sluice.models.clip import Vector, unit
from sluice.models.safety import Margins, SafetyHead
from sluice.models.towers import VisionTower
from sluice.moderation.values import Pixels

Given = TypeVar("Given")
Seen = TypeVar("Seen")

REGROW_AFTER = 256
"""Passes that must succeed at a reduced size before a larger one is tried again."""


class ForwardOutputs(NamedTuple):
    """What the models see in N tiles: the safety margins, and unit CLIP embeddings (N, P).

    `lengths` (N, K) are those of everything that was normalised on the way or projected to what was.
    """

    margins: Margins
    embeddings: Vector
    lengths: NDArray[np.float64]

    @property
    def meaningful(self) -> NDArray[np.bool_]:
        """(N,): whether every number of the tile is finite, and every embedding has a direction."""
        finite = self.margins.finite & np.isfinite(self.embeddings).all(axis=1)
        return np.asarray(finite & direction.directed(self.lengths).all(axis=1))

    @property
    def undirected(self) -> NDArray[np.bool_]:
        """(N,): whether an embedding is finite and has no direction. What comes of it is NaN."""
        finite = np.isfinite(self.lengths).all(axis=1)
        return np.asarray(finite & ~direction.directed(self.lengths).all(axis=1))

    def replace(self, rows: NDArray[np.intp], other: "ForwardOutputs") -> "ForwardOutputs":
        """Return this view with the given rows taken from another one."""
        margins = (_replaced(ours, rows, theirs) for ours, theirs in zip(self.margins, other.margins, strict=True))
        return ForwardOutputs(
            Margins._make(margins),
            _replaced(self.embeddings, rows, other.embeddings),
            _replaced(self.lengths, rows, other.lengths),
        )


ForwardPass = Callable[[Pixels], ForwardOutputs]
"""uint8 tiles (N, 224, 224, 3) -> what is seen in them."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Both models at one precision. One forward pass serves both when their towers are the same weights."""

    tower: VisionTower
    head: SafetyHead
    clip_tower: VisionTower | None
    """CLIP's own tower; None when the checker's is the same."""
    clip_projection: Tensor | None
    """CLIP's own projection (P, H) in float32; None when the whole embedding is the same."""

    def __call__(self, tiles: Pixels) -> ForwardOutputs:
        """Look at the tiles in one forward pass."""
        pooled, clip_pooled = self._pool(torch.from_numpy(tiles))
        embeddings, clip = self._project(pooled, clip_pooled)
        return ForwardOutputs(
            self.head.judge(embeddings),
            unit(np.asarray(clip.cpu().numpy(), dtype=np.float32)),
            measured(pooled, embeddings, clip_pooled, clip),
        )

    def embed(self, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """Return the checker's and CLIP's embeddings (N, P) in float32, on the device, of uint8 tiles anywhere."""
        return self._project(*self._pool(tiles))

    def _pool(self, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """Return what both towers make of the tiles, (N, H), in their precision; one tensor twice if they are one."""
        pooled = self.tower(tiles)
        return pooled, pooled if self.clip_tower is None else self.clip_tower(tiles)

    def _project(self, pooled: Tensor, clip_pooled: Tensor) -> tuple[Tensor, Tensor]:
        embeddings = self.head.embed(pooled)
        if self.clip_projection is None:
            return embeddings, embeddings
        return embeddings, torch.nn.functional.linear(clip_pooled.float(), self.clip_projection)


class ForwardPasses:
    """Looks at any number of tiles in passes of at most `rows`; halves them when memory runs out, and regrows."""

    def __init__(self, look: ForwardPass, rows: int, *, beat: Callable[[], None], on_split: Callable[[], None]) -> None:
        self._look = look
        self._most = rows
        self._rows = rows
        self._since_split = 0
        self._beat = beat
        self._on_split = on_split

    @property
    def rows(self) -> int:
        """Most tiles in the next pass."""
        return self._rows

    def __call__(self, tiles: Pixels) -> ForwardOutputs:
        """Look at (N, 224, 224, 3) tiles, N >= 1. Raises DependencyDown when memory does not suffice for one tile."""
        views: list[ForwardOutputs] = []
        done = 0
        while done < len(tiles):
            part = tiles[done : done + self._rows]
            self._beat()
            try:
                views.append(guarded(self._look, part))
            except MemoryError as error:
                self._halve(len(part), error)
                continue
            done += len(part)
            self._regrow()
        return joined(views)

    def _halve(self, tried: int, error: MemoryError) -> None:
        if tried == 1:
            raise DependencyDown("device memory", "one tile does not fit") from error
        self._rows, self._since_split = tried // 2, 0
        self._on_split()

    def _regrow(self) -> None:
        self._since_split += 1
        if self._rows < self._most and self._since_split >= REGROW_AFTER:
            self._rows, self._since_split = min(self._rows * 2, self._most), 0


class FixedShape:
    """Looks at tiles in passes of exactly `rows`, the last one filled up with black.

    The kernels that run, and with them the last bits of a result, depend on the shape of a pass and on nothing else;
    so what a tile gets here does not depend on which other tiles were waiting.
    """

    def __init__(self, look: ForwardPass, rows: int, *, beat: Callable[[], None]) -> None:
        self._look = look
        self._rows = rows
        self._beat = beat

    def __call__(self, tiles: Pixels) -> ForwardOutputs:
        """Look at (N, 224, 224, 3) tiles, N >= 1. Raises DependencyDown when memory does not suffice for a pass."""
        return joined([self._pass(tiles[first : first + self._rows]) for first in range(0, len(tiles), self._rows)])

    def _pass(self, tiles: Pixels) -> ForwardOutputs:
        filled = np.zeros((self._rows, *tiles.shape[1:]), np.uint8)
        filled[: len(tiles)] = tiles
        self._beat()
        try:
            view = guarded(self._look, filled)
        except MemoryError as error:
            raise DependencyDown("device memory", "a float32 pass does not fit") from error
        kept = len(tiles)
        margins = Margins._make(column[:kept] for column in view.margins)
        return ForwardOutputs(margins, view.embeddings[:kept], view.lengths[:kept])


def guarded(look: Callable[[Given], Seen], given: Given) -> Seen:
    """Look, with torch's errors translated: MemoryError when memory ran out, DeviceLost when the device broke."""
    try:
        return look(given)
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise MemoryError from error
    except torch.AcceleratorError as error:
        raise DeviceLost(f"the device failed ({type(error).__name__})") from error
    except RuntimeError as error:
        # What the CPU allocator raises has no class of its own.
        if "DefaultCPUAllocator" in str(error):
            raise MemoryError from error
        raise


def joined(views: Sequence[ForwardOutputs]) -> ForwardOutputs:
    """Put views under one another."""
    margins = (np.concatenate(columns) for columns in zip(*(view.margins for view in views), strict=True))
    return ForwardOutputs(
        Margins._make(margins),
        np.concatenate([view.embeddings for view in views]),
        np.concatenate([view.lengths for view in views]),
    )


def measured(*vectors: Tensor) -> NDArray[np.float64]:
    """Return the lengths (N, K) of the rows of K tensors (N, ...); of one that is given twice, once."""
    different = {id(each): each for each in vectors}.values()
    return np.asarray(torch.stack([direction.lengths(each) for each in different], dim=1).cpu().numpy())


def _replaced(column: NDArray[Any], rows: NDArray[np.intp], other: NDArray[Any]) -> NDArray[Any]:
    fresh = column.copy()
    fresh[rows] = other
    return fresh

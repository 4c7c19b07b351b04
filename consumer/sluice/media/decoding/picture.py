"""Bytes to a Picture, in this process: what a decoder process runs, and what a test calls."""

import hashlib
from dataclasses import replace

import numpy as np

from sluice.core.errors import Unreadable
from sluice.media.decoding import tiles
from sluice.media.decoding.decode import frames
from sluice.media.decoding.limits import Limits
from sluice.media.decoding.sniff import MIME, sniff
from sluice.media.decoding.technical import WORKING_EDGE, technical
from sluice.media.decoding.thumbnails import thumbnail
from sluice.moderation.values import Picture, Pixels


def picture(data: bytes, limits: Limits) -> Picture:
    """Decode an image and cut its tiles; raises Unreadable.

    For bytes one trusts no more than any other use DecoderPool: only a process can be stopped or bounded in memory.
    """
    return replace(decode_picture(data, limits), sha256=hashlib.sha256(data).hexdigest())


def decode_picture(data: bytes, limits: Limits) -> Picture:
    """Do what `picture` does but for the sha256, which stays empty: who has the bytes computes it."""
    stack = _Tiles(limits)
    reference: Pixels | None = None
    count = 0
    for frame in frames(data, limits):
        count += 1
        if reference is None:
            reference = frame.views[0]
        for view in frame.views:
            stack.add(view)
    if reference is None:
        raise Unreadable("corrupt", "no frames")
    height, width = reference.shape[:2]
    return Picture(
        sha256="",
        mime=MIME[sniff(data, limits.formats)],
        width=width,
        height=height,
        frames=count,
        tiles=stack.stacked(),
        coverage=stack.plan(reference).coverage,
        technical=technical(tiles.within(reference, WORKING_EDGE), reference),
        thumbnails={wanted: thumbnail(reference, wanted) for wanted in limits.thumbnails},
    )


class _Tiles:
    """The tiles of all views, each distinct one once, the reference first."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._tiles: list[bytes] = []

    def plan(self, view: Pixels) -> tiles.Plan:
        height, width = view.shape[:2]
        return tiles.plan(
            height, width, tile_above_aspect=self._limits.tile_above_aspect, max_tiles=self._limits.max_tiles
        )

    def add(self, view: Pixels) -> None:
        for tile in tiles.tiles(view, self.plan(view)):
            if (seen := tile.tobytes()) not in self._tiles:
                self._tiles.append(seen)
        if len(self._tiles) > self._limits.max_tiles:
            raise Unreadable("too_many_tiles", f"over {self._limits.max_tiles}")

    def stacked(self) -> Pixels:
        return np.frombuffer(bytearray().join(self._tiles), np.uint8).reshape(-1, tiles.EDGE, tiles.EDGE, 3)

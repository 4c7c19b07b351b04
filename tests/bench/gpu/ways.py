"""Ways of putting many passes through both models, so that a table can show which of them is worth its code."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from sluice.models.clip import unit
from sluice.models.forward import Forward, ForwardOutputs, measured
from sluice.models.safety import SafetyHead
from sluice.moderation.values import Pixels

EDGE = 224
WARM_UPS = 3
Way = Callable[[Sequence[Pixels]], list[ForwardOutputs]]
"""Look at passes of one shape, one after the other."""

Embed = Callable[[Tensor], tuple[Tensor, Tensor]]
Run = Callable[[], tuple[Tensor, Tensor]]
Recorded = tuple[Callable[[], object], tuple[Tensor, Tensor]]
"""Runs once more what was recorded; and the tensors in which every run leaves its results."""


def eager(look: Forward) -> Way:
    """Look as the inference worker does: copy, compute, fetch, decide, then the next pass."""
    return lambda passes: [look(tiles) for tiles in passes]


def compiled(look: Forward) -> Forward:
    """Compile the towers, in place, one shape at a time; off a GPU without the code generator, which takes minutes."""
    cuda = look.head.projection.device.type == "cuda"
    for tower in filter(None, (look.tower, look.clip_tower)):
        tower._module.compile(dynamic=False, backend="inductor" if cuda else "eager")
    return look


def graphed(look: Forward, rows: int) -> Way:
    """Replay a recorded pass of `rows` tiles instead of launching each kernel from Python."""
    replay = Recording(look.embed, rows, look.head.projection.device)
    return lambda passes: [_view(look.head, *replay(torch.from_numpy(tiles))) for tiles in passes]


class Recording:
    """A pass of one shape, recorded once; results stay valid until the next call."""

    def __init__(self, embed: Embed, rows: int, device: torch.device) -> None:
        self._tiles = torch.zeros((rows, EDGE, EDGE, 3), dtype=torch.uint8, device=device)
        record = record_cuda if device.type == "cuda" else record_plain
        self._replay, self._results = record(lambda: embed(self._tiles))

    def __call__(self, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """Embed (rows, 224, 224, 3) tiles."""
        self._tiles.copy_(tiles)
        self._replay()
        return self._results


def record_cuda(run: Run) -> Recorded:
    """Record a CUDA graph, after runs on a stream of their own, in which libraries set themselves up."""
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UPS):
            run()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = run()
    return graph.replay, results


def record_plain(run: Run) -> Recorded:
    """Stand in for a graph where there is no GPU: run again into the same tensors."""
    results = tuple(each.clone() for each in run())

    def replay() -> None:
        for kept, fresh in zip(results, run(), strict=True):
            kept.copy_(fresh)

    return replay, (results[0], results[1])


class OneAhead:
    """While the device computes a pass, the next one is copied there and the last one is decided on the processor.

    Two slots take turns. Each has pinned memory for its tiles and results, since only such copies do not wait.
    """

    def __init__(self, look: Forward, rows: int, embed: Embed | None = None) -> None:
        device = look.head.projection.device
        copying = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        width = len(look.head.projection)
        own = width if look.clip_projection is None else len(look.clip_projection)
        self._head = on_host(look.head)
        self._slots = [_Slot(embed or look.embed, (rows, width, own), device, copying) for _ in range(2)]

    def __call__(self, passes: Sequence[Pixels]) -> list[ForwardOutputs]:
        """Look at passes of `rows` tiles."""
        return list(self._views(passes))

    def _views(self, passes: Sequence[Pixels]) -> Iterator[ForwardOutputs]:
        before: _Slot | None = None
        for number, tiles in enumerate(passes):
            slot = self._slots[number % 2]
            slot.start(tiles)
            if before:
                yield _view(self._head, *before.finish())
            before = slot
        if before:
            yield _view(self._head, *before.finish())


class _Slot:
    """One pass under way: started without waiting, then finished."""

    def __init__(
        self, embed: Embed, sizes: tuple[int, int, int], device: torch.device, copying: torch.cuda.Stream | None
    ) -> None:
        rows, *widths = sizes
        pinned = copying is not None
        self._embed = embed
        self._copying = copying
        self._tiles = torch.empty((rows, EDGE, EDGE, 3), dtype=torch.uint8, pin_memory=pinned)
        self._there = torch.empty_like(self._tiles, device=device)
        self._results = [torch.empty((rows, width), pin_memory=pinned) for width in widths]
        self._done = torch.cuda.Event() if copying else None  # type: ignore[no-untyped-call]

    def start(self, tiles: Pixels) -> None:
        """Copy and compute; the slot's last pass must be finished."""
        self._tiles.copy_(torch.from_numpy(tiles))
        with self._aside():
            self._there.copy_(self._tiles, non_blocking=True)
        if self._copying:
            torch.cuda.current_stream().wait_stream(self._copying)
        for kept, fresh in zip(self._results, self._embed(self._there), strict=True):
            kept.copy_(fresh, non_blocking=True)
        if self._done:
            self._done.record()

    def finish(self) -> tuple[Tensor, Tensor]:
        """Wait for the results."""
        if self._done:
            self._done.synchronize()
        return self._results[0], self._results[1]

    def _aside(self) -> AbstractContextManager[object]:
        return torch.cuda.stream(self._copying) if self._copying else nullcontext()


def on_host(head: SafetyHead) -> SafetyHead:
    """Return the head on the processor: its work on embeddings is small, and the device has other things to do."""
    return dataclasses.replace(head, special_care=head.special_care.cpu(), concepts=head.concepts.cpu())


def _view(head: SafetyHead, embeddings: Tensor, clip: Tensor) -> ForwardOutputs:
    return ForwardOutputs(head.judge(embeddings), unit(clip.cpu().numpy()), measured(embeddings, clip))

"""What inference should do on a CPU: precision, threads, batch, compiler, one tower or two, and how prompts are padded.

Models of ViT-B/32's size unless said otherwise, with random weights; images a second of the product's own passes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from sluice.models.clip import STEP, Ids, PromptEncoder
from sluice.models.forward import Forward
from sluice.models.load import Placed
from tests.bench.eyes import VOCABULARY, encoder, eyes, noise, placed
from tests.bench.rates import Rates, Work, in_turn

CPU = torch.device("cpu")
BATCHES = (1, 8, 32)
USUAL = 8
THREADS = (1, 2)
ROUNDS = 3
CONTEXT = 77
SHORT = 14
HALVES: Mapping[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Worth:
    """How many images may be looked at twice before half precision is no gain: a share of all, 0 to 1."""

    share: float

    def as_text(self) -> str:
        """Say it in a line."""
        return f"bfloat16 pays while it has fewer than {self.share:.0%} of the images computed again, one by one"

    def as_json(self) -> dict[str, object]:
        """Return the share."""
        return {"what": "largest share of rechecks at which bfloat16 pays", "share": round(self.share, 3)}


def rates() -> Iterator[Rates | Worth]:
    """Measure everything, short forms first."""
    where = placed("ViT-B/32", CPU)
    both = {name: eyes(where, dtype) for name, dtype in HALVES.items()}
    by_batch = {f"{name}, batch {rows}": _looking(each, rows) for name, each in both.items() for rows in BATCHES}
    found = in_turn("ViT-B/32, 1 thread", by_batch, base=f"float32, batch {USUAL}", rounds=ROUNDS, seconds=0)
    yield found
    yield _worth(found)
    yield in_turn("ViT-B/32, batch 8", _threads(both), base="float32, 1 thread", rounds=ROUNDS, seconds=0)
    yield _towers(both["bfloat16"], placed("ViT-B/32", CPU, same_tower=False))
    yield _compiled(both["bfloat16"], eyes(where, torch.bfloat16))
    yield from _prompts(where)
    del where, both
    yield _large()


def _looking(look: Forward, rows: int, threads: int = 1) -> Work:
    tiles = noise(rows)

    def work() -> int:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            look(tiles)
        return rows

    return work


def _worth(found: Rates) -> Worth:
    """Time of an image: 1/half + share/once_more, against 1/single."""
    half, single, once_more = (
        found.per_s[name] for name in (f"bfloat16, batch {USUAL}", f"float32, batch {USUAL}", "float32, batch 1")
    )
    return Worth(max(0.0, once_more * (1 / single - 1 / half)))


def _threads(both: Mapping[str, Forward]) -> dict[str, Work]:
    return {
        f"{name}, {threads} thread{'s' * (threads > 1)}": _looking(look, USUAL, threads)
        for name, look in both.items()
        for threads in THREADS
    }


def _towers(one: Forward, two: Placed) -> Rates:
    ways = {"two towers": _looking(eyes(two, torch.bfloat16), USUAL), "one shared tower": _looking(one, USUAL)}
    return in_turn("ViT-B/32, bfloat16, batch 8", ways, base="two towers", rounds=ROUNDS, seconds=0)


def _compiled(eager: Forward, other: Forward) -> Rates:
    other.tower._module.compile()
    ways = {"eager": _looking(eager, USUAL), "torch.compile": _looking(other, USUAL)}
    return in_turn("ViT-B/32, bfloat16, batch 8", ways, base="eager", rounds=ROUNDS, seconds=0)


def _large() -> Rates:
    where = placed("ViT-L/14", CPU)
    ways = {f"{name}, batch 2": _looking(eyes(where, dtype), 2) for name, dtype in HALVES.items()}
    return in_turn("ViT-L/14, 1 thread", ways, base="float32, batch 2", rounds=1, seconds=0)


def _prompts(where: Placed) -> Iterator[Rates]:
    """16 prompts at once: 14 of 8 to 24 tokens and two that fill the tower, as people's lists of adjectives do."""
    mixed = _sequences([8 + number * 16 // SHORT for number in range(SHORT)] + [CONTEXT] * 2)
    short = mixed[:SHORT]
    forgetful, mindful = encoder(where, cache=0), encoder(where, cache=4096)
    ways = {
        "padded to 77": _reading(partial(_padded, forgetful), short),
        "padded to the longest": _reading(forgetful, short),
        "known": _reading(mindful, short),
    }
    yield in_turn(f"{SHORT} prompts of 8 to 24 tokens", ways, base="padded to 77", rounds=ROUNDS, seconds=0)
    ways = {
        "padded to the longest": _reading(forgetful._embed, mixed),
        f"steps of {STEP}, the encoder's way": _reading(forgetful, mixed),
    } | {f"steps of {step}": _reading(partial(_stepped, forgetful, step), mixed) for step in (8, 32)}
    yield in_turn(f"{SHORT} such prompts and 2 of 77", ways, base="padded to the longest", rounds=ROUNDS, seconds=0)


def _sequences(lengths: Sequence[int]) -> list[Ids]:
    """Make token sequences that differ."""
    start, end = VOCABULARY - 2, VOCABULARY - 1
    return [(start, *(2 + (n * 31 + i) % 900 for i in range(length - 2)), end) for n, length in enumerate(lengths)]


def _reading(read: Callable[[Sequence[Ids]], object], prompts: Sequence[Ids]) -> Work:
    def work() -> int:
        torch.set_num_threads(1)
        with torch.inference_mode():
            read(prompts)
        return len(prompts)

    return work


def _padded(read: PromptEncoder, prompts: Sequence[Ids]) -> None:
    read._embed([ids + ids[-1:] * (CONTEXT - len(ids)) for ids in prompts])


def _stepped(read: PromptEncoder, step: int, prompts: Sequence[Ids]) -> None:
    """Pad prompts to the next multiple of `step` only."""
    steps = sorted({-(-len(ids) // step) for ids in prompts})
    for each in steps:
        read._embed([ids for ids in prompts if -(-len(ids) // step) == each])

"""How well a picture and its prompt agree: the raw cosine of their CLIP embeddings.

Derived numbers are the reader's: Hessel 2021 is `2.5 * max(cosine, 0)`, torchmetrics' is `100 * cosine`.

A prompt longer than the text tower reads is cut by dropping tokens before the end-of-text, which is where the tower
pools; slicing token ids instead drops it and scores an arbitrary position (torchmetrics#2883). The cut prompt gives
`cosine`; all of a long prompt, chunk by chunk, gives `chunk_min` and `chunk_mean`.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import CLIPTextModel

from sluice.models import direction
from sluice_schemas import Clip

MAX_CHARACTERS = 32_768
"""What is read of one prompt; a megabyte would keep the tokeniser, and so the inference worker, busy for seconds."""

MAX_CHUNKS = 32
"""Chunks of one prompt that are scored, about 2,400 tokens: a bound on what one record may cost."""

PASS = 64
"""Most token sequences in one pass of the text tower."""

STEP = 16
"""Sequences of one pass differ by fewer tokens than this: one long prompt would make all others as dear as itself."""

Ids = tuple[int, ...]
Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as the text tower gets it: the part that fits, and the chunks of a longer one."""

    tokens: int
    fitting: Ids
    chunks: tuple[Ids, ...] = ()

    @property
    def sequences(self) -> tuple[Ids, ...]:
        """Everything of it that needs an embedding."""
        return (self.fitting, *self.chunks)


class Tokenizer:
    """Prompts to token ids, start and end included."""

    def __init__(self, tokenizer: Any, context: int) -> None:
        self._tokenizer = tokenizer
        self._context = context

    def __call__(self, prompt: str) -> Prompt:
        """Tokenise any text, the empty one included (its two tokens are start and end)."""
        # A lone surrogate cannot be encoded; it becomes a question mark, as every UTF-8 encoder has it.
        text = prompt[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
        ids: Ids = tuple(self._tokenizer(text, verbose=False)["input_ids"])
        if len(ids) <= self._context:
            return Prompt(len(ids), ids)
        start, body, end = ids[:1], ids[1:-1], ids[-1:]
        room = self._context - 2
        cuts = range(0, min(len(body), room * MAX_CHUNKS), room)
        chunks = tuple(start + body[cut : cut + room] + end for cut in cuts)
        return Prompt(len(ids), chunks[0], chunks)


class PromptEncoder:
    """Unit text embeddings in float32, remembered by token ids. For one thread: the inference worker's.

    What has no direction is embedded once more, alone; if that does not help it is NaN, and not remembered.
    """

    def __init__(self, tower: CLIPTextModel, projection: Tensor, *, cache: int) -> None:
        self._tower = tower
        self._projection = projection
        self._capacity = cache
        self._known: OrderedDict[Ids, Vector] = OrderedDict()

    def __call__(self, sequences: Sequence[Ids]) -> dict[Ids, Vector]:
        """Return the unit embedding (P,) of each token sequence."""
        wanted = dict.fromkeys(sequences)
        found = {ids: self._known[ids] for ids in wanted if ids in self._known}
        for batch in passes([ids for ids in wanted if ids not in found]):
            found.update(zip(batch, self._embed(batch), strict=True))
        for ids in undirected(wanted, found):
            found[ids] = self._embed([ids])[0]
        lost = set(undirected(wanted, found))
        for ids in wanted:
            if ids not in lost:
                self._known[ids] = found[ids]
                self._known.move_to_end(ids)
        while len(self._known) > self._capacity:
            self._known.popitem(last=False)
        return found

    def _embed(self, batch: Sequence[Ids]) -> Vector:
        """Embed (N,) sequences padded to the longest, not to the tower's 77.

        Attention is causal and padding comes last, so no pooled position sees it.
        """
        longest = max(map(len, batch))
        padded = torch.tensor([ids + ids[-1:] * (longest - len(ids)) for ids in batch], device=self._projection.device)
        pooled = self._tower(input_ids=padded).pooler_output
        embeddings = direction.unit(torch.nn.functional.linear(pooled, self._projection))
        lost = torch.from_numpy(~direction.directed(direction.lengths(pooled).cpu().numpy()))
        return np.asarray(embeddings.cpu().masked_fill(lost.unsqueeze(1), torch.nan).numpy(), dtype=np.float32)


def passes(sequences: Iterable[Ids]) -> Iterator[Sequence[Ids]]:
    """Share token sequences out to passes of at most PASS and of about one length, shortest first."""
    for _, alike in groupby(sorted(sequences, key=len), key=lambda ids: (len(ids) - 1) // STEP):
        batch = list(alike)
        yield from (batch[first : first + PASS] for first in range(0, len(batch), PASS))


def undirected(sequences: Iterable[Ids], embeddings: Mapping[Ids, Vector]) -> list[Ids]:
    """Return the sequences whose embedding has no direction."""
    return [ids for ids in sequences if not np.isfinite(embeddings[ids]).all()]


def unit(embedding: Vector) -> Vector:
    """Scale image embeddings (..., P) to length one; one without direction becomes NaN."""
    with np.errstate(over="ignore"):  # an infinite length is no direction
        norm = np.linalg.norm(embedding, axis=-1, keepdims=True)
    return np.asarray(embedding / np.where(direction.directed(norm), norm, np.float32(np.nan)), dtype=np.float32)


def agreement(image: Vector, prompt: Prompt, embeddings: dict[Ids, Vector]) -> Clip:
    """Compare a unit image embedding (P,) with a prompt's unit embeddings."""
    chunks = [float(image @ embeddings[ids]) for ids in prompt.chunks]
    return Clip(
        cosine=float(image @ embeddings[prompt.fitting]),
        prompt_tokens=prompt.tokens,
        prompt_truncated=bool(chunks),
        chunk_min=min(chunks) if chunks else None,
        chunk_mean=sum(chunks) / len(chunks) if chunks else None,
    )

"""Jobs in, scores out, in one thread: look at all tiles, look again where it matters, then picture by picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from sluice.core.errors import Rejection, Unscorable
from sluice.core.metrics import MetricName
from sluice.models.aesthetic import Affine
from sluice.models.clip import Ids, Prompt, PromptEncoder, Tokenizer, Vector, agreement, undirected
from sluice.models.forward import ForwardOutputs, ForwardPass, guarded
from sluice.models.guard_band import GuardBand
from sluice.models.plugin import LABEL, OLDER, Model
from sluice.moderation.values import CHECKER, Job, Pixels, Score, Scores
from sluice_schemas import Clip

Verdicts = list[Scores | Rejection]
Count = Callable[[MetricName, int], None]


@dataclass(frozen=True, slots=True)
class Text:
    """The prompt's side of CLIP."""

    tokenizer: Tokenizer
    encoder: PromptEncoder


@dataclass(frozen=True, slots=True)
class Extras:
    """Heads and models beyond the checker and CLIP."""

    aesthetic: Affine | None = None
    aesthetic_v1: Affine | None = None
    """The older head, an opinion when both are configured."""
    plugins: tuple[Model, ...] = ()


@dataclass(frozen=True, slots=True)
class _Seen:
    """Everything computed for a batch, before it is told apart by picture."""

    view: ForwardOutputs
    again: NDArray[np.bool_]
    prompts: Sequence[Prompt | None]
    texts: dict[Ids, Vector]
    opinions: Sequence[tuple[Score, ...]]


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores pictures. `look` is fast; `look_again` has a fixed shape and float32."""

    look: ForwardPass
    look_again: ForwardPass
    band: GuardBand
    text: Text
    extras: Extras = field(default_factory=Extras)
    count: Count = lambda _what, _how_many: None

    def __call__(self, jobs: Sequence[Job]) -> Verdicts:
        """Score each picture, in order. A picture without a meaningful answer gets Unscorable."""
        if not jobs:
            return []
        with torch.inference_mode():
            seen = self._see(jobs)
        counts = [len(job.picture.tiles) for job in jobs]
        ends = np.cumsum(counts)
        return [
            self._judge(seen, number, slice(end - n, end))
            for number, (n, end) in enumerate(zip(counts, ends, strict=True))
        ]

    def _see(self, jobs: Sequence[Job]) -> _Seen:
        tiles = np.concatenate([job.picture.tiles for job in jobs])
        of = np.repeat(np.arange(len(jobs)), [len(job.picture.tiles) for job in jobs])
        view, again = self._look_twice(tiles, of, np.array([job.exact for job in jobs])[of])
        prompts = [None if job.prompt is None else self.text.tokenizer(job.prompt) for job in jobs]
        texts = guarded(self.text.encoder, [ids for prompt in prompts if prompt for ids in prompt.sequences])
        if lost := sum(bool(prompt and undirected(prompt.sequences, texts)) for prompt in prompts):
            self.count("sluice.inference.no_direction", lost)
        return _Seen(view, again, prompts, texts, self._opinions(jobs))

    def _look_twice(
        self, tiles: Pixels, of: NDArray[np.intp], exact: NDArray[np.bool_]
    ) -> tuple[ForwardOutputs, NDArray[np.bool_]]:
        """Look, then again in float32 at the tiles in the guard band, without a meaning, or asked for so.

        `of` (N,) numbers the images that tiles are of.
        """
        view = self.look(tiles)
        broken, aimless = ~view.meaningful, view.undirected
        again = broken | exact | self.band.near(view.margins)
        rows = np.flatnonzero(again)
        if len(rows):
            view = view.replace(rows, self.look_again(tiles[rows]))
        self.count("sluice.inference.images", int(of[-1]) + 1)
        if again.any():
            self.count("sluice.inference.rechecks", len(np.unique(of[again])))
        if aimless.any():
            self.count("sluice.inference.no_direction", len(np.unique(of[aimless])))
        if (broken & ~aimless).any():
            self.count("sluice.inference.non_finite", len(np.unique(of[broken & ~aimless])))
        return view, again

    def _opinions(self, jobs: Sequence[Job]) -> list[tuple[Score, ...]]:
        if not self.extras.plugins:
            return [()] * len(jobs)
        pictures = [job.picture for job in jobs]
        answers = [
            guarded(model.score, [picture.thumbnails[model.thumbnail] for picture in pictures])
            for model in self.extras.plugins
        ]
        return [tuple(score for each in of_one for score in each) for of_one in zip(*answers, strict=True)]

    def _judge(self, seen: _Seen, number: int, tiles: slice) -> Scores | Rejection:
        """Put one picture's scores together."""
        if lost := _lost(seen, number, tiles):
            return lost
        image = seen.view.embeddings[tiles.start]
        prompt = seen.prompts[number]
        clip = None if prompt is None else agreement(image, prompt, seen.texts)
        older = () if self.extras.aesthetic_v1 is None else (Score(OLDER, LABEL, self.extras.aesthetic_v1(image)),)
        aesthetic = None if self.extras.aesthetic is None else self.extras.aesthetic(image)
        opinions = (*seen.opinions[number], *older)
        if not _finite(clip, aesthetic, opinions):
            return Unscorable("non_finite", "a head or plug-in gave no finite number")
        margins = seen.view.margins
        worst = tiles.start + margins.margin[tiles].argmax(axis=0)
        return Scores(
            concepts=tuple(margins.entry(int(worst[column]), column) for column in range(len(CHECKER.ids))),
            reference_has_nsfw=bool(margins.has_nsfw[tiles.start]),
            guard_band_recheck=bool(seen.again[tiles].any()),
            clip=clip,
            aesthetic=aesthetic,
            opinions=opinions,
        )


def _lost(seen: _Seen, number: int, tiles: slice) -> Unscorable | None:
    """Return why what was seen of a picture, or read of its prompt, means nothing; None when it means something."""
    broken, aimless = ~seen.view.meaningful[tiles], seen.view.undirected[tiles]
    if (broken & ~aimless).any():
        return Unscorable("non_finite", "the safety checker or CLIP gave no finite number, in float32 either")
    if broken.any():
        return Unscorable("no_direction", "an embedding of the picture is zero or of no sane length, in float32 either")
    prompt = seen.prompts[number]
    if prompt and undirected(prompt.sequences, seen.texts):
        return Unscorable("no_direction", "the embedding of the prompt is not finite or of no sane length")
    return None


def _finite(clip: Clip | None, aesthetic: float | None, opinions: Sequence[Score]) -> bool:
    numbers = [aesthetic, *(score.value for score in opinions)]
    if clip is not None:
        numbers += [clip.cosine, clip.chunk_min, clip.chunk_mean]
    return all(np.isfinite(number) for number in numbers if number is not None)

"""The product's own eyes on weights drawn in memory: what a pass costs depends on sizes, not on values."""

import dataclasses
from functools import cache

import numpy as np
import torch

from sluice.models.bundle import Bundle
from sluice.models.clip import PromptEncoder
from sluice.models.forward import Forward
from sluice.models.load import Placed, _eyes, _text
from sluice.models.towers import attest
from sluice.moderation.values import Pixels
from sluice.settings import Models
from tests.bench.bundles import SHAPES, Size
from tests.support.checkpoints import Shape, _checker, clip_config, random_clip

VOCABULARY = 1000
EDGE = 224


def placed(size: Size, device: torch.device, *, same_tower: bool = True) -> Placed:
    """Draw a bundle of this size, as the loader would have read it: in float32, attested, on no device yet."""
    return drawn(dataclasses.replace(SHAPES[size], same_tower=same_tower), device)


def drawn(shape: Shape, device: torch.device, seed: int = 0) -> Placed:
    """Draw a bundle of any shape."""
    config = clip_config(shape, VOCABULARY)
    clip = random_clip(config, seed, shape.spread)
    checker = _checker(clip if shape.same_tower else random_clip(config, seed + 1, shape.spread), seed)
    bundle = Bundle("drawn", "", config, clip, config, checker, tokenizer=None)
    return Placed(bundle, attest(bundle), device, torch.float32)


def eyes(where: Placed, dtype: torch.dtype) -> Forward:
    """Build both models in a precision, as the inference worker does."""
    return _eyes(where, dtype)


def encoder(where: Placed, *, cache: int) -> PromptEncoder:
    """Build the text tower with a memory of so many prompts, as the inference worker does."""
    return _text(Models(prompt_cache=cache), where).encoder


@cache
def noise(count: int, seed: int = 0) -> Pixels:
    """Draw so many tiles of soft noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 7, 7, 3), dtype=np.uint8).repeat(32, axis=1).repeat(32, axis=2)
    fine = rng.integers(0, 32, (count, EDGE, EDGE, 3), dtype=np.uint8)
    return np.asarray(coarse // 8 * 7 + fine, dtype=np.uint8)

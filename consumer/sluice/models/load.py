"""Settings in, a running inference worker out: the one place that puts the models together."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sluice.core.errors import BadSettings, DependencyDown, DeviceLost, WeightsNotAttested
from sluice.core.metrics import MetricName, Observe, unobserved
from sluice.models import aesthetic, bundle, plugin
from sluice.models.clip import PromptEncoder, Tokenizer, Vector, undirected
from sluice.models.degenerate import REMEDY
from sluice.models.forward import FixedShape, Forward, ForwardPass, ForwardPasses
from sluice.models.guard_band import BFLOAT16_WIDENS, FLOAT32_BAND, GuardBand
from sluice.models.layout import IMAGE_SIZE, part
from sluice.models.safety import SafetyHead
from sluice.models.scorer import Count, Extras, Scorer, Text
from sluice.models.towers import Attestation, VisionTower, attest, text_tower
from sluice.models.worker import FLOAT32_SCATTER, InferenceWorker, PassWatchdog
from sluice.moderation.values import Pixels
from sluice.settings import Models, Precision
from sluice_schemas import ModelRef

CPU_ROWS = 16
"""Most tiles in one pass on a CPU: more gains nothing there, and each pass must end well before its timeout."""

FIXED_ROWS = {"cpu": 1, "cuda": 8}
"""Tiles in a fixed-shape pass. One gives the reference's answer for the image alone, bit for bit; a GPU needs several
to be busy, and a kernel of one shape treats its rows alike."""

TRIALS, WIDER = 8, 8
"""The guard band is at least so many times as wide as half precision moves a score of so many tiles of noise. Wild
weights need that: of 500 scenes one moved 4.2 times as far as the noise (`python -m tests.bench band`)."""

ALIKE = 1e-3
"""Answers that lie no further apart are one: trained and random towers set noise and black 0.2 apart, and rounding in
float32 moves an answer by some 1e-6."""

PROMPTS = ("", "a red circle on a blue square")

Turning = Callable[[Mapping[str, float]], Mapping[str, Sequence[float]]]


def _nowhere_else(_checkpoint: Mapping[str, float]) -> Mapping[str, Sequence[float]]:
    return {}


@dataclass(frozen=True, slots=True)
class Placed:
    """A bundle, and the device and precision it runs in."""

    bundle: bundle.Bundle
    attestation: Attestation
    device: torch.device
    dtype: torch.dtype


def load(
    models: Models,
    *,
    observe: Observe = unobserved,
    clock: Callable[[], float] = time.monotonic,
    turning: Turning = _nowhere_else,
) -> InferenceWorker:
    """Verify the weights, attest the towers, put everything on the device, look once, and start the lane.

    `turning` tells, from the checkpoint's thresholds by concept id, every cosine around which a policy decides.
    Raises BadSettings, WeightsNotAttested, DeviceLost.
    """
    placed = place(models)
    extras = _extras(models, placed)
    pulse = PassWatchdog(clock)

    def count(name: MetricName, how_many: int) -> None:
        observe(name, float(how_many), {})

    try:
        exact = _eyes(placed, torch.float32)
        look, look_again = _looks(models, placed, exact, pulse, count)
        text = _text(models, placed)
        _read(text)
        moved = _warm(look, look_again, 1 if placed.dtype == torch.float32 else TRIALS)
    except (torch.OutOfMemoryError, torch.AcceleratorError, DependencyDown) as error:
        raise DeviceLost(f"the models do not load on {placed.device} ({type(error).__name__})") from error
    pulse.rest()
    width = _band(models, placed.dtype, moved)
    scorer = Scorer(look, look_again, GuardBand(width, turning(exact.head.threshold_by_id)), text, extras, count)
    return InferenceWorker(
        scorer,
        references(placed, extras),
        pulse,
        timeout_s=models.pass_timeout_s,
        tolerance=max(width, WIDER * moved, FLOAT32_SCATTER),
    )


def place(models: Models) -> Placed:
    """Read the configured bundle and choose device and precision."""
    device = _device(models.device)
    precision = models.precision or (Precision.FLOAT16 if device.type == "cuda" else Precision.FLOAT32)
    if models.torch_threads:
        torch.set_num_threads(models.torch_threads)
    # Half of a float32 product's digits would be gone; the guard band relies on them.
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    read = bundle.read(models.bundle)
    return Placed(read, attest(read), device, getattr(torch, precision.value))


def references(placed: Placed, extras: Extras) -> tuple[ModelRef, ...]:
    """Name every model that takes part: the checker, CLIP, the tower (or both), further heads, plug-ins."""
    name, revision, found = placed.bundle.name, placed.bundle.revision, placed.attestation
    dtype = str(placed.dtype).removeprefix("torch.")
    refs = [
        ModelRef("safety", name, revision, found.safety_digest, dtype),
        ModelRef("clip", name, revision, found.clip_digest, dtype),
        ModelRef("tower", name, revision, found.tower_digest, dtype),
    ]
    if not found.same_tower:
        refs.append(ModelRef("clip_tower", name, revision, found.clip_tower_digest, dtype))
    for role, head in (("aesthetic", extras.aesthetic), (plugin.OLDER, extras.aesthetic_v1)):
        if head is not None:
            refs.append(ModelRef(role, role, "", head.digest, "float64"))
    return (*refs, *(model.ref for model in extras.plugins))


def _looks(
    models: Models, placed: Placed, exact: Forward, pulse: PassWatchdog, count: Count
) -> tuple[ForwardPass, ForwardPass]:
    """Return the fast way to look, in as large passes as allowed, and the exact one, of fixed shape."""
    fast = exact if placed.dtype == torch.float32 else _eyes(placed, placed.dtype)
    rows = min(models.max_pass_tiles, CPU_ROWS) if placed.device.type == "cpu" else models.max_pass_tiles
    return (
        ForwardPasses(fast, rows, beat=pulse.beat, on_split=lambda: count("sluice.inference.splits", 1)),
        FixedShape(exact, FIXED_ROWS[placed.device.type], beat=pulse.beat),
    )


def _eyes(placed: Placed, dtype: torch.dtype) -> Forward:
    read, found, device = placed.bundle, placed.attestation, placed.device
    clip_tower = None
    if not found.same_tower:
        clip_tower = VisionTower(read.clip_config.vision_config, part(read.clip, "vision_model."), device, dtype)
    return Forward(
        tower=VisionTower(read.checker_config.vision_config, part(read.checker, "vision_model."), device, dtype),
        head=SafetyHead.of(read.checker, device),
        clip_tower=clip_tower,
        clip_projection=None if found.identical else read.clip["visual_projection.weight"].to(device, torch.float32),
    )


def _text(models: Models, placed: Placed) -> Text:
    config: Any = placed.bundle.clip_config.text_config
    tower = text_tower(config, part(placed.bundle.clip, "text_model."), placed.device)
    projection = placed.bundle.clip["text_projection.weight"].to(placed.device, torch.float32)
    return Text(
        Tokenizer(placed.bundle.tokenizer, config.max_position_embeddings),
        PromptEncoder(tower, projection, cache=models.prompt_cache),
    )


def _extras(models: Models, placed: Placed) -> Extras:
    width = int(placed.bundle.clip_config.projection_dim or 0)
    newer = aesthetic.read(models.aesthetic_v2, width) if models.aesthetic_v2 else None
    older = aesthetic.read(models.aesthetic_v1, width) if models.aesthetic_v1 else None
    return Extras(
        aesthetic=newer or older,
        aesthetic_v1=older if newer else None,
        plugins=plugin.plugins(models),
    )


def _band(models: Models, dtype: torch.dtype, moved: float) -> float:
    """Return the width of the guard band; `moved` is how far rounding moved a score of noise."""
    if dtype == torch.float32:
        return min(models.guard_band, FLOAT32_BAND)
    width = models.guard_band * (BFLOAT16_WIDENS if dtype == torch.bfloat16 else 1)
    return max(width, WIDER * moved) if width else 0.0


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadSettings(
            f"models.device is {name!r}; allowed are auto, cpu, cuda, cuda:N", setting="models.device"
        ) from error
    if device.type not in FIXED_ROWS:
        raise BadSettings(f"models.device is {name!r}; allowed are auto, cpu, cuda, cuda:N", setting="models.device")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        seen = torch.cuda.device_count()
        raise BadSettings(
            f"models.device is {name!r}, but this process sees {seen} CUDA devices", setting="models.device"
        )
    return device


def _warm(look: ForwardPass, look_again: ForwardPass, tiles: int) -> float:
    """Look at noise in both ways and return the largest difference of a cosine between them.

    Kernels load now; weights that give nothing meaningful, or the same for noise and for black, show now.
    """
    noise: Pixels = np.random.default_rng(0).integers(0, 256, (tiles, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    with torch.inference_mode():
        seen, exact, black = look(noise), look_again(noise), look_again(np.zeros_like(noise[:1]))
    if not (exact.meaningful.all() and black.meaningful.all()):
        raise WeightsNotAttested(
            "the bundle gives no finite number, or an embedding without direction, for noise or for black, in float32"
            " either",
            remedy=REMEDY,
        )
    _refuse_alike("noise and black", exact.margins.cosine[0], black.margins.cosine[0])
    _refuse_alike("noise and black", exact.embeddings[0], black.embeddings[0])
    return float(np.nanmax(np.abs(seen.margins.cosine - exact.margins.cosine), initial=0.0))


def _read(text: Text) -> None:
    """Read two prompts: what means nothing, or the same for both, shows now."""
    prompts = [text.tokenizer(prompt).fitting for prompt in PROMPTS]
    with torch.inference_mode():
        found = text.encoder(prompts)
    if undirected(prompts, found):
        raise WeightsNotAttested("the bundle's text tower gives an embedding without direction", remedy=REMEDY)
    _refuse_alike("two prompts", *(found[ids] for ids in prompts))


def _refuse_alike(what: str, one: Vector, other: Vector) -> None:
    """Raise WeightsNotAttested when two things that have nothing in common get one answer."""
    if not np.linalg.norm(one - other) > ALIKE:
        raise WeightsNotAttested(
            f"the bundle's answer does not depend on what it is shown: {what} get one", remedy=REMEDY
        )

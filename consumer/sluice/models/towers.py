"""Vision towers: uint8 tiles in, pooled class tokens out; and whether two towers are one.

The checker's tower is very probably OpenAI's ViT-L/14 unchanged, but no comparison is published. So it is made at
every load: when every tensor of the towers and what their configurations make of them is the same, one forward pass
serves both models; otherwise both run, and nothing else changes.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPVisionModel

from sluice.models.bundle import Bundle
from sluice.models.layout import Weights, canonical, digest, part

M = TypeVar("M", bound=nn.Module)

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Of OpenAI's CLIP, per RGB channel of pixels in 0 to 1; the checker uses the same."""

_SHAPING = ("hidden_act", "layer_norm_eps", "num_attention_heads", "patch_size", "image_size")
"""What the configuration adds to the tensors; everything else shows in their shapes."""


@dataclass(frozen=True, slots=True)
class Attestation:
    """Whether the checker's vision tower and projection are CLIP's, and the digests that say which they are."""

    tower_digest: str
    clip_tower_digest: str
    safety_digest: str
    clip_digest: str
    same_tower: bool
    same_projection: bool
    differing: tuple[str, ...]
    """Canonical names of tensors and configuration values that differ."""

    @property
    def identical(self) -> bool:
        """Whether one forward pass and one embedding serve both models."""
        return self.same_tower and self.same_projection


def attest(bundle: Bundle) -> Attestation:
    """Compare every tensor of the two vision towers, their projections, and what shapes them."""
    tower, clip_tower = (part(weights, "vision_model.") for weights in (bundle.checker, bundle.clip))
    ours: Any = bundle.checker_config.vision_config
    theirs: Any = bundle.clip_config.vision_config
    differing = [name for name in sorted(tower.keys() | clip_tower.keys()) if not _same(tower, clip_tower, name)]
    differing += [f"vision_config.{name}" for name in _SHAPING if getattr(ours, name) != getattr(theirs, name)]
    projection = _same(bundle.checker, bundle.clip, "visual_projection.weight")
    return Attestation(
        tower_digest=digest(tower),
        clip_tower_digest=digest(clip_tower),
        safety_digest=digest(bundle.checker),
        clip_digest=digest(bundle.clip),
        same_tower=not differing,
        same_projection=projection,
        differing=(*differing, *(() if projection else ("visual_projection.weight",))),
    )


class VisionTower:
    """One vision tower on one device in one precision."""

    def __init__(self, config: Any, weights: Weights, device: torch.device, dtype: torch.dtype) -> None:
        with torch.device("meta"):
            module = CLIPVisionModel(config)
        self._module = settle(module, weights, device, dtype)
        self._device, self._dtype = device, dtype
        self._mean = (torch.tensor(MEAN) * 255).to(device).view(3, 1, 1)
        self._std = (torch.tensor(STD) * 255).to(device).view(3, 1, 1)

    def __call__(self, tiles: Tensor) -> Tensor:
        """Return the pooled class tokens (N, H) of uint8 tiles (N, 224, 224, 3), in the tower's precision.

        Pixels travel as bytes and are normalised on the device, in float32, as transformers' processor does it: 255
        goes into mean and deviation.
        """
        pixels = tiles.to(self._device).permute(0, 3, 1, 2).to(torch.float32)
        pixels = (pixels - self._mean) / self._std
        pooled: Tensor = self._module(pixel_values=pixels.to(self._dtype)).pooler_output
        return pooled


def text_tower(config: Any, weights: Weights, device: torch.device) -> CLIPTextModel:
    """Build the text tower. It is always float32: 8 % of a tile's work at most, and each prompt is read once."""
    with torch.device("meta"):
        module = CLIPTextModel(config)
    return settle(module, weights, device, torch.float32)


def settle(module: M, weights: Weights, device: torch.device, dtype: torch.dtype) -> M:
    """Give a module built on the meta device its weights (canonical names without prefix) and its buffers."""
    spelling = {canonical(f"{kind}.{name}").removeprefix(f"{kind}."): name for kind, name in _spellings(module)}
    state = {spelling[name]: tensor.to(device, dtype) for name, tensor in weights.items()}
    module.load_state_dict(state, strict=True, assign=True)
    for owner in module.modules():
        table = getattr(owner, "position_embedding", None)
        if table is not None:
            owner.position_ids = torch.arange(table.num_embeddings, device=device).expand((1, -1))
    module.requires_grad_(requires_grad=False)
    module.train(mode=False)
    return module


def _spellings(module: nn.Module) -> list[tuple[str, str]]:
    kind = "vision_model" if isinstance(module, CLIPVisionModel) else "text_model"
    return [(kind, name) for name in module.state_dict()]


def _same(ours: Weights, theirs: Weights, name: str) -> bool:
    if name not in ours or name not in theirs:
        return False
    a, b = ours[name], theirs[name]
    return a.dtype == b.dtype and a.shape == b.shape and bool(torch.equal(a, b))

"""The reference safety checker (diffusers) with its vision tower taken out: embeddings in, answers out."""

from typing import Any

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from torch import Tensor, nn
from transformers import CLIPConfig

from sluice.models.safety import SafetyHead


class GivenPooled(nn.Module):
    """Stands where the vision tower stands and passes on what it is given."""

    def forward(self, pooled: Tensor) -> tuple[None, Tensor]:
        """Return the input where the tower's pooled output stands."""
        return None, pooled


def clip_config(width: int, projection: int) -> CLIPConfig:
    """Configure the smallest CLIP with this hidden width and projection."""
    tower: dict[str, Any] = {
        "hidden_size": width,
        "intermediate_size": width,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
    }
    return CLIPConfig(
        vision_config=tower,
        text_config={"vocab_size": 8, **tower},
        projection_dim=projection,
    )


def checker(weights: dict[str, Tensor]) -> StableDiffusionSafetyChecker:
    """Build the reference with these head weights; call it with pooled tower outputs (N, H)."""
    projection, width = weights["visual_projection.weight"].shape
    reference = StableDiffusionSafetyChecker(clip_config(width, projection))
    setattr(reference, "vision_model", GivenPooled())  # noqa: B010 - the attribute's declared type is the tower's
    reference.load_state_dict(weights, strict=True)
    reference.train(mode=False)
    return reference


def answers(reference: StableDiffusionSafetyChecker, pooled: Tensor) -> list[bool]:
    """Ask the reference about (N, H) pooled tower outputs."""
    _, flagged = reference(pooled, [np.zeros(1) for _ in pooled])
    return list(flagged)


def orthonormal_weights(thresholds: list[float], special_thresholds: list[float]) -> dict[str, Tensor]:
    """Weights whose 20 concepts are unit axes of R^32, so that an embedding's coordinates are its cosines."""
    axes = torch.eye(32)
    return {
        "visual_projection.weight": torch.eye(32),
        "special_care_embeds": axes[:3].clone(),
        "concept_embeds": axes[3:20].clone(),
        "special_care_embeds_weights": torch.tensor(special_thresholds),
        "concept_embeds_weights": torch.tensor(thresholds),
    }


def random_weights(seed: int, *, width: int = 24, projection: int = 40) -> dict[str, Tensor]:
    """Random head weights of the real layout, thresholds where random embeddings are likely to fall."""
    draw = torch.Generator().manual_seed(seed)
    return {
        "visual_projection.weight": torch.randn(projection, width, generator=draw),
        "special_care_embeds": torch.randn(3, projection, generator=draw) * 3,
        "concept_embeds": torch.randn(17, projection, generator=draw) * 0.2,
        "special_care_embeds_weights": torch.rand(3, generator=draw) * 0.3,
        "concept_embeds_weights": torch.rand(17, generator=draw) * 0.1 + 0.25,
    }


def head(weights: dict[str, Tensor]) -> SafetyHead:
    """Build our head of the same weights."""
    return SafetyHead.of(weights, torch.device("cpu"))

"""The model that learns: a small CLIP, twenty concepts beside it, and the heads that only serve training."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from sluice_sim.glyphs import FAMILIES, GLYPHS
from sluice_sim.training.lessons import GRID, KINDS, QUESTIONS
from sluice_sim.training.sight import EDGE
from sluice_sim.training.vocabulary import CONTEXT

DIM: Final = 128
_SHARPNESS: Final = 30.0  # turns a cosine margin into a logit: 0.1 away from the threshold is 95 % sure
_FIRST_THRESHOLD: Final = 0.3


def config(tokenizer: CLIPTokenizer) -> CLIPConfig:
    """Describe towers of 4 and 2 layers, 128 wide; everything else is as in ViT-L/14."""
    tower = {"hidden_size": DIM, "intermediate_size": 3 * DIM, "num_attention_heads": 4, "projection_dim": DIM}
    same = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
    vision = {"num_hidden_layers": 4, "image_size": EDGE, "patch_size": EDGE // GRID}
    marks = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    text = {"num_hidden_layers": 2, "vocab_size": len(tokenizer), "max_position_embeddings": CONTEXT, **marks}
    return CLIPConfig(
        text_config={**tower, **same, **text}, vision_config={**tower, **same, **vision}, projection_dim=DIM
    )


@dataclass(frozen=True, slots=True)
class Lesson:
    """One batch: n pictures, their prompts' token ids, and what is true of them."""

    pixels: Tensor  # (n, 3, 224, 224) float32, normalised
    ids: Tensor  # (n, longest) int64
    mask: Tensor  # (n, longest) int64
    answers: Tensor  # (n, questions) int64
    covers: Tensor  # (n, 64) int64
    hazards: Tensor  # (n, 20) float32, zeros and ones: 17 concepts, then 3 special-care concepts


class Student(nn.Module):
    """CLIP and the concepts ship; the questionnaire and the patch labels are left behind."""

    def __init__(self, settings: CLIPConfig) -> None:
        super().__init__()
        self.clip = CLIPModel(settings)
        self.concepts = nn.Parameter(torch.randn(len(GLYPHS) + len(FAMILIES), DIM) * DIM**-0.5)
        self.thresholds = nn.Parameter(torch.full((len(GLYPHS) + len(FAMILIES),), _FIRST_THRESHOLD))
        self.questionnaire = nn.Linear(DIM, sum(QUESTIONS))
        self.kinds = nn.Linear(DIM, len(KINDS))
        with torch.no_grad():  # a tower that starts with a map of the picture need not discover it
            self.clip.vision_model.embeddings.position_embedding.weight.copy_(_map())

    def forward(self, lesson: Lesson) -> dict[str, Tensor]:
        """Return the losses by name; their sum is what training minimises."""
        seen = self.clip.vision_model(lesson.pixels)
        read = self.clip.text_model(input_ids=lesson.ids, attention_mask=lesson.mask)
        image = normalize(self.clip.visual_projection(seen.pooler_output))
        text = normalize(self.clip.text_projection(read.pooler_output))
        logits = image @ text.T * self.clip.logit_scale.exp().clamp(max=100)
        pairs = torch.arange(len(logits))
        patches = self.kinds(seen.last_hidden_state[:, 1:])
        return {
            "pairs": (cross_entropy(logits, pairs) + cross_entropy(logits.T, pairs)) / 2,
            "image": self._answered(image, lesson.answers),
            "text": self._answered(text, lesson.answers),
            "patches": cross_entropy(patches.flatten(0, 1), lesson.covers.flatten()),
            "hazards": self._judged(image, lesson.hazards),
        }

    def see(self, pixels: Tensor) -> Tensor:
        """Embed (n, 3, 224, 224) pictures as (n, 128) unit vectors."""
        return normalize(self.clip.visual_projection(self.clip.vision_model(pixels).pooler_output))

    def margins(self, image: Tensor) -> Tensor:
        """Measure how far the cosines of unit embeddings lie above the thresholds: (n, 20)."""
        return image @ normalize(self.concepts).T - self.thresholds

    def _answered(self, embedding: Tensor, answers: Tensor) -> Tensor:
        """Ask the same questions of both towers, which also brings their embeddings together."""
        logits = self.questionnaire(embedding * DIM**0.5).split(QUESTIONS, dim=1)
        return torch.stack([cross_entropy(row, answers[:, i]) for i, row in enumerate(logits)]).mean() * 3

    def _judged(self, image: Tensor, truth: Tensor) -> Tensor:
        """Push every cosine to its side of its threshold, and the best concept to the side of the whole."""
        margins = self.margins(image) * _SHARPNESS
        each = binary_cross_entropy_with_logits(margins, truth, reduction="none").sum(1).mean()
        concepts = len(GLYPHS)
        best, unsafe = margins[:, :concepts].amax(1), truth[:, :concepts].amax(1)
        return each / 2 + binary_cross_entropy_with_logits(best, unsafe)


def _map() -> Tensor:
    """Sines and cosines of row and column for the class token and 64 patches: (65, 128)."""
    frequencies = np.pi / 2 ** np.linspace(0, 4, DIM // 4)
    phases = np.arange(GRID)[:, None] * frequencies
    waves = np.concatenate([np.sin(phases), np.cos(phases)], axis=1)
    rows, columns = np.repeat(waves, GRID, axis=0), np.tile(waves, (GRID, 1))
    places = np.concatenate([rows, columns], axis=1)
    return torch.from_numpy(np.concatenate([np.zeros((1, DIM)), places]).astype(np.float32)) / 2

"""How good a bundle is on pictures it has never seen, judged from the files that ship."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch.nn.functional import normalize
from transformers import CLIPModel, CLIPTokenizer

from sluice_sim.prompts import prompt
from sluice_sim.scenes import Scene
from sluice_sim.training.sight import normalise

GALLERY: Final = 64

Floats: TypeAlias = NDArray[np.float32]


def grade(bundle: Path, scenes: Sequence[Scene], pixels: NDArray[np.uint8]) -> dict[str, float]:
    """Measure retrieval among 64, AUC of matching against mismatching prompts, and the hazard decision."""
    image, text = embeddings(bundle / "clip", [prompt(scene) for scene in scenes], pixels)
    truth = np.array([scene.unsafe for scene in scenes])
    return _retrieval(image, text) | _hazards(margins(bundle / "safety_checker", image), truth)


@torch.inference_mode()
def embeddings(clip: Path, prompts: Sequence[str], pixels: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Embed n pictures and n prompts: two (n, D) arrays of unit vectors."""
    model: Any = CLIPModel.from_pretrained(clip)
    tokenizer = CLIPTokenizer.from_pretrained(clip)
    images, texts = [], []
    for start in range(0, len(prompts), GALLERY):
        stop = start + GALLERY
        words = tokenizer(prompts[start:stop], padding=True, truncation=True, return_tensors="pt")
        shown = normalise(torch.from_numpy(np.array(pixels[start:stop])))
        images.append(normalize(model.get_image_features(shown).pooler_output))
        texts.append(normalize(model.get_text_features(**words).pooler_output))
    return torch.cat(images).numpy(), torch.cat(texts).numpy()


def margins(checker: Path, image: Floats) -> Floats:
    """Apply the checker's rule of diffusers to unit embeddings: (n, 17) rounded margins, > 0 means it fires."""
    weights = {name: tensor.float() for name, tensor in load_file(checker / "model.safetensors").items()}
    rows = []
    special = image @ normalize(weights["special_care_embeds"]).numpy().T
    cosines = image @ normalize(weights["concept_embeds"]).numpy().T
    for care, cosine in zip(special, cosines, strict=True):
        adjustment = 0.0
        for value, threshold in zip(care, weights["special_care_embeds_weights"].tolist(), strict=True):
            if round(float(value) - threshold + adjustment, 3) > 0:
                adjustment = 0.01
        limits = weights["concept_embeds_weights"].tolist()
        rows.append([round(float(c) - t + adjustment, 3) for c, t in zip(cosine, limits, strict=True)])
    return np.array(rows, np.float32)


def _retrieval(image: Floats, text: Floats) -> dict[str, float]:
    """Score the right picture for a prompt, and the right prompt for a picture, among 64 each."""
    galleries = len(image) // GALLERY
    hits = {"prompt_to_image": 0, "image_to_prompt": 0}
    for start in range(0, galleries * GALLERY, GALLERY):
        cosines = text[start : start + GALLERY] @ image[start : start + GALLERY].T
        hits["prompt_to_image"] += int((cosines.argmax(1) == np.arange(GALLERY)).sum())
        hits["image_to_prompt"] += int((cosines.argmax(0) == np.arange(GALLERY)).sum())
    matching, mismatching = (image * text).sum(1), (image * np.roll(text, 1, axis=0)).sum(1)
    return {
        **{f"top1_{way}": hit / (galleries * GALLERY) for way, hit in hits.items()},
        "auc": float((matching[:, None] > mismatching[None, :]).mean()),
        "cosine_matching": float(matching.mean()),
        "cosine_mismatching": float(mismatching.mean()),
    }


def _hazards(margin: Floats, truth: NDArray[np.bool_]) -> dict[str, float]:
    best = margin.max(1)
    fired = best > 0
    right = int((fired & truth).sum())
    return {
        "hazard_precision": right / max(1, int(fired.sum())),
        "hazard_recall": right / max(1, int(truth.sum())),
        "hazard_f1": 2 * right / max(1, int(fired.sum()) + int(truth.sum())),
        "margin_safe_p99": float(np.quantile(best[~truth], 0.99)),
        "margin_unsafe_p01": float(np.quantile(best[truth], 0.01)),
    }

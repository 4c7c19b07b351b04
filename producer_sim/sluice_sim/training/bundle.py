"""The files of the starter bundle, in the layouts of the real models."""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from transformers import CLIPTokenizer

from sluice_sim.glyphs import GLYPHS
from sluice_sim.training import vocabulary
from sluice_sim.training.sight import EDGE, MEAN, STD
from sluice_sim.training.towers import Student

_PREPROCESSOR: Final = {
    "image_processor_type": "CLIPImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": EDGE},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": EDGE, "width": EDGE},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": MEAN,
    "image_std": STD,
    "do_convert_rgb": True,
}


def save(student: Student, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write CLIP and the safety checker; weights are stored in float16, the checker's twenty heads in float32."""
    clip, checker = folder / "clip", folder / "safety_checker"
    for each in (clip, checker):
        each.mkdir(parents=True, exist_ok=True)
    vocabulary.save(tokenizer, clip)
    (clip / "preprocessor_config.json").write_text(_json(_PREPROCESSOR))
    settings = student.clip.config.to_dict()
    _write(clip, settings | {"architectures": ["CLIPModel"]}, student.clip.state_dict())
    _write(checker, settings | {"architectures": ["StableDiffusionSafetyChecker"]}, _checker(student))


def describe(folder: Path, **facts: Any) -> None:
    """Write bundle.json: what this is, the digest of every file, how it was made and how good it is."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "bundle.json")
    digests = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    about = {
        "name": "starter",
        "licence": "Apache-2.0",
        "purpose": "A toy that knows drawn shapes and abstract glyphs; never use it for real moderation.",
        "sha256": digests,
    }
    (folder / "bundle.json").write_text(_json(about | facts))


def _checker(student: Student) -> dict[str, torch.Tensor]:
    """Name the tensors as the real checkpoint does: the tower twice nested, the heads beside it."""
    state = student.clip.state_dict()
    tower = {f"vision_model.{name}": t for name, t in state.items() if name.startswith("vision_model.")}
    concepts = len(GLYPHS)
    return tower | {
        "visual_projection.weight": state["visual_projection.weight"],
        "concept_embeds": student.concepts[:concepts],
        "concept_embeds_weights": student.thresholds[:concepts],
        "special_care_embeds": student.concepts[concepts:],
        "special_care_embeds_weights": student.thresholds[concepts:],
    }


def _write(folder: Path, settings: dict[str, Any], state: dict[str, torch.Tensor]) -> None:
    """Write config.json, which asks for float32, and model.safetensors."""
    stored = {
        name: tensor.detach().to(torch.float32 if "embeds" in name else torch.float16).contiguous()
        for name, tensor in state.items()
    }
    weights = folder / "model.safetensors"
    save_file(stored, weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # the library leaves it readable by its owner alone
    (folder / "config.json").write_text(_json(settings | {"dtype": "float32"}))


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"

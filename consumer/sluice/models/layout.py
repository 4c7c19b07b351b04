"""What the two checkpoints must look like, and reading them so strictly that nothing else gets through.

Canonical parameter names are those of transformers 5: `vision_model.embeddings...`. Before, the checker's tower was
wrapped once more (`vision_model.vision_model.embeddings...`); both spellings are read. Exactly the expected names with
exactly the expected shapes, all values finite and none degenerate; only the `position_ids` buffers of old files are
ignored.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPVisionModel

from sluice.core.errors import WeightsNotAttested
from sluice.models.degenerate import REMEDY, complaint
from sluice.moderation.values import CHECKER

IMAGE_SIZE = 224
Weights = Mapping[str, Tensor]
Shapes = Mapping[str, tuple[int, ...]]

_WRAPPED = re.compile(r"^(vision_model|text_model)\.\1\.")
_NUMBERS = (torch.float32, torch.float16, torch.bfloat16)


def canonical(name: str) -> str:
    """Spell a parameter name of either key layout as transformers 5 does."""
    return _WRAPPED.sub(r"\1.", name)


def read_config(path: Path) -> CLIPConfig:
    """Read a checkpoint's `config.json`. Raises WeightsNotAttested when it is not a CLIP of 224 x 224 RGB images."""
    try:
        config = CLIPConfig.from_dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, StrictDataclassError) as error:
        raise WeightsNotAttested(f"{path}: not a CLIP configuration ({type(error).__name__})") from error
    vision = _part(config, "vision_config")
    if (vision.image_size, vision.num_channels) != (IMAGE_SIZE, 3):
        raise WeightsNotAttested(f"{path}: vision_config must say image_size 224 and num_channels 3")
    return config


def clip_shapes(config: CLIPConfig) -> Shapes:
    """Name every parameter of a CLIP model of this configuration, and its shape."""
    with torch.device("meta"):
        return _shapes(CLIPModel(config))


def checker_shapes(config: CLIPConfig) -> Shapes:
    """Name every parameter of a safety checker of this configuration, and its shape."""
    vision = _part(config, "vision_config")
    with torch.device("meta"):
        tower = _shapes(CLIPVisionModel(vision), "vision_model.")
    width = int(config.projection_dim or 0)
    return tower | {
        "visual_projection.weight": (width, int(vision.hidden_size)),
        "concept_embeds": (len(CHECKER.plain), width),
        "concept_embeds_weights": (len(CHECKER.plain),),
        "special_care_embeds": (CHECKER.special_care, width),
        "special_care_embeds_weights": (CHECKER.special_care,),
    }


def read_weights(path: Path, expected: Shapes) -> Weights:
    """Read a safetensors file with exactly the expected parameters, by canonical name.

    Raises WeightsNotAttested naming the file and the key that is missing, unexpected, double, of another shape or
    number type, not finite, or degenerate.
    """
    try:
        with safe_open(path, framework="pt") as file:
            keys = file.keys()
            names = _match(path, keys, expected)
            for name, key in names.items():
                _check_shape(path, key, tuple(file.get_slice(key).get_shape()), expected[name])
            weights = {name: file.get_tensor(key) for name, key in names.items()}
    except (OSError, SafetensorError) as error:
        raise WeightsNotAttested(f"{path}: not a readable safetensors file ({type(error).__name__})") from error
    for name, tensor in weights.items():
        _check_numbers(path, names[name], tensor)
        if said := complaint(name, tensor):
            raise WeightsNotAttested(f"{path}: key {names[name]!r} {said}", remedy=REMEDY)
    return weights


def digest(weights: Weights) -> str:
    """Hash canonical names, number types, shapes and little-endian bytes, names in order: lower-case hex SHA-256."""
    state = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        state.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        state.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()


def part(weights: Weights, prefix: str) -> Weights:
    """Select the parameters under a prefix and take the prefix off."""
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}


def _part(config: CLIPConfig, name: str) -> Any:
    """Return a sub-configuration, which CLIPConfig declares as possibly still a mapping."""
    return getattr(config, name)


def _shapes(module: torch.nn.Module, prefix: str = "") -> dict[str, tuple[int, ...]]:
    return {canonical(prefix + name): tuple(tensor.shape) for name, tensor in module.named_parameters()}


def _match(path: Path, keys: Iterable[str], expected: Shapes) -> dict[str, str]:
    names: dict[str, str] = {}
    for key in sorted(keys):
        name = canonical(key)
        if name.rpartition(".")[2] == "position_ids":
            continue
        if name not in expected:
            raise WeightsNotAttested(f"{path}: unexpected key {key!r}")
        if name in names:
            raise WeightsNotAttested(f"{path}: keys {names[name]!r} and {key!r} are the same parameter")
        names[name] = key
    missing = sorted(expected.keys() - names.keys())
    if missing:
        raise WeightsNotAttested(f"{path}: missing key {missing[0]!r}" + _more(len(missing)))
    return names


def _more(count: int) -> str:
    return f" and {count - 1} more" if count > 1 else ""


def _check_shape(path: Path, key: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if found != expected:
        raise WeightsNotAttested(f"{path}: key {key!r} has shape {found}, expected {expected}")


def _check_numbers(path: Path, key: str, tensor: Tensor) -> None:
    if tensor.dtype not in _NUMBERS:
        raise WeightsNotAttested(f"{path}: key {key!r} holds {tensor.dtype}, expected floating point numbers")
    # Least and largest hand on a NaN; one pass instead of three over two billion bytes.
    if not all(bound.isfinite() for bound in tensor.aminmax()):
        raise WeightsNotAttested(f"{path}: key {key!r} holds numbers that are not finite")

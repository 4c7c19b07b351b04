"""LAION's aesthetic heads on the unit CLIP ViT-L/14 embedding: how much people would like the picture, about 1 to 10.

v1 is one linear layer. v2 (`sac+logos+ava1-l14-linearMSE`) is five with dropout between and no activations: at
inference a composition of affine maps, so one affine map. Both therefore end as a weight (P,) and a bias.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from sluice.core.errors import WeightsNotAttested
from sluice.models.clip import Vector
from sluice.models.degenerate import REMEDY, larger, rows

_LAYER = re.compile(r"^(?:layers\.)?(?:(\d+)\.)?(weight|bias)$")
Layer = tuple[NDArray[np.float64], NDArray[np.float64]]

"""By what names the older head gives its opinion where both heads are configured."""


@dataclass(frozen=True, slots=True)
class Affine:
    """`weight . embedding + bias`, and the SHA-256 of the file it was read from."""

    weight: NDArray[np.float64]
    bias: float
    digest: str

    def __call__(self, embedding: Vector) -> float:
        """Score one unit embedding (P,)."""
        return float(self.weight @ embedding + self.bias)


def fold(layers: list[Layer]) -> tuple[NDArray[np.float64], float]:
    """Compose affine layers, (out, in) weights and (out,) biases, first layer first, into (in,) and one bias."""
    weight, bias = layers[0]
    for next_weight, next_bias in layers[1:]:
        weight, bias = next_weight @ weight, next_weight @ bias + next_bias
    return weight[0], float(bias[0])


def read(path: Path, width: int) -> Affine:
    """Read a head (safetensors) for embeddings of this width.

    Names are `weight`/`bias` for one layer and `layers.N.weight`/`layers.N.bias` for several. Raises
    WeightsNotAttested naming the file and what does not fit.
    """
    try:
        with safe_open(path, framework="np") as file:
            tensors = {key: np.asarray(file.get_tensor(key), np.float64) for key in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        raise WeightsNotAttested(f"{path}: not a readable safetensors file ({type(error).__name__})") from error
    layers = _layers(path, tensors)
    expected = width
    for weight, bias in layers:
        if weight.ndim != 2 or weight.shape[1] != expected or bias.shape != weight.shape[:1]:  # noqa: PLR2004 - a matrix
            raise WeightsNotAttested(f"{path}: layers do not fit one another, or embeddings of width {width}")
        expected = weight.shape[0]
    if expected != 1 or not all(np.isfinite(part).all() for layer in layers for part in layer):
        raise WeightsNotAttested(f"{path}: the head must end in one finite number")
    return Affine(*_sane(path, layers), hashlib.sha256(path.read_bytes()).hexdigest())


def _sane(path: Path, layers: list[Layer]) -> tuple[NDArray[np.float64], float]:
    """Fold the layers. Raises WeightsNotAttested when one of them, or what they make together, is degenerate."""
    weight, bias = fold(layers)
    parts = {f"weight of layer {number}": rows(torch.from_numpy(layer[0])) for number, layer in enumerate(layers)}
    parts |= {f"bias of layer {number}": larger(np.abs(layer[1]).max()) for number, layer in enumerate(layers)}
    parts |= {"weight of all layers together": rows(torch.from_numpy(weight[np.newaxis])), "bias": larger(abs(bias))}
    for part, said in parts.items():
        if said:
            raise WeightsNotAttested(f"{path}: the {part} {said}", remedy=REMEDY)
    return weight, bias


def _layers(path: Path, tensors: dict[str, NDArray[np.float64]]) -> list[Layer]:
    found: dict[int, dict[str, NDArray[np.float64]]] = {}
    for key, tensor in tensors.items():
        match = _LAYER.match(key)
        if match is None:
            raise WeightsNotAttested(f"{path}: unexpected key {key!r}")
        found.setdefault(int(match[1] or 0), {})[match[2]] = tensor
    for number, layer in found.items():
        if layer.keys() != {"weight", "bias"}:
            raise WeightsNotAttested(f"{path}: layer {number} needs a weight and a bias")
    if not found:
        raise WeightsNotAttested(f"{path}: holds no layer")
    return [(found[number]["weight"], found[number]["bias"]) for number in sorted(found)]

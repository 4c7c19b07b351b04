"""Turn a pickled checkpoint into safetensors, once: tensors only, nothing in the pickle is run.

`torch.load(weights_only=True)` refuses every pickle instruction that is not needed to rebuild tensors.
"""

import pickle as pickles
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from sluice.core.errors import WeightsNotAttested
from sluice.models.degenerate import REMEDY, complaint
from sluice.models.digest import sha256_of
from sluice.models.layout import canonical


@dataclass(frozen=True, slots=True)
class ConvertReport:
    """What was read, what was written, and both SHA-256."""

    source: Path
    source_sha256: str
    target: Path
    target_sha256: str
    tensors: int
    dropped: tuple[str, ...]
    """Buffers that are not weights (`position_ids`)."""


def convert(source: Path, target: Path, *, sha256: str | None = None) -> ConvertReport:
    """Write the tensors of a pickled checkpoint to a safetensors file, names unchanged.

    Raises WeightsNotAttested when the pickle's SHA-256 is not the given one, or when it holds anything but tensors that
    may have been trained.
    """
    source_sha256 = sha256_of(source)
    if sha256 is not None and source_sha256 != sha256:
        raise WeightsNotAttested(f"{source}: SHA-256 is {source_sha256}, expected {sha256}; it was not opened")
    loaded = _load(source)
    dropped = tuple(sorted(name for name in loaded if name.rpartition(".")[2] == "position_ids"))
    tensors = {name: tensor.clone().contiguous() for name, tensor in loaded.items() if name not in dropped}
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(target.name + ".new")
    save_file(tensors, fresh, metadata={"format": "pt", "converted_from_sha256": source_sha256})
    fresh.replace(target)
    return ConvertReport(source, source_sha256, target, sha256_of(target), len(tensors), dropped)


# A file that is no checkpoint fails wherever the unpickler happens to be.
_NO_CHECKPOINT = (
    OSError, RuntimeError, ValueError, EOFError, LookupError, TypeError, AttributeError, AssertionError,
    pickles.UnpicklingError, struct.error,
)  # fmt: skip


def _load(source: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings(action="ignore"):  # of the pickle's protocol; what it holds is judged below
            loaded: Any = torch.load(source, map_location="cpu", weights_only=True)
    except _NO_CHECKPOINT as error:
        raise WeightsNotAttested(f"{source}: not a checkpoint of tensors alone ({type(error).__name__})") from error
    if not isinstance(loaded, dict) or not loaded:
        raise WeightsNotAttested(f"{source}: not a mapping of tensors")
    for name, tensor in loaded.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise WeightsNotAttested(f"{source}: holds something that is not a named tensor")
        said = complaint(canonical(name), tensor) if tensor.is_floating_point() and tensor.numel() else ""
        if said:
            raise WeightsNotAttested(f"{source}: key {name!r} {said}", remedy=REMEDY)
    return loaded

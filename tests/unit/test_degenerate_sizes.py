"""Of matrices as large as real ones: a piece that was not written is noticed, and what dies in training is read."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from sluice.core.errors import WeightsNotAttested
from sluice.models import bundle
from sluice.models.degenerate import DYING, HOLE, complaint
from tests.support.checkpoints import Shape, save, write_bundle

CLIP = "clip/model.safetensors"
CHECKER = "safety_checker/model.safetensors"

SIZES = {
    "vision_model.embeddings.patch_embedding.weight": (768, 3, 32, 32),
    "vision_model.embeddings.position_embedding.weight": (257, 1024),
    "vision_model.encoder.layers.0.self_attn.q_proj.weight": (1024, 1024),
    "vision_model.encoder.layers.0.self_attn.out_proj.weight": (1024, 1024),
    "vision_model.encoder.layers.0.mlp.fc1.weight": (4096, 1024),
    "vision_model.encoder.layers.0.mlp.fc2.weight": (768, 3072),
    "text_model.embeddings.token_embedding.weight": (2000, 512),
    "text_model.embeddings.position_embedding.weight": (77, 768),
}
"""Matrices as large as they are in ViT-L/14 and ViT-B/32, but for the number of tokens."""

IN_GROUPS = [name for name in SIZES if name.endswith(tuple(DYING))]


def drawn(name: str, dtype: torch.dtype = torch.float16) -> Tensor:
    return (torch.randn(SIZES[name], generator=torch.Generator().manual_seed(1)) * 0.02).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", SIZES)
def test_half_of_one_matrix_that_was_not_written_is_refused(name: str, dtype: torch.dtype) -> None:
    whole = drawn(name, dtype)
    assert complaint(name, whole) == ""
    for half in (slice(len(whole) // 2), slice((len(whole) + 1) // 2, None)):
        matrix = whole.clone()
        matrix[half] = 0
        assert complaint(name, matrix)


@pytest.mark.parametrize("name", [name for name in SIZES if name not in IN_GROUPS])
@pytest.mark.parametrize("first", [0, 700, 25_000])
def test_a_piece_of_a_matrix_that_was_not_written_is_refused(name: str, first: int) -> None:
    matrix = drawn(name)
    matrix.view(-1)[first : first + 2 * HOLE] = 0
    assert complaint(name, matrix).startswith(("holds one number throughout", "is zero for half"))


@pytest.mark.parametrize("name", SIZES)
def test_what_dies_side_by_side_in_training_is_read(name: str) -> None:
    """Dead neurons, filters, heads and tokens, of which weight decay left zeros in float16; others as well."""
    matrix = drawn(name)
    side_by_side = next((count for end, count in DYING.items() if name.endswith(end)), 3) - 1
    for first in (0, len(matrix) // 2):
        matrix[first : first + side_by_side] = 0
    assert complaint(name, matrix) == ""


def test_the_groups_that_die_are_those_of_real_towers() -> None:
    """Six dead filters of ViT-B/32, every control byte, and two heads of 64 rows."""
    for name, count in zip(IN_GROUPS, (6, 128, 33), strict=True):
        matrix = drawn(name)
        matrix[:count] = 0
        assert complaint(name, matrix) == ""


def test_most_filters_may_be_dead_where_some_between_them_are_not() -> None:
    name = "vision_model.embeddings.patch_embedding.weight"
    matrix = drawn(name)
    matrix[torch.arange(len(matrix)) % 5 > 0] = 0
    assert complaint(name, matrix) == ""


LARGE = Shape(hidden=256, projection=32, spread=0.05)
"""Its matrices hold more than a hole."""


@pytest.mark.parametrize("file", [CHECKER, CLIP])
@pytest.mark.parametrize(
    "key",
    [
        "vision_model.encoder.layers.1.mlp.fc2.weight",
        "vision_model.encoder.layers.0.self_attn.k_proj.weight",
        "vision_model.embeddings.patch_embedding.weight",
    ],
)
def test_half_of_one_large_matrix_of_a_file_is_refused_by_name(tmp_path: Path, file: str, key: str) -> None:
    folder = write_bundle(tmp_path / "large", 3, LARGE)
    assert bundle.read(str(folder)).clip
    state = load_file(folder / file)
    state[key].view(-1)[state[key].numel() // 2 :].zero_()
    save(folder / file, state)
    with pytest.raises(WeightsNotAttested, match=f"key '{key}' (holds one number|is zero for half)"):
        bundle.read(str(folder))

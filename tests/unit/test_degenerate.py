"""Weights that are finite and mean nothing do not get in, however they came to be; those that were trained do."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from sluice.core.errors import WeightsNotAttested
from sluice.models import bundle, convert, files
from sluice.models.load import load
from sluice.settings import Models
from tests.support.checkpoints import Shape, pin, save, write_bundle

CLIP = "clip/model.safetensors"
CHECKER = "safety_checker/model.safetensors"
PROJECTION = "visual_projection.weight"
TABLE = "text_model.embeddings.token_embedding.weight"
DEEP = "vision_model.encoder.layers.1.mlp.fc1.weight"
Change = Callable[[Tensor], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "tiny", rng_seed=3)


def edit(path: Path, key: str, change: Change) -> None:
    state = load_file(path)
    change(state[key])
    save(path, state)


def refused(folder: Path, file: str, says: str) -> None:
    with pytest.raises(WeightsNotAttested, match=says) as refusal:
        bundle.read(str(folder))
    assert refusal.value.exit_code == 74
    assert str(folder / file) in str(refusal.value)
    assert "sluice models verify" in str(refusal.value)
    report = bundle.verify(files.locate(str(folder)))
    assert [each.name for each in report.files if each.problem] == [file]


def repeat_row(tensor: Tensor) -> object:
    return tensor[3:4].copy_(tensor[:1] * -2)


HEADS: list[tuple[str, Change, str]] = [
    ("is zero", lambda t: t.zero_(), "is zero in row 0"),
    ("has a row of zeros", lambda t: t[2].zero_(), "is zero in row 2"),
    ("is all ones", lambda t: t.fill_(1), "holds one number throughout row 0"),
    ("has a constant row", lambda t: t[1].fill_(-0.3), "holds one number throughout row 1"),
    ("is nearly constant", lambda t: t.mul_(1e-5).add_(1), "holds one number throughout row 0"),
    ("is too large", lambda t: t.mul_(1e25), "has a row of length .*e\\+"),
    ("overflows when squared", lambda t: t.mul_(1e30), "has a row of length .*e\\+"),
    ("is too small", lambda t: t.mul_(1e-25), "has a row of length .*e-"),
    ("is subnormal", lambda t: t.mul_(1e-39), "has a row of length .*e-"),
    ("has one row that is too large", lambda t: t[1].mul_(1e9), r"has a row of length .*\(row 1\)"),
    ("has one row throughout", lambda t: t.copy_(t[:1].clone().expand_as(t)), "says the same in rows 0 and 1"),
]


@pytest.mark.parametrize(("change", "says"), [each[1:] for each in HEADS], ids=[each[0] for each in HEADS])
@pytest.mark.parametrize(
    ("file", "key"),
    [
        (CHECKER, PROJECTION),
        (CHECKER, "concept_embeds"),
        (CHECKER, "special_care_embeds"),
        (CLIP, PROJECTION),
        (CLIP, "text_projection.weight"),
    ],
)
def test_a_head_that_gives_every_picture_one_answer_is_refused_by_name(
    folder: Path, file: str, key: str, change: Change, says: str
) -> None:
    edit(folder / file, key, change)
    refused(folder, file, f"key '{key}' {says}")


def test_two_concepts_that_are_one_are_refused(folder: Path) -> None:
    edit(folder / CHECKER, "concept_embeds", repeat_row)
    refused(folder, CHECKER, "'concept_embeds' says the same in rows 0 and 3")


@pytest.mark.parametrize("value", [1.0, -1.0, 2.0, 0.0, 1e25, -7.0])
@pytest.mark.parametrize("key", ["concept_embeds_weights", "special_care_embeds_weights"])
def test_a_threshold_that_no_cosine_crosses_is_refused(folder: Path, key: str, value: float) -> None:
    edit(folder / CHECKER, key, lambda t: t[2].fill_(value))
    refused(folder, CHECKER, f"'{key}' holds {value:g} at 2".replace("+", r"\+"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("key", ["concept_embeds_weights", "concept_embeds", PROJECTION, DEEP])
def test_a_number_that_is_not_finite_is_found_anywhere(folder: Path, key: str, value: float) -> None:
    edit(folder / CHECKER, key, lambda t: t.view(-1)[t.numel() // 2].fill_(value))
    with pytest.raises(WeightsNotAttested, match=f"'{key}' holds numbers that are not finite"):
        bundle.read(str(folder))


def test_a_checker_that_was_never_loaded_is_refused(folder: Path) -> None:
    """What diffusers makes of a configuration alone: concepts, special care and thresholds are ones."""
    for key in ("concept_embeds", "special_care_embeds", "concept_embeds_weights", "special_care_embeds_weights"):
        edit(folder / CHECKER, key, lambda t: t.fill_(1))
    refused(folder, CHECKER, "'concept_embeds' holds one number throughout")


TOWERS: list[tuple[str, str, Change, str]] = [
    ("a matrix of zeros", DEEP, lambda t: t.zero_(), "holds nothing but zeros"),
    ("half a matrix", DEEP, lambda t: t[len(t) // 2 :].zero_(), "is zero for half of it or more"),
    ("a constant", DEEP, lambda t: t.fill_(0.02), "holds one number throughout"),
    ("one row throughout", DEEP, lambda t: t.copy_(t[:1].clone().expand_as(t)), "says the same in every row"),
    ("too large", DEEP, lambda t: t.mul_(1e25), "holds numbers as large as"),
    ("one number too large", DEEP, lambda t: t[0, 0].fill_(-1e30), r"holds numbers as large as 1e\+30"),
    ("too small", DEEP, lambda t: t.mul_(1e-25), "holds no number larger than"),
    ("a norm of zeros", "vision_model.post_layernorm.weight", lambda t: t.zero_(), "holds nothing but zeros"),
    ("a tiny norm", "vision_model.post_layernorm.weight", lambda t: t.mul_(1e-30), "holds no number larger"),
    ("half a norm", "vision_model.post_layernorm.weight", lambda t: t[:8].zero_(), "is zero for half of it or more"),
    ("no class token", "vision_model.embeddings.class_embedding", lambda t: t.zero_(), "holds nothing but zeros"),
    (
        "a bias too large",
        "vision_model.post_layernorm.bias",
        lambda t: t[1].fill_(1e20),
        r"holds numbers as large as 1e\+20",
    ),
]


@pytest.mark.parametrize(("key", "change", "says"), [each[1:] for each in TOWERS], ids=[each[0] for each in TOWERS])
@pytest.mark.parametrize("file", [CHECKER, CLIP])
def test_a_tower_that_was_not_trained_is_refused_by_name(
    folder: Path, file: str, key: str, change: Change, says: str
) -> None:
    edit(folder / file, key, change)
    refused(folder, file, f"key '{key}' {says}")


@pytest.mark.parametrize("cut", [0.02, 0.25, 0.5, 0.75, 0.9, 0.99])
@pytest.mark.parametrize("file", [CHECKER, CLIP])
def test_a_download_into_a_preallocated_file_that_was_cut_off_is_refused(folder: Path, file: str, cut: float) -> None:
    path = folder / file
    data = bytearray(path.read_bytes())
    first = 8 + int(struct.unpack("<Q", data[:8])[0])
    kept = first + int((len(data) - first) * cut)
    data[kept:] = bytes(len(data) - kept)
    path.write_bytes(bytes(data))
    refused(folder, file, "key '")


SOUND: list[tuple[str, str, Change]] = [
    ("biases of zeros", "vision_model.encoder.layers.0.self_attn.k_proj.bias", lambda t: t.zero_()),
    ("norms of ones", "vision_model.post_layernorm.weight", lambda t: t.fill_(1)),
    ("a dead neuron", DEEP, lambda t: t[3].zero_()),
    ("tokens nobody uses", TABLE, lambda t: t[100:133].zero_()),
    ("tokens that decayed", TABLE, lambda t: t[100:160].mul_(1e-8)),
    ("a large projection", PROJECTION, lambda t: t.mul_(100)),
    ("a small projection", PROJECTION, lambda t: t.mul_(0.01)),
    ("no scale of logits", "logit_scale", lambda t: t.zero_()),
]


@pytest.mark.parametrize(("key", "change"), [each[1:] for each in SOUND], ids=[each[0] for each in SOUND])
def test_what_trained_weights_may_hold_is_read(folder: Path, key: str, change: Change) -> None:
    edit(folder / CLIP, key, change)
    assert bundle.read(str(folder)).clip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [Shape(), Shape(hidden=64, layers=3, same_tower=False), Shape(spread=0.02)])
def test_weights_as_they_are_drawn_at_first_are_read(tmp_path: Path, shape: Shape, dtype: torch.dtype) -> None:
    for seed in range(5):
        drawn = Shape(shape.hidden, shape.layers, same_tower=shape.same_tower, spread=shape.spread, dtype=dtype)
        assert bundle.read(str(write_bundle(tmp_path / f"{seed}", seed, drawn))).checker


@pytest.mark.parametrize("part", ["clip", "safety_checker"])
def test_a_tower_that_sees_nothing_is_refused_though_each_tensor_is_sane(tmp_path: Path, part: str) -> None:
    """What is left after the last norm is its bias, whatever the picture."""
    folder = write_bundle(tmp_path / "tiny", 4)
    edit(folder / part / "model.safetensors", "vision_model.post_layernorm.weight", lambda t: t.fill_(2e-5))
    assert bundle.read(str(folder)).clip
    with pytest.raises(WeightsNotAttested, match="does not depend on what it is shown: noise and black get one"):
        load(Models(bundle=str(folder)))


def test_a_tower_that_reads_nothing_is_refused_though_each_tensor_is_sane(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "tiny", 4)
    edit(folder / CLIP, "text_model.final_layer_norm.weight", lambda t: t.fill_(2e-5))
    with pytest.raises(WeightsNotAttested, match="two prompts get one"):
        load(Models(bundle=str(folder)))


@pytest.mark.parametrize("key", ["text_model.final_layer_norm", "vision_model.post_layernorm"])
def test_a_tower_whose_embeddings_have_no_direction_is_refused(tmp_path: Path, key: str) -> None:
    folder = write_bundle(tmp_path / "tiny", 4)
    edit(folder / CLIP, f"{key}.weight", lambda t: t.mul_(2e-5))
    edit(folder / CLIP, f"{key}.bias", lambda t: t.zero_())
    edit(folder / CLIP, PROJECTION, lambda t: t.mul_(0.01))
    edit(folder / CLIP, "text_projection.weight", lambda t: t.mul_(0.01))
    with pytest.raises(WeightsNotAttested, match="without direction"):
        load(Models(bundle=str(folder)))


def test_a_pickle_with_weights_that_mean_nothing_is_not_converted(folder: Path, tmp_path: Path) -> None:
    state: dict[str, Any] = dict(load_file(folder / CHECKER))
    state[PROJECTION].zero_()
    torch.save(state, tmp_path / "model.bin")
    with pytest.raises(WeightsNotAttested, match=r"model\.bin: key 'visual_projection\.weight' is zero in row 0"):
        convert.convert(tmp_path / "model.bin", tmp_path / "model.safetensors")
    assert not (tmp_path / "model.safetensors").exists()


def test_a_description_of_the_files_does_not_hide_them(folder: Path) -> None:
    """Weights that mean nothing are refused with the right SHA-256, too."""
    edit(folder / CHECKER, PROJECTION, lambda t: t.zero_())
    pin(folder)
    assert json.loads((folder / "bundle.json").read_text())["sha256"]
    refused(folder, CHECKER, "is zero in row 0")

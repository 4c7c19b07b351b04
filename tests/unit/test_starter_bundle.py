"""The shipped bundle is what it says: its files, its layouts, and how well it does on scenes it never saw."""

import hashlib
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from numpy.typing import NDArray
from safetensors import safe_open
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from sluice_sim.prompts import prompt
from sluice_sim.scenes import draw
from sluice_sim.training.grades import embeddings, grade, margins
from sluice_sim.training.lessons import held_out_picture, held_out_scene
from sluice_sim.training.sight import normalise, see

STARTER = Path(__file__).parents[2] / "consumer/sluice/models/starter"
FRESH_SEED = 1_000_003
"""Scenes of a seed that neither training nor the published grades used."""
COUNT = 256


@pytest.fixture(scope="module")
def about() -> dict[str, Any]:
    return cast(dict[str, Any], json.loads((STARTER / "bundle.json").read_text()))


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    return np.stack([held_out_picture(FRESH_SEED, i) for i in range(COUNT)])


@pytest.fixture(scope="module")
def checker() -> Any:
    return StableDiffusionSafetyChecker.from_pretrained(STARTER / "safety_checker")


def tensors(part: str) -> dict[str, torch.Tensor]:
    with safe_open(STARTER / part / "model.safetensors", "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping


def test_it_weighs_at_most_ten_megabytes() -> None:
    assert sum(path.stat().st_size for path in STARTER.rglob("*") if path.is_file()) <= 10_000_000


def test_every_file_is_listed_with_its_digest(about: dict[str, Any]) -> None:
    files = {str(path.relative_to(STARTER)): path for path in STARTER.rglob("*") if path.is_file()}
    del files["bundle.json"]
    assert about["sha256"] == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def test_its_published_grades_reach_the_marks(about: dict[str, Any]) -> None:
    grades = about["metrics"]["held_out"]
    assert grades["top1_prompt_to_image"] >= 0.90
    assert grades["auc"] >= 0.97
    assert grades["hazard_f1"] >= 0.97


def test_the_model_card_shows_the_figures_of_the_bundle(about: dict[str, Any]) -> None:
    card = (STARTER.parents[3] / "MODEL_CARD.md").read_text()
    for key, label, places in (
        ("top1_prompt_to_image", "right picture for a prompt, among 64", 3),
        ("top1_image_to_prompt", "right prompt for a picture, among 64", 3),
        ("auc", "AUC, matching against mismatching prompts", 4),
        ("hazard_f1", "hazard F1", 4),
        ("margin_safe_p99", "best margin: safe scenes, 99th percentile", 4),
        ("margin_unsafe_p01", "best margin: unsafe scenes, 1st percentile", 4),
    ):
        figures = (f"{about['metrics'][pictures][key]:.{places}f}" for pictures in ("held_out", "spoiled"))
        assert f"| {label} | {' | '.join(figures)} |" in card


def test_it_reaches_the_marks_on_fresh_scenes(pixels: NDArray[np.uint8]) -> None:
    grades = grade(STARTER, [held_out_scene(FRESH_SEED, i) for i in range(COUNT)], pixels)
    assert grades["top1_prompt_to_image"] >= 0.90
    assert grades["auc"] >= 0.97
    assert grades["hazard_f1"] >= 0.97


def test_the_two_towers_are_the_same_weights() -> None:
    clip, checker = tensors("clip"), tensors("safety_checker")
    tower = {name: tensor for name, tensor in clip.items() if name.startswith("vision_model.")}
    assert len(tower) > 60
    for name, tensor in tower.items():
        assert torch.equal(tensor, checker[f"vision_model.{name}"]), name
    assert torch.equal(clip["visual_projection.weight"], checker["visual_projection.weight"])


def test_the_checker_has_exactly_the_real_ones_parts() -> None:
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in tensors("safety_checker").items()
        if not name.startswith("vision_model.vision_model.")
    }
    assert shapes == {
        "visual_projection.weight": (128, 128),
        "concept_embeds": (17, 128),
        "concept_embeds_weights": (17,),
        "special_care_embeds": (3, 128),
        "special_care_embeds_weights": (3,),
    }


def test_transformers_loads_every_weight_as_float32() -> None:
    loaded: Any = CLIPModel.from_pretrained(STARTER / "clip", output_loading_info=True)
    model, report = loaded
    assert not any(report[problem] for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_diffusers_loads_every_weight_and_decides_the_same(checker: Any, pixels: NDArray[np.uint8]) -> None:
    words = [prompt(held_out_scene(FRESH_SEED, i)) for i in range(COUNT)]
    image, _ = embeddings(STARTER / "clip", words, pixels)
    ours = (margins(STARTER / "safety_checker", image) > 0).any(1)
    _, theirs = checker(normalise(torch.from_numpy(pixels)), [np.zeros((1, 1, 3)) for _ in range(COUNT)])
    assert {parameter.dtype for parameter in checker.parameters()} == {torch.float32}
    assert ours.tolist() == theirs


def test_the_tokenizer_ends_every_text_with_the_highest_id_within_77() -> None:
    tokenizer = CLIPTokenizer.from_pretrained(STARTER / "clip")
    model: Any = CLIPModel.from_pretrained(STARTER / "clip")
    ids = tokenizer(["a small red star", "", "star " * 200, "ünïcode 漢字 \N{SLIGHTLY SMILING FACE}"], truncation=True)
    for row in ids["input_ids"]:
        assert len(row) <= 77
        assert row[0] == tokenizer.bos_token_id
        assert row[-1] == tokenizer.eos_token_id == model.config.text_config.eos_token_id == len(tokenizer) - 1
    assert len(tokenizer.tokenize("a small red star")) == 4


def test_the_classic_tokenizer_files_say_the_same(tmp_path: Path) -> None:
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((STARTER / "clip" / name).read_bytes())
    words = [prompt(held_out_scene(FRESH_SEED, i)) for i in range(50)]
    classic, newer = CLIPTokenizer.from_pretrained(tmp_path), CLIPTokenizer.from_pretrained(STARTER / "clip")
    assert classic(words)["input_ids"] == newer(words)["input_ids"]


def test_its_preprocessor_shows_the_tower_what_training_did(tmp_path: Path) -> None:
    image = draw(held_out_scene(FRESH_SEED, 0), 300)
    image.save(tmp_path / "scene.png")
    processor: Any = CLIPImageProcessorPil.from_pretrained(STARTER / "clip")
    theirs = processor(image, return_tensors="pt")["pixel_values"]
    ours = normalise(torch.from_numpy(see((tmp_path / "scene.png").read_bytes()))[None])
    assert theirs.shape == ours.shape
    assert (theirs - ours).abs().max() < 1.01 / 255 / 0.26  # one grey level: its Pillow resize may differ by that

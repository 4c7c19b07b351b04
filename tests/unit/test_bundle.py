"""Weights get in only whole, unaltered and of the layout they claim; each refusal names the file and the key."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sluice.core.errors import BadSettings, WeightsNotAttested
from sluice.models import bundle, files
from sluice.models.layout import canonical, digest
from sluice.models.towers import attest
from tests.support.checkpoints import KeyLayout, Shape, pin, save, write_bundle

CLIP = "clip/model.safetensors"
CHECKER = "safety_checker/model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "tiny", rng_seed=3)


def edit(path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    state = load_file(path)
    change(state)
    save(path, state)


@pytest.mark.parametrize("keys", ["new", "old"])
def test_both_key_layouts_are_the_same_weights(tmp_path: Path, keys: KeyLayout) -> None:
    """The layout of before transformers 5, `position_ids` included, gives the digests of the new one."""
    found = attest(bundle.read(str(write_bundle(tmp_path / "x", 3, Shape(keys=keys)))))
    expected = attest(bundle.read(str(write_bundle(tmp_path / "y", 3))))
    assert found == expected
    assert found.identical


def test_the_old_checker_layout_nests_the_tower_once_more(tmp_path: Path) -> None:
    names = load_file(write_bundle(tmp_path / "x", 3, Shape(keys="old")) / CHECKER)
    assert "vision_model.vision_model.embeddings.class_embedding" in names
    assert (
        canonical("vision_model.vision_model.embeddings.class_embedding") == "vision_model.embeddings.class_embedding"
    )


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        (CHECKER, lambda s: s.pop("concept_embeds"), "missing key 'concept_embeds'"),
        (CHECKER, lambda s: s.update(extra=torch.zeros(1)), "unexpected key 'extra'"),
        (CHECKER, lambda s: s.update(concept_embeds=torch.zeros(16, 24)), r"'concept_embeds' has shape \(16, 24\)"),
        (
            CHECKER,
            lambda s: s.update(special_care_embeds_weights=torch.zeros(4)),
            "'special_care_embeds_weights' has sh",
        ),
        (CLIP, lambda s: s.pop("text_projection.weight"), "missing key 'text_projection.weight'"),
        (CLIP, lambda s: s.update(concept_embeds=torch.zeros(17, 24)), "unexpected key 'concept_embeds'"),
        (CLIP, lambda s: s["logit_scale"].fill_(float("nan")), "'logit_scale' holds numbers that are not finite"),
        (CLIP, lambda s: s.update(logit_scale=torch.tensor(3)), "'logit_scale' holds torch.int64"),
        (
            CHECKER,
            lambda s: s.update({"vision_model.vision_model.pre_layrnorm.bias": s["vision_model.pre_layrnorm.bias"]}),
            "are the same parameter",
        ),
    ],
)
def test_a_checkpoint_that_is_not_exactly_right_is_refused(
    folder: Path, file: str, change: Callable[[dict[str, torch.Tensor]], object], says: str
) -> None:
    edit(folder / file, change)
    with pytest.raises(WeightsNotAttested, match=says) as refusal:
        bundle.read(str(folder))
    assert str(folder / file) in str(refusal.value)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        (CLIP, b"not safetensors", "not a readable safetensors file"),
        (CHECKER, b"", "not a readable safetensors file"),
        ("clip/config.json", b"{", "not a CLIP configuration"),
        ("clip/config.json", b"[]", "not a CLIP configuration"),
        ("clip/config.json", b'{"vision_config": {"hidden_size": "wide"}}', "not a CLIP configuration"),
        ("safety_checker/config.json", b'{"vision_config": {"image_size": 336}}', "image_size 224"),
        ("clip/tokenizer.json", b"{}", "not a CLIP tokenizer"),
        ("bundle.json", b'{"sha256": 3}', "not a bundle description"),
    ],
)
def test_a_broken_file_is_refused_by_name(folder: Path, file: str, content: bytes, says: str) -> None:
    (folder / file).write_bytes(content)
    with pytest.raises(WeightsNotAttested, match=says):
        bundle.read(str(folder))


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / CHECKER).unlink()
    with pytest.raises(WeightsNotAttested, match=f"{CHECKER} is missing"):
        bundle.read(str(folder))


def test_a_pickle_in_place_of_safetensors_names_the_command_that_converts_it(folder: Path) -> None:
    (folder / CHECKER).rename(folder / "safety_checker" / "pytorch_model.bin")
    with pytest.raises(WeightsNotAttested, match="sluice models convert"):
        bundle.read(str(folder))


def test_no_bundle_is_chosen_silently() -> None:
    with pytest.raises(BadSettings, match=r"models\.bundle is not set"):
        bundle.read("")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotAttested, match="no such folder"):
        bundle.read(str(tmp_path / "nowhere"))


def test_pinned_files_must_match(folder: Path) -> None:
    """One changed byte anywhere, the tokenizer included, and the bundle is refused."""
    pin(folder, revision="7")
    read = bundle.read(str(folder))
    assert (read.name, read.revision) == ("tiny", "7")
    config = folder / "clip" / "tokenizer_config.json"
    config.write_text(config.read_text() + " ")
    with pytest.raises(WeightsNotAttested, match=r"tokenizer_config\.json: SHA-256 is .* pinned is"):
        bundle.read(str(folder))


def test_a_file_nobody_pinned_does_not_get_in(folder: Path) -> None:
    pin(folder)
    about = json.loads((folder / "bundle.json").read_text())
    del about["sha256"][CHECKER]
    (folder / "bundle.json").write_text(json.dumps(about))
    with pytest.raises(WeightsNotAttested, match="is not pinned"):
        bundle.read(str(folder))


def test_verify_reports_every_file(folder: Path) -> None:
    pin(folder)
    (folder / CLIP).write_bytes(b"altered")
    report = bundle.verify(files.locate(str(folder)))
    assert not report.ok
    assert [file.name for file in report.files if file.problem] == [CLIP]
    assert {file.name for file in report.files} >= {CLIP, CHECKER, "clip/tokenizer.json"}


def test_towers_of_different_weights_are_told_apart(tmp_path: Path) -> None:
    found = attest(bundle.read(str(write_bundle(tmp_path / "x", 3, Shape(same_tower=False)))))
    assert not found.same_tower
    assert not found.same_projection
    assert "embeddings.class_embedding" in found.differing
    assert found.tower_digest != found.clip_tower_digest


def test_equal_tensors_under_another_configuration_are_not_the_same_tower(folder: Path) -> None:
    """Two heads and four heads share every tensor's shape, and compute something else."""
    path = folder / "safety_checker" / "config.json"
    config = json.loads(path.read_text())
    config["vision_config"]["num_attention_heads"] = 4
    path.write_text(json.dumps(config))
    found = attest(bundle.read(str(folder)))
    assert found.differing == ("vision_config.num_attention_heads",)
    assert not found.same_tower


def test_one_changed_number_makes_two_towers(folder: Path) -> None:
    edit(folder / CHECKER, lambda s: s["vision_model.post_layernorm.bias"][3].add_(1e-6))
    found = attest(bundle.read(str(folder)))
    assert found.differing == ("post_layernorm.bias",)


def test_another_projection_alone_still_shares_the_tower(folder: Path) -> None:
    edit(folder / CHECKER, lambda s: s["visual_projection.weight"].mul_(2))
    found = attest(bundle.read(str(folder)))
    assert found.same_tower
    assert not found.identical


def test_a_digest_depends_on_names_types_shapes_and_bytes() -> None:
    one = torch.arange(6.0)
    digests = {
        digest({"a": one}),
        digest({"b": one}),
        digest({"a": one.reshape(2, 3)}),
        digest({"a": one.to(torch.bfloat16)}),
        digest({"a": one + 1}),
    }
    assert len(digests) == 5
    assert digest({"a": one, "b": one}) == digest({"b": one.clone(), "a": one})

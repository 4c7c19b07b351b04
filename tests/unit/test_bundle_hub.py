"""The `openai` bundle comes from the hub's cache alone, and what the first fetch brought is remembered."""

import hashlib
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file

from sluice.core.errors import WeightsNotAttested
from sluice.models import bundle, convert, hub
from tests.support.checkpoints import write_bundle


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the client at an empty hub cache; the published hashes, which tiny stand-ins cannot have, are set aside."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "PUBLISHED", {})
    return tmp_path / "hub"


@pytest.fixture
def filled(cache: Path, tmp_path: Path) -> Path:
    """Fill it with tiny stand-ins for both repositories, laid out as the hub's client does."""
    source = write_bundle(tmp_path / "source")
    weights = source / "safety_checker" / "model.safetensors"
    torch.save(load_file(weights), source / "safety_checker" / "pytorch_model.bin")
    for repository in (hub.CLIP, hub.CHECKER):
        snapshot = cache / f"models--{repository.id.replace('/', '--')}" / "snapshots" / repository.revision
        snapshot.mkdir(parents=True)
        for file in repository.files:
            original = source / repository.folder / file
            (snapshot / file).write_bytes(original.read_bytes() if original.exists() else b"{}")
    return cache


def test_an_empty_cache_names_the_file_and_the_command(cache: Path) -> None:
    assert not cache.exists()
    with pytest.raises(
        WeightsNotAttested, match=r"openai/clip-vit-large-patch14@32bd64288804 config\.json .*sluice models fetch"
    ):
        bundle.read("openai")


def test_fetching_offline_from_an_empty_cache_says_what_to_do(cache: Path) -> None:
    assert not cache.exists()
    with pytest.raises(WeightsNotAttested, match=r"could not be fetched .*HF_HUB_CACHE"):
        hub.fetch()


def test_a_filled_cache_without_a_recorded_fetch_is_not_trusted(filled: Path) -> None:
    """The checker exists as a pickle only, so without `fetch` there is nothing to load."""
    assert filled.is_dir()
    with pytest.raises(WeightsNotAttested, match="sluice models fetch"):
        bundle.read("openai")


def test_fetch_records_converts_and_makes_the_bundle_readable(filled: Path) -> None:
    report = hub.fetch()
    assert report.conversion is not None
    assert report.lock == filled / "sluice" / "sluice-models.lock.json"
    assert {file.trust for file in report.files} == {"first fetch", "converted"}
    read = bundle.read("openai")
    assert (read.name, read.revision) == ("openai", "32bd64288804+cb41f3a270d6")
    again = hub.fetch()
    assert again.conversion is None
    assert {file.trust for file in again.files} == {"lock"}


def test_a_file_that_changed_since_the_first_fetch_is_refused(filled: Path) -> None:
    hub.fetch()
    config = next(filled.glob("models--CompVis*/snapshots/*/config.json"))
    config.write_text(config.read_text() + " ")
    with pytest.raises(WeightsNotAttested, match="pinned is"):
        bundle.read("openai")
    with pytest.raises(WeightsNotAttested, match="lock is"):
        hub.fetch()


def test_a_file_that_is_not_the_published_one_is_refused(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert filled.is_dir()
    monkeypatch.setattr(hub, "PUBLISHED", {hub.PICKLE: "0" * 64})
    with pytest.raises(WeightsNotAttested, match=r"pytorch_model\.bin: SHA-256 is .* published is 0000"):
        hub.fetch()


def test_the_published_hashes_are_of_the_right_form() -> None:
    assert len(hub.PUBLISHED) == 8
    assert all(len(bytes.fromhex(sha256)) == 32 for sha256 in hub.PUBLISHED.values())


def test_converting_keeps_every_tensor_and_says_what_it_dropped(tmp_path: Path) -> None:
    state = {"a.weight": torch.randn(3, 2).t(), "embeddings.position_ids": torch.arange(4), "b": torch.ones(2).half()}
    torch.save(state, tmp_path / "model.bin")
    report = convert.convert(tmp_path / "model.bin", tmp_path / "out" / "model.safetensors")
    found = load_file(report.target)
    assert set(found) == {"a.weight", "b"}
    assert torch.equal(found["a.weight"], state["a.weight"])
    assert found["b"].dtype == torch.float16
    assert report.dropped == ("embeddings.position_ids",)
    assert report.source_sha256 == hashlib.sha256((tmp_path / "model.bin").read_bytes()).hexdigest()
    assert report.target_sha256 == hashlib.sha256(report.target.read_bytes()).hexdigest()


class Payload:
    """Runs a command when a pickle that holds it is loaded without care."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.proof,))


def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    torch.save({"a": Payload(proof)}, tmp_path / "evil.bin")
    with pytest.raises(WeightsNotAttested, match="not a checkpoint of tensors alone"):
        convert.convert(tmp_path / "evil.bin", tmp_path / "out.safetensors")
    assert not proof.exists()
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"a": 3}, {}])
def test_a_pickle_of_something_else_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.bin")
    with pytest.raises(WeightsNotAttested):
        convert.convert(tmp_path / "other.bin", tmp_path / "out.safetensors")


def test_an_unexpected_pickle_is_not_even_opened(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"anything")
    with pytest.raises(WeightsNotAttested, match="it was not opened"):
        convert.convert(tmp_path / "model.bin", tmp_path / "out.safetensors", sha256="1" * 64)

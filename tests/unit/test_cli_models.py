"""`sluice models`: what is listed, verified, attested and converted."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from sluice.cli import app
from sluice.cli.frame import Invocation
from sluice.core.errors import BadSettings, WeightsNotAttested
from tests.support import images
from tests.support.checkpoints import Shape, pin, save, write_bundle


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


def sluice(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, obj=Invocation())


def test_list_names_what_is_missing_and_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_MODELS__BUNDLE", str(write_bundle(Path("tiny"))))
    rows = {row["bundle"]: row for row in json.loads(sluice("models", "list", "--json").stdout)}
    assert rows.keys() == {"openai", "starter", "tiny"}
    assert rows["openai"]["state"].endswith("run `sluice models fetch`")
    assert (rows["tiny"]["state"], rows["tiny"]["configured"]) == ("here", "yes")
    assert "sluice models fetch" in sluice("models", "list").stdout


def test_verify_compares_every_file_with_its_pin() -> None:
    folder = write_bundle(Path("tiny"))
    pin(folder)
    good = json.loads(sluice("models", "verify", "tiny", "--json").stdout)
    assert good["ok"]
    assert {file["pinned"] for file in good["files"]} == {True}
    weights = folder / "clip/model.safetensors"
    weights.write_bytes(weights.read_bytes() + b"x")
    bad = sluice("models", "verify", "tiny")
    assert bad.exit_code == 1
    assert "pinned is" in bad.stdout


def test_weights_that_mean_nothing_are_refused_by_every_command_that_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pinned, so that their SHA-256 is right: what is wrong with them is what they hold."""
    folder = write_bundle(Path("tiny"))
    monkeypatch.setenv("SLUICE_MODELS__BUNDLE", "tiny")
    weights = folder / "safety_checker/model.safetensors"
    state = load_file(weights)
    save(weights, state | {"visual_projection.weight": torch.zeros_like(state["visual_projection.weight"])})
    pin(folder)
    verified = sluice("models", "verify", "--json")
    files = {file["name"]: file["problem"] for file in json.loads(verified.stdout)["files"]}
    assert verified.exit_code == 1
    assert [name for name, problem in files.items() if problem] == ["safety_checker/model.safetensors"]
    said = "key 'visual_projection.weight' is zero in row 0"
    Path("a.png").write_bytes(images.encode(images.solid()))
    assert said in files["safety_checker/model.safetensors"]
    for command in (("models", "attest"), ("models", "self-test"), ("moderate", "a.png")):
        error = sluice(*command).exception
        assert isinstance(error, WeightsNotAttested), command
        assert said in str(error)
    rows = {row["what"]: row for row in json.loads(sluice("doctor", "--json").stdout)}
    assert rows["models"]["state"] == "fail"
    assert said in rows["models"]["found"]


def test_a_bundle_must_be_named_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(sluice("models", "verify").exception, BadSettings)
    write_bundle(Path("tiny"))
    monkeypatch.setenv("SLUICE_MODELS__BUNDLE", "tiny")
    assert sluice("models", "verify").exit_code == 0


@pytest.mark.parametrize("same", [True, False])
def test_attest_says_whether_one_tower_serves_both(*, same: bool) -> None:
    write_bundle(Path("tiny"), shape=Shape(same_tower=same))
    found = json.loads(sluice("models", "attest", "tiny", "--json").stdout)
    assert found["identical"] is same
    assert (found["tower_digest"] == found["clip_tower_digest"]) is same


def test_convert_writes_safetensors_beside_the_pickle() -> None:
    pickle = Path("pytorch_model.bin")
    torch.save({"w": torch.ones(2)}, pickle)
    digest = hashlib.sha256(pickle.read_bytes()).hexdigest()
    report = json.loads(sluice("models", "convert", str(pickle), "--sha256", digest, "--json").stdout)
    assert (report["source_sha256"], report["target"], report["tensors"]) == (digest, "model.safetensors", 1)
    assert Path("model.safetensors").is_file()
    assert isinstance(sluice("models", "convert", str(pickle), "--sha256", "0" * 64).exception, WeightsNotAttested)


def test_fetch_without_a_hub_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: str) -> str:
        raise OSError

    monkeypatch.setattr("sluice.models.hub._download", unreachable)
    error = sluice("models", "fetch").exception
    assert isinstance(error, WeightsNotAttested)
    assert "connect this machine to the hub" in str(error)


@pytest.mark.parametrize("content", [b"junk", b"", b"\x80\x02.", b"PK\x03\x04 no archive", bytes(range(256))])
def test_convert_says_of_any_other_file_that_it_is_no_checkpoint(content: bytes) -> None:
    Path("other.bin").write_bytes(content)
    failed = sluice("models", "convert", "other.bin")
    assert isinstance(failed.exception, WeightsNotAttested)
    assert not Path("model.safetensors").exists()


def test_canaries_are_shown_written_and_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_MODELS__BUNDLE", str(write_bundle(Path("tiny"), shape=Shape(hidden=32, layers=2))))
    picture = Path("own.png")
    picture.write_bytes(images.encode(images.scene(64, 64)))
    wrote = sluice("models", "self-test", str(picture), "--write", "self_test.json", "--json")
    names = [row["picture"] for row in json.loads(wrote.stdout)]
    assert names == ["shape", "glyph", "own"]
    monkeypatch.setenv("SLUICE_SELF_TEST__FILE", "self_test.json")
    assert sluice("models", "self-test").stdout.count("own") == 1
    monkeypatch.setenv("SLUICE_MODELS__BUNDLE", "starter")
    assert isinstance(sluice("models", "self-test").exception, BadSettings)
    assert sluice("models", "self-test", "--write", "self_test.json").exit_code == 0


def test_weights_without_pins_are_unpinned_and_not_ok_until_somebody_pins_them() -> None:
    folder = write_bundle(Path("tiny"))
    before = sluice("models", "verify", "tiny")
    assert before.exit_code == 0
    assert "unpinned" in before.stdout
    assert "sluice models pin" in before.stderr
    assert " ok" not in before.stdout
    assert not json.loads(sluice("models", "verify", "tiny", "--json").stdout)["ok"]
    assert sluice("models", "pin", "tiny").exit_code == 0
    assert json.loads(sluice("models", "verify", "tiny", "--json").stdout)["ok"]
    config = folder / "clip/config.json"
    config.write_text(config.read_text() + " ")
    assert sluice("models", "verify", "tiny").exit_code == 1
    assert sluice("models", "pin", "tiny").exit_code == 0
    assert sluice("models", "verify", "tiny").exit_code == 0


def test_pins_of_a_folder_that_is_no_bundle_are_not_written(tmp_path: Path) -> None:
    assert isinstance(sluice("models", "pin", str(tmp_path)).exception, WeightsNotAttested)
    assert not (tmp_path / "bundle.json").exists()


def test_home_is_understood_in_a_bundles_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_bundle(Path("tiny"))
    assert sluice("models", "verify", "~/tiny").exit_code == 0
    assert sluice("models", "pin", "~/tiny").exit_code == 0
    monkeypatch.setenv("SLUICE_MODELS__BUNDLE", "~/tiny")
    assert sluice("models", "verify").exit_code == 0

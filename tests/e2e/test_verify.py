"""`sluice verify` as people run it: the same bytes, models and policy, and then not the same."""

import json
import subprocess
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sluice.services.moderator.claim import verdicts_in
from sluice_schemas import encode
from sluice_sim import scenes
from tests.support import commands

pytestmark = pytest.mark.timeout(900)  # the pictures are judged once, in the first test that wants them


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with two pictures, and the first one's verdict as JSON and as a message value."""
    folder = tmp_path_factory.mktemp("verify")
    scenes.draw(scenes.sample(Random(21), unsafe=True)).save(folder / "hazard.png")
    scenes.draw(scenes.sample(Random(20))).save(folder / "safe.png")
    judged = commands.run_here(folder, "moderate", "hazard.png", "safe.png", "--bundle", "starter", "--json")
    (folder / "both.json").write_text(judged.stdout)
    (folder / "verdict.avro").write_bytes(encode(verdicts_in(judged.stdout.encode())[0]))
    return folder


def verify(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return commands.run_here(folder, "verify", *arguments, "--bundle", "starter")


def test_a_verdict_is_found_again_by_another_process(folder: Path) -> None:
    result = commands.run(folder, "verify", "both.json", "--image", "safe.png", "--bundle", "starter")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("equal: ")


def test_a_verdict_as_it_was_published_is_found_again(folder: Path) -> None:
    result = verify(folder, "verdict.avro", "--image", "hazard.png")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("equal: ")


def test_a_forged_score_another_policy_and_other_bytes_are_named(folder: Path) -> None:
    forged: dict[str, Any] = json.loads((folder / "both.json").read_text())[0]
    forged["verdict"]["concepts"][0]["cosine"] += 0.1
    forged["verdict"]["policy"]["digest"] = "0" * 64
    (folder / "forged.json").write_text(json.dumps(forged))
    result = verify(folder, "forged.json", "--image", "hazard.png", "--json")
    assert result.returncode == 1, result.stderr
    concept = forged["verdict"]["concepts"][0]["id"]
    named = [one["what"] for one in json.loads(result.stdout)["differences"]]
    assert named == ["policy.digest", f"concepts.{concept}.cosine"]
    other = verify(folder, "verdict.avro", "--image", "safe.png")
    assert other.returncode == 1
    assert "image_sha256" in other.stdout


def test_a_file_without_a_verdict_cannot_be_verified(folder: Path) -> None:
    result = verify(folder, "safe.png", "--image", "safe.png")
    assert (result.returncode, result.stdout) == (65, "")

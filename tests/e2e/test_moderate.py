"""`sluice moderate` as people run it: on drawn scenes, one of them a hazard, and on a file that is broken."""

import json
import subprocess
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sluice_sim import prompts, scenes
from tests.support import commands

pytestmark = pytest.mark.timeout(900)  # the pictures are judged once, in the first test that wants them


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with a safe picture, a hazard, half a PNG, and the safe picture's prompt."""
    folder = tmp_path_factory.mktemp("gallery")
    safe = scenes.sample(Random(20))
    scenes.draw(safe).save(folder / "safe.png")
    scenes.draw(scenes.sample(Random(21), unsafe=True)).save(folder / "hazard.jpg", quality=92)
    half = (folder / "safe.png").read_bytes()
    (folder / "half <b>.png").write_bytes(half[: len(half) // 2])
    (folder / "prompt.txt").write_text(prompts.prompt(safe))
    return folder


@pytest.fixture(scope="module")
def judged(gallery: Path) -> subprocess.CompletedProcess[str]:
    prompt = (gallery / "prompt.txt").read_text()
    names = ["safe.png", "hazard.jpg", "half <b>.png"]
    return commands.run(
        gallery, "moderate", *names, "--bundle", "starter", "--prompt", prompt, "--json", "--report", "report.html"
    )


@pytest.fixture(scope="module")
def findings(judged: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return {finding["name"]: finding for finding in json.loads(judged.stdout)}


def test_each_file_gets_the_verdict_it_deserves_and_the_exit_code_says_the_worst(
    judged: subprocess.CompletedProcess[str], findings: dict[str, Any]
) -> None:
    assert {name: finding["verdict"]["status"] for name, finding in findings.items()} == {
        "safe.png": "ALLOW",
        "hazard.jpg": "BLOCK",
        "half <b>.png": "INDETERMINATE",
    }
    assert judged.returncode == 4


def test_every_judged_file_has_all_margins_a_clip_score_and_pixel_measures(findings: dict[str, Any]) -> None:
    for name in ("safe.png", "hazard.jpg"):
        verdict, quality = findings[name]["verdict"], findings[name]["quality"]
        assert len(verdict["concepts"]) == 20
        assert verdict["image_sha256"] == quality["image_sha256"]
        assert quality["technical"]["blur"] >= 0
    matching, other = (findings[name]["quality"]["clip"]["cosine"] for name in ("safe.png", "hazard.jpg"))
    assert matching > other


def test_a_file_that_cannot_be_judged_says_why_and_has_no_quality(findings: dict[str, Any]) -> None:
    assert findings["half <b>.png"]["quality"] is None
    assert findings["half <b>.png"]["verdict"]["indeterminate_reason"] == "truncated"


def test_the_report_shows_all_of_them_and_nothing_of_the_original_files(
    judged: subprocess.CompletedProcess[str], gallery: Path
) -> None:
    assert "report.html" in judged.stderr
    page = (gallery / "report.html").read_text()
    assert page.count("<article") == 3
    assert page.count("data:image/jpeg;base64,") == 2
    assert "half &lt;b&gt;.png" in page
    assert "half <b>" not in page


def test_files_that_may_be_shown_end_with_0_and_a_table(gallery: Path) -> None:
    result = commands.run_here(gallery, "moderate", "safe.png", "--bundle", "starter")
    assert result.returncode == 0
    assert "ALLOW" in result.stdout
    assert "policy balanced" in result.stdout


def test_without_a_bundle_nothing_is_judged_and_the_choices_are_named(gallery: Path) -> None:
    result = commands.run(gallery, "moderate", "safe.png")
    assert result.returncode == 78
    assert result.stdout == ""
    assert all(choice in result.stderr for choice in ("models.bundle", "openai", "starter", "folder"))

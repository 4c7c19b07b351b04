"""A device that is too small for a batch costs time, never an image, and only once."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import torch

from sluice.core.errors import DependencyDown, DeviceLost
from sluice.models import plugin
from sluice.models.load import load
from sluice.models.towers import VisionTower
from sluice.models.worker import InferenceWorker
from sluice.moderation.values import Pixels, Score, Scores, Thumbnail
from sluice.settings import Models
from sluice_schemas import ModelRef
from tests.support import jobs
from tests.support.checkpoints import Shape, write_bundle

ROOM = 3
PICTURES = [jobs.job(jobs.tiles(seed), str(seed)) for seed in range(13)]


class Small:
    """A device with room for so many tiles, in place of a tower's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = ROOM
        self.refused = 0
        whole = VisionTower.__call__

        def narrow(tower: VisionTower, batch: torch.Tensor) -> torch.Tensor:
            if len(batch) > self.room:
                self.refused += 1
                raise torch.OutOfMemoryError("CUDA out of memory")
            return whole(tower, batch)

        monkeypatch.setattr(VisionTower, "__call__", narrow)


class Hungry:
    """A plug-in with room for so many thumbnails."""

    ref = ModelRef("hungry", "hungry", "1", "b" * 64, "float32")
    thumbnail = Thumbnail("fit", 32)

    def __init__(self, room: int, error: type[RuntimeError] = torch.OutOfMemoryError) -> None:
        self._room = room
        self._error = error

    def score(self, thumbnails: Sequence[Pixels]) -> list[tuple[Score, ...]]:
        """Score if there is room."""
        if len(thumbnails) > self._room:
            raise self._error
        return [(Score("hungry", "mean", float(each.mean())),) for each in thumbnails]


@pytest.fixture
def counts() -> Counter[str]:
    return Counter()


@pytest.fixture
def inference(tmp_path: Path, counts: Counter[str]) -> Iterator[InferenceWorker]:
    def observe(name: str, value: float, _labels: Mapping[str, str]) -> None:
        counts[name] += int(value)

    running = load(Models(bundle=str(write_bundle(tmp_path / "tiny", 11, Shape(hidden=32, layers=2)))), observe=observe)
    yield running
    running.close()


def test_a_batch_too_large_for_the_device_gets_the_same_answers_in_more_passes(
    inference: InferenceWorker, counts: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    roomy = inference.score(PICTURES)
    assert counts["sluice.inference.splits"] == 0
    small = Small(monkeypatch)
    narrow = inference.score(PICTURES)
    assert [_decisions(answer) for answer in narrow] == [_decisions(answer) for answer in roomy]
    assert counts["sluice.inference.splits"] == small.refused == 2, "13, 6, 3: how often it was halved"


def test_how_much_fits_is_remembered(
    inference: InferenceWorker, counts: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Small(monkeypatch)
    for _ in range(5):
        inference.score(PICTURES)
    assert counts["sluice.inference.splits"] == small.refused == 2


def test_a_device_without_room_for_one_image_is_busy_and_the_lane_lives_on(
    inference: InferenceWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Small(monkeypatch)
    small.room = 0
    with pytest.raises(DependencyDown):
        inference.score(PICTURES)
    assert small.refused <= 2 * len(PICTURES).bit_length()
    small.room = ROOM
    assert all(isinstance(answer, Scores) for answer in inference.score(PICTURES))
    inference.check()


def _hungry(folder: Path, monkeypatch: pytest.MonkeyPatch, model: Hungry) -> InferenceWorker:
    monkeypatch.setattr(plugin, "find", lambda _name: model)
    bundle = write_bundle(folder / "tiny", 11, Shape(hidden=32, layers=2))
    return load(Models(bundle=str(bundle), plugins=("hungry",)))


PAINTED = [jobs.job(jobs.tiles(seed), thumbnail=jobs.tiles(seed)[0]) for seed in range(5)]


def test_a_plug_in_that_runs_out_of_memory_is_asked_for_fewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inference = _hungry(tmp_path, monkeypatch, Hungry(room=2))
    answers = inference.score(PAINTED)
    inference.close()
    assert [isinstance(answer, Scores) and len(answer.opinions) for answer in answers] == [1] * 5


@pytest.mark.parametrize(
    ("error", "becomes"), [(torch.OutOfMemoryError, DependencyDown), (torch.AcceleratorError, DeviceLost)]
)
def test_a_plug_in_without_a_device_is_no_images_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[RuntimeError], becomes: type[Exception]
) -> None:
    inference = _hungry(tmp_path, monkeypatch, Hungry(room=0, error=error))
    with pytest.raises(becomes):
        inference.score(PAINTED)
    inference.close()


def _decisions(answer: object) -> object:
    assert isinstance(answer, Scores)
    return (answer.reference_has_nsfw, [concept.fired for concept in answer.concepts])

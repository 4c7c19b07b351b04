"""The benchmarks with real models: their arithmetic, that what they compare does the same work, and one small run."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from transformers import CLIPModel

from sluice.media.decoding.limits import Limits
from sluice.media.decoding.picture import picture as decoded
from sluice.models.load import load
from sluice.models.worker import InferenceWorker
from sluice.moderation.values import Job, Scores
from sluice.settings import Media, Models
from tests.bench import efficiency, naive
from tests.bench.bundles import SHAPES, Size
from tests.bench.efficiency import Bare
from tests.bench.endtoend import PICTURES, PROMPTS, Duel, Sizes, arena, backlog, pace, picture, prompt, slope
from tests.bench.naive_loop import Judge
from tests.bench.rounds import interleaved
from tests.bench.servers import served
from tests.bench.spent import Spent
from tests.support.checkpoints import clip_config, write_bundle

EDGE_PX = 256
TOKENS = 49_408
NUMBERS = range(12)
TINY = Sizes("tiny", edge_px=EDGE_PX, rounds=1, events=32)


@dataclass(frozen=True, slots=True)
class Said:
    """A message with nothing but a value."""

    said: bytes

    def value(self) -> bytes:
        return self.said


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "tiny", 3)


@pytest.fixture
def inference(folder: Path) -> Iterator[InferenceWorker]:
    running = load(Models(bundle=str(folder)))
    yield running
    running.close()


def test_the_slope_is_the_rate_of_outputs_that_come_in_landings() -> None:
    at_s = [100.0 + 2.0 * landing for landing in range(5) for _ in range(32)]
    assert slope(at_s) == pytest.approx(16)
    assert slope([7.5, *at_s[32:]]) < 16  # one that came long before tilts it: it is no median


def test_a_slow_beginning_shifts_the_line_and_does_not_tilt_it() -> None:
    at_s = [2.0 * landing for landing in range(5) for _ in range(32)]
    assert slope([moment + 60 for moment in at_s]) == pytest.approx(slope(at_s))


def test_outputs_of_one_millisecond_count_over_the_whole_round() -> None:
    assert pace([7.5] * 24, took_s=2.0) == 12.0
    assert pace([7.5], took_s=2.0) == 0.5
    landings = [2.0 * landing for landing in range(5) for _ in range(32)]
    assert pace(landings, took_s=1000.0) == slope(landings)


def test_a_ratio_is_the_median_of_rounds_and_not_of_rates() -> None:
    rates = Duel("x", {"ours": [10.0, 40.0, 30.0], "theirs": [10.0, 10.0, 20.0]}, 0.9, {"cores": 2})
    assert rates.ratio == 1.5
    assert rates.ratios == [1.0, 4.0, 1.5]
    assert "ours 30.00/s, theirs 10.00/s, ratio 1.50 (1.00 to 4.00), goal 0.9; cores 2" in rates.as_text()
    assert rates.as_json()["ratio"] == 1.5


def test_rounds_are_interleaved() -> None:
    turns = iter(range(1, 7))
    found = interleaved({"a": lambda: float(next(turns)), "b": lambda: float(next(turns))}, 3)
    assert found == {"a": [1.0, 3.0, 5.0], "b": [2.0, 4.0, 6.0]}


def test_events_differ_while_pictures_and_prompts_come_again() -> None:
    assert picture(1, EDGE_PX) == picture(PICTURES + 1, EDGE_PX) != picture(2, EDGE_PX)
    assert prompt(1) == prompt(PROMPTS + 1) != prompt(2)
    assert len(set(backlog(0, PICTURES + 1, EDGE_PX))) == PICTURES + 1


@pytest.mark.parametrize(("size", "vision", "text"), [("ViT-B/32", 87.5e6, 63.1e6), ("ViT-L/14", 303.2e6, 123.1e6)])
def test_a_bundle_has_as_many_parameters_as_the_published_one(size: Size, vision: float, text: float) -> None:
    """OpenAI's two CLIPs count 151 and 428 million with their vocabulary; ours is smaller."""
    with torch.device("meta"):
        model = CLIPModel(clip_config(SHAPES[size], TOKENS))
    counts = {
        part: sum(weights.numel() for name, weights in model.named_parameters() if name.startswith(f"{part}_model."))
        for part in ("vision", "text")
    }
    assert counts["vision"] == pytest.approx(vision, rel=0.01)
    assert counts["text"] == pytest.approx(text, rel=0.01)


def judged(inference: InferenceWorker, number: int) -> tuple[bool, float]:
    """Return the checker's answer and torchmetrics' score, as we have them, of a picture and its prompt."""
    data = picture(number, EDGE_PX)
    (ours,) = inference.score([Job(decoded(data, Limits.of(Media())), prompt(number))])
    assert isinstance(ours, Scores)
    assert ours.clip
    return ours.reference_has_nsfw, max(0.0, 100 * ours.clip.cosine)


def test_the_loop_everybody_writes_answers_as_we_do(folder: Path, inference: InferenceWorker) -> None:
    """It does the same work: the checker's answer, and CLIP's cosine but for one grey level of its Pillow resize."""
    judge = Judge.of(folder, torch.device("cpu"))
    answers = [judge(picture(number, EDGE_PX), prompt(number)) for number in NUMBERS]
    expected = [judged(inference, number) for number in NUMBERS]
    assert [answer["nsfw"] for answer in answers] == [nsfw for nsfw, _ in expected]
    assert [answer["clip_score"] for answer in answers] == pytest.approx([score for _, score in expected], abs=0.5)
    assert len({nsfw for nsfw, _ in expected}) == 2
    assert max(score for _, score in expected) > 5


def test_the_model_server_answers_as_we_do(folder: Path, inference: InferenceWorker, tmp_path: Path) -> None:
    """Many requests at once, each with its own answer."""
    pytest.importorskip("litserve", reason="needs the extra `bench`")
    messages: Any = [Said(backlog(number, 1, EDGE_PX)[0]) for number in NUMBERS]
    with served(str(folder), tmp_path / "log") as client:
        answers = [json.loads(answer) for answer in client(messages)]
    assert [answer["image_id"] for answer in answers] == [f"image-{number}" for number in NUMBERS]
    expected = [judged(inference, number) for number in NUMBERS]
    assert [answer["nsfw"] for answer in answers] == [nsfw for nsfw, _ in expected]
    scores = [max(0.0, answer["clip_score"]) for answer in answers]
    assert scores == pytest.approx([score for _, score in expected], abs=0.01)


def test_the_bare_loop_sees_every_picture_and_reads_its_prompt(folder: Path) -> None:
    bare = Bare.of(str(folder), TINY)
    seen: list[tuple[int, int]] = []
    prompts: list[int] = []
    bare.look = lambda tiles: seen.append(tiles.shape[:2])
    bare.read = lambda ids: prompts.append(len(ids))
    assert bare.round(40) > 0
    assert seen == [(16, 224), (16, 224), (8, 224)]
    assert prompts == [16, 16, 8]
    assert len(bare.seconds) == 1


def test_processor_time_is_told_apart_by_who_spent_it() -> None:
    before = Spent(1, 2, 3, 4, 20)
    spent = Spent(2, 4, 6, 8, 40).since(before)
    assert spent == Spent(1, 2, 3, 4, 20)
    now = Spent.by(psutil.Process())
    assert now.worker == now.bench > 0
    assert now.machine >= now.worker


@pytest.mark.embedded
def test_a_small_run_gives_rates_and_explains_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    found = efficiency.measured(TINY)
    assert set(found.per_s) == {"sluice", "bare"}
    assert all(rate > 0 for rates in found.per_s.values() for rate in rates)
    assert found.table["CPU ms an event: decoders"] > 0
    assert found.table["s a batch: model"] > 0


@pytest.mark.embedded
def test_the_loop_everybody_writes_consumes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    with arena(TINY) as where:
        assert where.feeding(naive.LOOP).round(TINY.events // naive.LOOP_SHARE) > 0

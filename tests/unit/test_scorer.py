"""What the inference worker says of a picture, and what it does when a device, a model or a number fails it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from safetensors.torch import load_file

from sluice.core.errors import BadSettings, DependencyDown, DeviceLost, Rejection, Unscorable, WeightsNotAttested
from sluice.models import plugin
from sluice.models.clip import PromptEncoder
from sluice.models.forward import FixedShape, ForwardOutputs, ForwardPass, ForwardPasses, guarded
from sluice.models.guard_band import BFLOAT16_WIDENS, GuardBand
from sluice.models.layout import canonical
from sluice.models.load import load
from sluice.models.safety import Margins, decide
from sluice.models.scorer import Scorer
from sluice.models.towers import MEAN, STD
from sluice.models.worker import InferenceWorker
from sluice.moderation.values import CHECKER, Job, Pixels, Score, Scores, Thumbnail
from sluice.settings import Models, Precision
from sluice_schemas import ModelRef
from tests.support import jobs
from tests.support.checkpoints import Shape, save, write_bundle
from tests.support.sharp import scored, sharpen

PICTURES = 48


@pytest.fixture(scope="module")
def pictures() -> list[Pixels]:
    return [jobs.tiles(seed) for seed in range(PICTURES)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, pictures: list[Pixels]) -> Path:
    """Write a bundle whose thresholds stand within rounding of what the pictures score: the hardest case there is."""
    path = write_bundle(tmp_path_factory.mktemp("bundle") / "tiny", 11, Shape(hidden=32, layers=2))
    sharpen(path, pictures)
    return path


def test_what_must_be_exact_is_looked_at_again_wherever_its_scores_lie() -> None:
    """Reads the starter bundle, whose thresholds are far from these pictures; bfloat16 shows in every score."""
    counted: Counter[str] = Counter()
    settings = Models(bundle="starter", device="cpu", precision=Precision.BFLOAT16, guard_band=0)
    rough = load(settings, observe=lambda name, value, _: counted.update({name: int(value)}))
    exact = load(settings.model_copy(update={"precision": Precision.FLOAT32}))
    asked = [jobs.job(jobs.tiles(seed, 2)) for seed in range(3)]
    found = rough.score([asked[0], replace(asked[1], exact=True), asked[2]])
    right = exact.score([replace(each, exact=True) for each in asked])
    assert counted == {"sluice.inference.images": 3, "sluice.inference.rechecks": 1}
    assert [one == other for one, other in zip(found, right, strict=True)] == [False, True, False]
    rough.close()
    exact.close()


def test_an_image_counts_once_however_many_of_its_tiles_are_near_a_threshold() -> None:
    counted: Counter[str] = Counter()
    settings = Models(bundle="starter", device="cpu", precision=Precision.BFLOAT16, guard_band=0.1)
    wide = load(settings, observe=lambda name, value, _: counted.update({name: int(value)}))
    wide.score([jobs.job(jobs.tiles(seed, 2)) for seed in range(3)])
    wide.close()
    assert counted == {"sluice.inference.images": 3, "sluice.inference.rechecks": 3}


def reference_answers(folder: Path, pictures: Sequence[Pixels]) -> list[bool]:
    """Ask diffusers' checker of the same weights about each picture alone, on pixels as the processor gives them."""
    from sluice.models.layout import read_config  # noqa: PLC0415 - only here

    checker = StableDiffusionSafetyChecker(read_config(folder / "safety_checker" / "config.json"))
    state = load_file(folder / "safety_checker" / "model.safetensors")
    checker.load_state_dict({canonical(name): tensor.float() for name, tensor in state.items()}, strict=True)
    checker.train(mode=False)
    mean, std = (torch.tensor(each).view(3, 1, 1) * 255 for each in (MEAN, STD))
    answers: list[bool] = []
    for tiles in pictures:
        pixels = (torch.from_numpy(tiles[:1]).permute(0, 3, 1, 2).float() - mean) / std
        answers += checker(pixels, [np.zeros(1)])[1]
    return answers


def test_reference_has_nsfw_is_diffusers_answer(folder: Path, pictures: list[Pixels]) -> None:
    """On a full checkpoint of the real layout, picture by picture, with thresholds within rounding of the scores."""
    expected = reference_answers(folder, pictures)
    inference = load(Models(bundle=str(folder)))
    found = scored(inference, pictures)
    inference.close()
    assert [scores.reference_has_nsfw for scores in found] == expected
    assert 0 < sum(expected) < PICTURES
    assert any(scores.guard_band_recheck for scores in found)


@pytest.mark.parametrize("seed", range(4))
def test_reference_has_nsfw_is_diffusers_answer_with_random_weights(
    tmp_path: Path, pictures: list[Pixels], seed: int
) -> None:
    folder = write_bundle(tmp_path / "tiny", seed, Shape(hidden=24, layers=1, same_tower=seed % 2 == 0))
    inference = load(Models(bundle=str(folder)))
    found = [scores.reference_has_nsfw for scores in scored(inference, pictures)]
    inference.close()
    assert found == reference_answers(folder, pictures)


def test_each_concept_comes_from_its_worst_tile_and_the_reference_from_the_first(folder: Path) -> None:
    inference = load(Models(bundle=str(folder)))
    shown = jobs.tiles(77, 5)
    whole = scored(inference, [shown])[0]
    single = scored(inference, [shown[number : number + 1] for number in range(5)])
    inference.close()
    for column, concept in enumerate(whole.concepts):
        worst = max((scores.concepts[column] for scores in single), key=lambda each: each.margin)
        assert concept.margin == pytest.approx(worst.margin, abs=1e-5)
        assert concept.fired == worst.fired
    assert whole.reference_has_nsfw == single[0].reference_has_nsfw


def test_an_unsafe_later_tile_fires_a_concept_and_leaves_the_reference_answer(
    folder: Path, pictures: list[Pixels]
) -> None:
    inference = load(Models(bundle=str(folder)))
    alone = scored(inference, pictures)
    safe = next(tiles for tiles, scores in zip(pictures, alone, strict=True) if not scores.reference_has_nsfw)
    unsafe = next(tiles for tiles, scores in zip(pictures, alone, strict=True) if scores.reference_has_nsfw)
    first, later = scored(inference, [np.concatenate([unsafe, safe]), np.concatenate([safe, unsafe])])
    inference.close()
    assert (first.reference_has_nsfw, later.reference_has_nsfw) == (True, False)
    assert any(concept.fired for concept in later.concepts)


def test_clip_sees_through_its_own_tower_when_the_checkers_is_another(tmp_path: Path) -> None:
    """Two bundles with the same CLIP give the same cosine, whatever the checker's tower is."""
    cosines = []
    for same in (True, False):
        inference = load(Models(bundle=str(write_bundle(tmp_path / str(same), 9, Shape(same_tower=same)))))
        answer = inference.score([jobs.job(jobs.tiles(4), "a red circle")])[0]
        inference.close()
        assert isinstance(answer, Scores)
        assert answer.clip is not None
        cosines.append(answer.clip.cosine)
    assert cosines[0] == pytest.approx(cosines[1], abs=1e-6)


def test_clip_is_of_the_first_tile_and_none_without_a_prompt(folder: Path) -> None:
    inference = load(Models(bundle=str(folder)))
    shown = jobs.tiles(5, 3)
    batch = [jobs.job(shown, "a red circle"), jobs.job(shown), jobs.job(shown[:1], "a red circle"), jobs.job(shown, "")]
    whole, without, first, empty = (answer for answer in inference.score(batch) if isinstance(answer, Scores))
    inference.close()
    assert whole.clip is not None
    assert first.clip is not None
    assert whole.clip.cosine == pytest.approx(first.clip.cosine, abs=1e-6)
    assert without.clip is None
    assert empty.clip is not None
    assert empty.clip.prompt_tokens == 2


def test_provenance_tells_one_tower_from_two(tmp_path: Path, folder: Path) -> None:
    two = load(Models(bundle=str(write_bundle(tmp_path / "two", 1, Shape(same_tower=False)))))
    one = load(Models(bundle=str(folder), precision=Precision.BFLOAT16))
    assert [ref.role for ref in two.provenance] == ["safety", "clip", "tower", "clip_tower"]
    assert [(ref.role, ref.dtype) for ref in one.provenance] == [(r, "bfloat16") for r in ("safety", "clip", "tower")]
    assert all(len(ref.digest) == 64 for ref in (*one.provenance, *two.provenance))
    one.close()
    two.close()


# Passes


def seen(count: int, value: float = 0.1) -> ForwardOutputs:
    cosine = np.full((count, len(CHECKER.ids)), value, np.float32)
    margins = decide(cosine, np.full(len(CHECKER.ids), 0.2, np.float32))
    return ForwardOutputs(margins, np.ones((count, 4), np.float32), np.full((count, 2), 10.0))


class Memory:
    """A device that holds so many tiles at once."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.sizes: list[int] = []

    def __call__(self, tiles: Pixels) -> ForwardOutputs:
        """Look, or run out of memory."""
        self.sizes.append(len(tiles))
        if len(tiles) > self.room:
            raise torch.OutOfMemoryError
        return seen(len(tiles))


def nothing() -> None:
    """Do nothing."""


def test_running_out_of_memory_halves_the_pass_remembers_and_loses_no_tile() -> None:
    memory, splits = Memory(room=5), Counter[str]()
    passes = ForwardPasses(memory, 16, beat=nothing, on_split=lambda: splits.update(["split"]))
    assert len(passes(np.zeros((20, 1, 1, 3), np.uint8)).embeddings) == 20
    assert memory.sizes == [16, 8, 4, 4, 4, 4, 4]
    assert splits["split"] == 2
    assert passes.rows == 4


def test_a_reduced_pass_grows_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sluice.models.forward.REGROW_AFTER", 3)
    memory = Memory(room=5)
    passes = ForwardPasses(memory, 16, beat=nothing, on_split=nothing)
    passes(np.zeros((8, 1, 1, 3), np.uint8))
    memory.room = 100
    passes(np.zeros((40, 1, 1, 3), np.uint8))
    assert passes.rows == 16


def test_no_room_for_one_tile_is_a_busy_device() -> None:
    with pytest.raises(DependencyDown):
        ForwardPasses(Memory(room=0), 4, beat=nothing, on_split=nothing)(np.zeros((3, 1, 1, 3), np.uint8))
    with pytest.raises(DependencyDown):
        FixedShape(Memory(room=0), 4, beat=nothing)(np.zeros((3, 1, 1, 3), np.uint8))


def test_a_fixed_shape_pass_always_has_that_shape_and_returns_no_filling() -> None:
    memory = Memory(room=100)
    view = FixedShape(memory, 8, beat=nothing)(np.zeros((11, 1, 1, 3), np.uint8))
    assert memory.sizes == [8, 8]
    assert len(view.embeddings) == len(view.margins.margin) == 11


def test_every_tile_gets_its_own_answer_in_any_pass() -> None:
    def look(tiles: Pixels) -> ForwardOutputs:
        return seen(len(tiles))._replace(embeddings=tiles[:, 0, 0].astype(np.float32))

    shown = np.arange(11 * 3, dtype=np.uint8).reshape(11, 1, 1, 3)
    for passes in (FixedShape(look, 4, beat=nothing), ForwardPasses(look, 4, beat=nothing, on_split=nothing)):
        assert np.array_equal(passes(shown).embeddings, shown[:, 0, 0])


def test_every_pass_beats_the_pulse() -> None:
    beats = Counter[str]()
    ForwardPasses(Memory(9), 2, beat=lambda: beats.update("b"), on_split=nothing)(np.zeros((5, 1, 1, 3), np.uint8))
    FixedShape(Memory(9), 2, beat=lambda: beats.update("b"))(np.zeros((5, 1, 1, 3), np.uint8))
    assert beats["b"] == 6


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), MemoryError),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), MemoryError),
        (torch.AcceleratorError("CUDA error: an illegal memory access"), DeviceLost),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), RuntimeError),
    ],
)
def test_torchs_errors_are_named_by_what_happens_next(error: Exception, becomes: type[Exception]) -> None:
    def look(_tiles: Pixels) -> ForwardOutputs:
        raise error

    with pytest.raises(becomes):
        guarded(look, np.zeros((1, 1, 1, 3), np.uint8))


# The guard band


def margins_at(margin: float, column: int) -> Margins:
    cosine = np.full((1, len(CHECKER.ids)), -1, np.float32)
    cosine[0, column] = 0.2 + margin
    return decide(cosine, np.full(len(CHECKER.ids), 0.2, np.float32))


@pytest.mark.parametrize(
    ("margin", "near"), [(0.0005, True), (0.0024, True), (-0.0014, True), (0.0027, False), (-0.0017, False)]
)
@pytest.mark.parametrize("column", [0, 2, 3, 19])
def test_the_band_lies_around_where_rounding_makes_a_concept_fire(margin: float, column: int, near: bool) -> None:  # noqa: FBT001
    assert GuardBand(0.002).near(margins_at(margin, column)).tolist() == [near]


def test_a_bundle_that_rounding_moves_further_gets_a_wider_band(tmp_path: Path, pictures: list[Pixels]) -> None:
    """The default would not cover these weights, which are ten times as large as trained ones."""
    inference = load(
        Models(bundle=str(write_bundle(tmp_path / "wild", 0, Shape(hidden=64))), precision=Precision.BFLOAT16)
    )
    inference.close()
    scorer = inference._score
    assert isinstance(scorer, Scorer)
    with torch.inference_mode():
        seen, exact = (look(np.concatenate(pictures)).margins.cosine for look in (scorer.look, scorer.look_again))
    moved = np.abs(seen - exact).max()
    assert Models().guard_band * BFLOAT16_WIDENS < moved < scorer.band._width


def test_a_policys_own_thresholds_have_a_band_too() -> None:
    band = GuardBand(0.002, {"sd.c02": (0.25, 0.3)})
    column = CHECKER.ids.index("sd.c02")
    assert band.near(margins_at(0.0512, column)).tolist() == [True]
    assert band.near(margins_at(0.0988, column)).tolist() == [True]
    assert band.near(margins_at(0.07, column)).tolist() == [False]
    assert band.near(margins_at(0.0512, column + 1)).tolist() == [False]


def test_the_lane_learns_from_the_policy_where_else_it_decides(folder: Path, pictures: list[Pixels]) -> None:
    """The policy is told the checkpoint's thresholds; scores near its own answers are computed again too."""
    told: dict[str, float] = {}
    plain = load(Models(bundle=str(folder)))
    index = next(n for n, scores in enumerate(scored(plain, pictures)) if not scores.guard_band_recheck)
    cosine = scored(plain, [pictures[index]])[0].concepts[CHECKER.ids.index("sd.c17")].cosine
    plain.close()

    def turning(checkpoint: Mapping[str, float]) -> Mapping[str, Sequence[float]]:
        told.update(checkpoint)
        return {"sd.c17": (cosine,)}

    inference = load(Models(bundle=str(folder)), turning=turning)
    assert scored(inference, [pictures[index]])[0].guard_band_recheck
    inference.close()
    assert list(told) == list(CHECKER.ids)
    assert told["sd.c17"] == pytest.approx(0.999)


# Numbers that are not finite


def poisoned(
    inference: InferenceWorker, monkeypatch: pytest.MonkeyPatch, *looks: str, length: float = float("nan")
) -> None:
    """Make looks of the inference worker give NaN for marked tiles, and embeddings of this length."""
    scorer = inference._score
    assert isinstance(scorer, Scorer)
    changed: dict[str, Any] = {name: blind(getattr(scorer, name), length) for name in looks}
    monkeypatch.setattr(inference, "_score", replace(scorer, **changed))


def blind(original: ForwardPass, length: float) -> ForwardPass:
    """Give NaN for marked tiles, and embeddings of this length."""

    def look(tiles: Pixels) -> ForwardOutputs:
        view = original(tiles)
        rows = np.flatnonzero((tiles[:, 0, 0] == 255).all(axis=1))
        nothing_seen = np.full((len(rows), view.embeddings.shape[1]), np.nan, np.float32)
        lengths = np.full((len(rows), view.lengths.shape[1]), length)
        return view.replace(rows, ForwardOutputs(seen(len(rows), float("nan")).margins, nothing_seen, lengths))

    return look


MEANINGLESS = pytest.mark.parametrize(
    ("length", "reason"),
    [(float("nan"), "non_finite"), (float("inf"), "non_finite"), (0.0, "no_direction"), (1e25, "no_direction")],
)


@MEANINGLESS
def test_a_tile_that_means_nothing_is_computed_again_in_float32(
    folder: Path, pictures: list[Pixels], monkeypatch: pytest.MonkeyPatch, length: float, reason: str
) -> None:
    counts: Counter[str] = Counter()
    inference = load(Models(bundle=str(folder)), observe=lambda name, value, _labels: counts.update({name: int(value)}))
    special = pictures[0].copy()
    special[:, 0, 0] = 255
    expected = scored(inference, [special])[0]
    poisoned(inference, monkeypatch, "look", length=length)
    found = scored(inference, [pictures[1], special])[1]
    inference.close()
    assert found.guard_band_recheck
    assert found.reference_has_nsfw == expected.reference_has_nsfw
    assert [concept.fired for concept in found.concepts] == [concept.fired for concept in expected.concepts]
    assert counts == {"sluice.inference.images": 3, "sluice.inference.rechecks": 1, f"sluice.inference.{reason}": 1}


@MEANINGLESS
def test_a_picture_that_means_nothing_in_float32_either_gets_no_scores(
    folder: Path, pictures: list[Pixels], monkeypatch: pytest.MonkeyPatch, length: float, reason: str
) -> None:
    """Never a verdict from NaN; the neighbours are scored."""
    inference = load(Models(bundle=str(folder)))
    poisoned(inference, monkeypatch, "look", "look_again", length=length)
    special = np.concatenate([pictures[0], pictures[0]])
    special[1, 0, 0] = 255
    answers = inference.score([jobs.job(pictures[1]), jobs.job(special), jobs.job(pictures[2])])
    inference.close()
    assert isinstance(answers[1], Unscorable)
    assert answers[1].reason == reason
    assert isinstance(answers[0], Scores)
    assert isinstance(answers[2], Scores)


def test_tiles_of_another_size_are_an_error_of_that_picture_alone(folder: Path, pictures: list[Pixels]) -> None:
    inference = load(Models(bundle=str(folder)))
    answers = inference.score(
        [jobs.job(pictures[0]), jobs.job(np.zeros((1, 100, 100, 3), np.uint8)), jobs.job(pictures[1][:0])]
    )
    inference.close()
    assert [isinstance(answer, Rejection) and answer.reason for answer in answers] == [
        False,
        "model_error",
        "model_error",
    ]


def test_no_memory_for_a_prompt_is_a_busy_device(
    folder: Path, pictures: list[Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    inference = load(Models(bundle=str(folder)))
    monkeypatch.setattr(PromptEncoder, "_embed", full)
    with pytest.raises(DependencyDown):
        inference.score([jobs.job(pictures[0], "a cat")])
    inference.close()


def test_no_jobs_no_scores(folder: Path) -> None:
    inference = load(Models(bundle=str(folder)))
    assert inference.score([]) == []
    inference.close()


# Plug-ins and settings


class Brightness:
    """A plug-in that says how bright a thumbnail is, and cannot cope with black."""

    ref = ModelRef("brightness", "brightness", "1", "b" * 64, "float32")
    thumbnail = Thumbnail("fit", 32)

    def score(self, thumbnails: Sequence[Pixels]) -> list[tuple[Score, ...]]:
        """Score; raise for black, give infinity for white."""
        means = [float(each.mean()) for each in thumbnails]
        if 0.0 in means:
            raise ZeroDivisionError
        return [(Score("brightness", "mean", float("inf") if mean == 255 else mean),) for mean in means]


@pytest.fixture
def bright(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Models:
    monkeypatch.setattr(plugin, "find", lambda _name: Brightness())
    return Models(bundle=str(folder), plugins=("brightness",))


def thumb(value: int) -> Pixels:
    return np.full((20, 32, 3), value, np.uint8)


def test_a_plug_ins_scores_reach_the_right_picture(bright: Models, pictures: list[Pixels]) -> None:
    inference = load(bright)
    batch: list[Job] = [jobs.job(pictures[0], thumbnail=thumb(value)) for value in (7, 0, 9, 255)]
    seven, black, nine, white = inference.score(batch)
    assert inference.provenance[-1] == Brightness.ref
    inference.close()
    assert isinstance(seven, Scores)
    assert isinstance(nine, Scores)
    assert (seven.opinions, nine.opinions) == ((Score("brightness", "mean", 7.0),), (Score("brightness", "mean", 9.0),))
    assert isinstance(black, Unscorable)
    assert black.reason == "model_error"
    assert isinstance(white, Unscorable)
    assert white.reason == "non_finite"


def test_a_missing_thumbnail_is_no_opinion_and_no_verdict(bright: Models, pictures: list[Pixels]) -> None:
    inference = load(bright)
    assert isinstance(inference.score([jobs.job(pictures[0])])[0], Unscorable)
    inference.close()


def test_an_unknown_plug_in_names_those_installed() -> None:
    with pytest.raises(BadSettings, match=r"names 'astrology'; installed are: .*nudenet"):
        plugin.find("astrology")


@pytest.mark.parametrize("device", ["gpu", "mps", "cuda:99"])
def test_a_device_that_cannot_be_used_is_named(folder: Path, device: str) -> None:
    with pytest.raises(BadSettings, match=device):
        load(Models(bundle=str(folder), device=device))


def test_weights_that_overflow_are_refused_at_load(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "tiny", 1)
    for file in ("clip/model.safetensors", "safety_checker/model.safetensors"):
        state = load_file(folder / file)
        state["vision_model.post_layernorm.weight"].fill_(3e38)
        save(folder / file, state)
    with pytest.raises(
        WeightsNotAttested, match=r"'vision_model\.post_layernorm\.weight' holds numbers as large as 3e\+38"
    ):
        load(Models(bundle=str(folder)))


def test_observed_numbers_carry_no_labels_of_a_picture(folder: Path, pictures: list[Pixels]) -> None:
    labels: list[Mapping[str, str]] = []
    inference = load(Models(bundle=str(folder)), observe=lambda _name, _value, given: labels.append(given))
    scored(inference, pictures)
    inference.close()
    assert labels
    assert not any(labels)

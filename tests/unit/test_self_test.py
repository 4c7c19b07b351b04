"""Self-test: asked in time, judged by the real road, and right, wrong or late; a file of them fits its models."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from sluice.core.errors import (
    BadSettings,
    DependencyDown,
    DeviceLost,
    Rejection,
    SelfTestFailed,
    Unreadable,
    Unscorable,
)
from sluice.core.metrics import unobserved
from sluice.moderation.self_test import AGAIN_S, Judge, KnownPicture, Pace, SelfTest
from sluice.moderation.values import Decision, Job, Picture, Score, Scores
from sluice.services.moderator import self_test_file
from sluice.services.moderator.judging import Judging, judging
from sluice.settings import Models, Precision, Settings
from sluice.settings import SelfTest as SelfTestSettings
from sluice_schemas import Clip, Concept, ModelRef, Status
from tests.support import jobs

TOLERANCE = 0.01
PICTURE = jobs.job(jobs.tiles(0)).picture


def scores(margin: float = -0.5, clip: float | None = 0.7) -> Scores:
    concepts = (Concept("sd.c01", margin + 0.2, 0.2, 0.0, margin, margin > 0),)
    said = None if clip is None else Clip(clip, 7, prompt_truncated=False)
    return Scores(concepts, reference_has_nsfw=margin > 0, guard_band_recheck=False, clip=said)


@dataclass
class Ends:
    """Decoders and inference whose answers are set by hand, a clock likewise, and what was asked and observed."""

    answers: list[Scores | Rejection] = field(default_factory=lambda: [scores()])
    now: float = 0.0
    decoded: list[bytes] = field(default_factory=list)
    jobs: list[Sequence[Job]] = field(default_factory=list)
    observed: dict[str, float] = field(default_factory=dict)
    unreadable: Exception | None = None
    down: Exception | None = None
    silent: bool = False
    status: Status = Status.ALLOW

    def picture(self, data: bytes) -> Future[Picture]:
        self.decoded.append(data)
        return done(self.unreadable or PICTURE)

    def score(self, asked: Sequence[Job]) -> Future[list[Scores | Rejection]]:
        self.jobs.append(asked)
        return Future() if self.silent else done(self.down or list(self.answers))

    def decide(self, found: Scores, _picture: Picture) -> Decision:
        return Decision(self.status if found.guard_band_recheck else Status.ALLOW, ())

    def observe(self, _name: str, value: float, labels: Mapping[str, str]) -> None:
        self.observed[labels["result"]] = self.observed.get(labels["result"], 0) + value

    def asking(self, answer: Scores | None) -> SelfTest:
        road = Judge(self.picture, self.score, self.decide)
        known = [KnownPicture("bird", b"data", "a bird", answer)]
        pace = Pace(every_s=60, within_s=300, tolerance=TOLERANCE)
        return SelfTest(known, road, pace, lambda: self.now, self.observe)


def done(result: Any) -> Future[Any]:
    future: Future[Any] = Future()
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
    return future


def test_it_is_asked_at_once_and_then_every_so_often() -> None:
    ends = Ends()
    asked = ends.asking(scores())
    assert ends.observed == {"right": 0, "wrong": 0, "late": 0}
    asked.turn()
    assert asked.right
    for ends.now in (0.0, 30.0, 59.9):
        asked.turn()
    assert len(ends.jobs) == 1
    ends.now = 60.0
    asked.turn()
    assert [(job.prompt, job.exact) for (job,) in ends.jobs] == [("a bird", False)] * 2
    assert ends.decoded == [b"data"] * 2
    assert ends.observed == {"right": 2, "wrong": 0, "late": 0}


def test_a_score_may_lie_a_little_off() -> None:
    ends = Ends([scores(margin=-0.5 + TOLERANCE * 0.9, clip=0.7 - TOLERANCE * 0.9)])
    asked = ends.asking(scores())
    asked.turn()
    assert asked.right


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (scores(margin=-0.4), r"concept sd\.c01 is -0\.400000 instead of -0\.500000"),
        (scores(margin=float("nan")), r"concept sd\.c01 is nan"),
        (scores(clip=0.6), r"the agreement with the prompt is 0\.600000 instead of 0\.700000"),
        (scores(clip=None), "the agreement with the prompt is there or not"),
        (replace(scores(), reference_has_nsfw=True), "the reference's answer is True"),
        (replace(scores(), concepts=()), "other concepts"),
        (Unscorable("non_finite"), "score: non_finite"),
    ],
)
def test_a_wrong_answer_names_what_is_wrong_and_stops_everything(found: Scores | Rejection, said: str) -> None:
    ends = Ends()
    asked = ends.asking(scores())
    asked.turn()
    ends.now, ends.answers = 60.0, [found]
    with pytest.raises(SelfTestFailed, match=f"self-test: bird: {said}") as raised:
        asked.turn()
    assert raised.value.exit_code == 76
    assert ends.observed == {"right": 1, "wrong": 1, "late": 0}


def test_another_status_is_wrong_though_every_score_is_right() -> None:
    ends = Ends([replace(scores(), guard_band_recheck=True)], status=Status.BLOCK)
    with pytest.raises(SelfTestFailed, match="bird: BLOCK instead of ALLOW"):
        ends.asking(scores()).turn()


def test_without_known_answers_the_first_exact_ones_are_kept_and_the_next_compared_with_them() -> None:
    ends = Ends()
    asked = ends.asking(None)
    asked.turn()
    assert ends.observed["right"] == 0
    asked.turn()
    assert asked.right
    assert [[job.exact for job in each] for each in ends.jobs] == [[True], [False]]
    assert ends.observed["right"] == 1
    ends.now, ends.answers = 60.0, [scores(margin=-0.4)]
    with pytest.raises(SelfTestFailed):
        asked.turn()


TWO = [KnownPicture("bird", b"data", None), KnownPicture("glyph", b"other", None)]


def at(*cosines: float) -> Scores:
    concepts = (Concept(f"sd.c{n:02}", c, 0.2, 0.0, c - 0.2, c > 0.2) for n, c in enumerate(cosines, start=1))
    return Scores(tuple(concepts), reference_has_nsfw=False, guard_band_recheck=False, clip=None)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([at(0.0, 0.0), at(0.0, 0.0)], "answers are all near 0"),
        ([at(0.0, -0.0), at(1e-9, 0.009)], "answers are all near 0"),
        ([at(0.1, -0.2), at(0.1, -0.2)], "answers do not depend on the picture: those to 2"),
        ([at(0.1, -0.2), at(0.10001, -0.20001)], "answers do not depend on the picture"),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_answers_that_do_not_come_from_looking_are_wrong_even_where_they_are_known(
    answers: list[Scores],
    said: str,
    known: bool,  # noqa: FBT001
) -> None:
    ends = Ends(list(answers))
    asked = ends.asking(None)
    asked.known = [replace(c, answer=a if known else None) for c, a in zip(TWO, answers, strict=True)]
    with pytest.raises(SelfTestFailed, match=said):
        asked.turn()
    assert not asked.right or ends.observed["right"] == 0
    assert ends.observed["wrong"] == 1


@pytest.mark.parametrize(
    "answers", [[at(0.1, 0.0), at(0.0, 0.0)], [at(0.1, -0.2), at(0.1, -0.1998)], [at(-0.02, -0.3), at(0.0, -0.3)]]
)
def test_answers_that_differ_and_of_which_one_is_far_from_0_are_taken(answers: list[Scores]) -> None:
    ends = Ends(list(answers))
    asked = ends.asking(None)
    asked.known = list(TWO)
    asked.turn()
    asked.turn()
    assert asked.right


def test_one_picture_taken_along_twice_may_get_one_answer() -> None:
    ends = Ends([at(0.1, -0.2), at(0.1, -0.2)])
    asked = ends.asking(None)
    asked.known = [TWO[0], replace(TWO[0], name="again")]
    asked.turn()
    asked.turn()
    assert asked.right


def test_an_answer_that_does_not_come_in_time_is_late() -> None:
    ends = Ends()
    asked = ends.asking(scores())
    asked.turn()
    ends.now, ends.silent = 1000.0, True  # however long nobody turned
    asked.turn()
    ends.now = 1300.0
    asked.turn()
    ends.now = 1300.1
    with pytest.raises(SelfTestFailed, match=r"within 300 s \(self_test\.within_s\)"):
        asked.turn()
    assert ends.observed == {"right": 1, "wrong": 0, "late": 1}


@pytest.mark.parametrize(
    "crowd", [{"down": DependencyDown("device memory")}, {"unreadable": Unreadable("decode_timeout")}]
)
def test_where_there_is_no_room_for_it_it_is_asked_again_until_it_is_late(crowd: dict[str, Exception]) -> None:
    ends = Ends(**crowd)  # type: ignore[arg-type]
    asked = ends.asking(scores())
    for ends.now in (0.0, 0.5, AGAIN_S, 300.0):
        asked.turn()
    assert len(ends.decoded) == 3
    ends.now = 300.1
    with pytest.raises(
        SelfTestFailed, match=r"no known picture was answered .*, at last: .*(device memory|decode_timeout)"
    ):
        asked.turn()


def test_a_known_picture_that_decoders_cannot_read_is_wrong() -> None:
    ends = Ends(unreadable=Unreadable("truncated"))
    with pytest.raises(SelfTestFailed, match="self-test: bird: decode_image: truncated"):
        ends.asking(scores()).turn()


def test_a_lost_device_is_that_and_no_wrong_canary() -> None:
    with pytest.raises(DeviceLost):
        Ends(down=DeviceLost("gone")).asking(scores()).turn()


@pytest.fixture(scope="module", params=[Precision.FLOAT32, Precision.FLOAT16])
def judge(request: pytest.FixtureRequest) -> Any:
    with judging(
        Settings(models=Models(bundle="starter", device="cpu", precision=request.param)),
        worker="test",
        observe=unobserved,
    ) as opened:
        yield opened


def asked(judge: Judging, given: SelfTestSettings) -> SelfTest:
    found = self_test_file.of(given, judge.decoders.known, judge.inference, judge.policy, unobserved)
    self_test_file.settle(found, judge.inference, lambda _seconds: None)
    return found


def test_the_starter_bundle_answers_what_ships_and_one_is_allowed_and_one_blocked(judge: Judging) -> None:
    known = asked(judge, SelfTestSettings()).known
    assert known == self_test_file.read(self_test_file.SHIPPED)[0]
    decided = [judge.policy.decide(bird.answer, None, coverage=1.0).status for bird in known if bird.answer]
    assert decided == [Status.ALLOW, Status.BLOCK]


def test_a_file_holds_what_was_written(judge: Judging, tmp_path: Path) -> None:
    file = tmp_path / "self_test.json"
    mute = replace(scores(clip=None), opinions=(Score("nudenet", "FEET_EXPOSED", 0.25),))
    known = [*asked(judge, SelfTestSettings()).known, KnownPicture("mute", b"data", None, mute)]
    self_test_file.write(file, known, judge.inference.provenance)
    assert self_test_file.chosen(file, judge.inference.provenance) == known


def test_a_score_in_the_file_that_is_not_the_models_is_noticed(judge: Judging, tmp_path: Path) -> None:
    file = tmp_path / "self_test.json"
    plain = json.loads(self_test_file.SHIPPED.read_text())
    plain["pictures"][1]["answer"]["concepts"][3]["margin"] += 2 * judge.inference.tolerance
    file.write_text(json.dumps(plain))
    with pytest.raises(SelfTestFailed, match="self-test: glyph: concept"):
        asked(judge, SelfTestSettings(file=file))


OTHER = [ModelRef("safety", "other", "", "0" * 64, "float32"), ModelRef("clip", "other", "", "1" * 64, "float32")]


def test_other_models_are_asked_about_the_pictures_that_ship_without_answers() -> None:
    shipped, _ = self_test_file.read(self_test_file.SHIPPED)
    assert self_test_file.chosen(None, OTHER) == [replace(bird, answer=None) for bird in shipped]


def test_a_file_of_other_models_is_refused() -> None:
    with pytest.raises(BadSettings, match="answers of other models") as raised:
        self_test_file.chosen(self_test_file.SHIPPED, OTHER)
    assert "sluice models self-test --write" in str(raised.value)


@pytest.mark.parametrize("margin", [float("nan"), "-0.5", None])
def test_a_file_with_a_score_that_is_no_number_is_refused(tmp_path: Path, margin: object) -> None:
    file = tmp_path / "self_test.json"
    plain = json.loads(self_test_file.SHIPPED.read_text())
    plain["pictures"][0]["answer"]["concepts"][7]["margin"] = margin
    file.write_text(json.dumps(plain))
    with pytest.raises(BadSettings, match=r"self_test\.file: .* cannot be read"):
        self_test_file.read(file)


@pytest.mark.parametrize("text", ["", "{}", '{"models": {}, "pictures": [{}]}', '{"models": {}, "pictures": []}'])
def test_a_file_that_says_nothing_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "self_test.json"
    file.write_text(text)
    with pytest.raises(BadSettings, match=r"self_test\.file: "):
        self_test_file.read(file)

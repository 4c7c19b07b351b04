"""The inference worker answers every batch, isolates what fails, and says when its device is gone."""

from collections.abc import Callable, Sequence
from threading import Event

import pytest

from sluice.core.errors import DependencyDown, DeviceLost, Rejection, Unscorable
from sluice.models.worker import Answers, InferenceWorker, PassWatchdog, isolating
from sluice.moderation.values import Job, Scores
from sluice_schemas import ModelRef
from tests.support import jobs

SCORES = Scores((), reference_has_nsfw=False, guard_band_recheck=False, clip=None)
MODELS = (ModelRef("safety", "tiny", "", "d" * 64, "float32"),)


def numbered(count: int) -> list[Job]:
    """Jobs that carry their number as prompt."""
    shown = jobs.tiles(0)
    return [jobs.job(shown, str(number)) for number in range(count)]


class Clock:
    """A clock that is set by hand."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def inference(score: Callable[[Sequence[Job]], Answers], clock: Clock | None = None) -> InferenceWorker:
    return InferenceWorker(score, MODELS, PassWatchdog(clock or Clock()), timeout_s=5)


def good(batch: Sequence[Job]) -> Answers:
    return [SCORES for _ in batch]


def failing(numbers: set[str], error: Exception, tries: dict[str, int]) -> Callable[[Sequence[Job]], Answers]:
    """Score, but raise for batches that hold one of these jobs; count how often each is scored alone."""

    def score(batch: Sequence[Job]) -> Answers:
        if len(batch) == 1:
            tries[str(batch[0].prompt)] = tries.get(str(batch[0].prompt), 0) + 1
        if any(each.prompt in numbers for each in batch):
            raise error
        return good(batch)

    return score


def test_what_is_ahead_waits_for_the_batch_under_way_and_for_no_other() -> None:
    begun, let_go = Event(), Event()
    scored: list[str | None] = []

    def score(batch: Sequence[Job]) -> Answers:
        begun.set()
        assert let_go.wait(60)
        scored.extend(each.prompt for each in batch)
        return good(batch)

    running = inference(score)
    first, second, third = numbered(3)
    under_way = running.submit([first])
    assert begun.wait(60)
    behind, ahead = running.submit([second]), running.submit([third], ahead=True)
    let_go.set()
    for future in (under_way, ahead, behind):
        future.result(60)
    assert scored == ["0", "2", "1"]
    running.close()


def test_answers_come_in_the_order_of_the_jobs() -> None:
    running = inference(lambda batch: [Unscorable(str(each.prompt)) for each in batch])
    answers = running.score(numbered(5))
    assert [answer.reason for answer in answers if isinstance(answer, Rejection)] == ["0", "1", "2", "3", "4"]
    running.close()


def test_provenance_names_the_models() -> None:
    running = inference(good)
    assert running.provenance == MODELS
    running.close()


def test_batches_are_scored_in_the_order_they_come_and_nobody_who_brings_one_waits() -> None:
    started, release = Event(), Event()
    scored: list[int] = []

    def slow(batch: Sequence[Job]) -> Answers:
        started.set()
        assert release.wait(60)
        scored.append(len(batch))
        return good(batch)

    running = inference(slow)
    first = running.submit(numbered(9))
    assert started.wait(60)
    rest = [running.submit(numbered(count)) for count in range(1, 9)]
    release.set()
    assert [len(future.result(60)) for future in (first, *rest)] == [9, *range(1, 9)]
    assert scored == [9, *range(1, 9)]
    running.close()


def test_an_image_that_breaks_the_pass_is_found_and_its_neighbours_are_scored() -> None:
    tries: dict[str, int] = {}
    answers = isolating(failing({"3", "9"}, RuntimeError("bad"), tries), numbered(13))
    broken = [number for number, answer in enumerate(answers) if isinstance(answer, Rejection)]
    assert broken == [3, 9]
    assert isinstance(answers[3], Unscorable)
    assert answers[3].reason == "model_error"
    assert tries["3"] == 2


def test_a_failure_that_passes_costs_no_image() -> None:
    """The second try succeeds."""
    failures = iter([True, False])

    def flaky(batch: Sequence[Job]) -> Answers:
        if next(failures):
            raise RuntimeError
        return good(batch)

    assert isolating(flaky, numbered(1)) == [SCORES]


def test_a_rejection_raised_in_a_batch_stays_with_its_image() -> None:
    answers = isolating(failing({"1"}, Unscorable("odd"), {}), numbered(4))
    assert [isinstance(answer, Unscorable) and answer.reason == "odd" for answer in answers] == [
        False,
        True,
        False,
        False,
    ]


def test_an_errors_message_may_quote_the_input_and_does_not_leave() -> None:
    answers = isolating(failing({"0"}, ValueError("a secret prompt"), {}), numbered(1))
    assert "secret" not in str(answers[0])


def test_a_busy_device_is_not_the_images_fault() -> None:
    """The future raises DependencyDown, and the inference worker goes on."""
    outcomes = iter([DependencyDown("device memory"), None])

    def score(batch: Sequence[Job]) -> Answers:
        if (error := next(outcomes)) is not None:
            raise error
        return good(batch)

    running = inference(score)
    with pytest.raises(DependencyDown):
        running.score(numbered(4))
    assert len(running.score(numbered(4))) == 4
    running.check()
    running.close()


def test_want_of_memory_halves_the_batch() -> None:
    def narrow(batch: Sequence[Job]) -> Answers:
        if len(batch) > 2:
            raise MemoryError
        return good(batch)

    assert isolating(narrow, numbered(7)) == [SCORES] * 7


@pytest.mark.parametrize("first", [MemoryError(), RuntimeError("odd")])
def test_no_memory_for_one_image_is_a_busy_device_and_not_the_images_fault(first: Exception) -> None:
    errors = iter([first, MemoryError()])

    def full(batch: Sequence[Job]) -> Answers:
        del batch
        raise next(errors)

    with pytest.raises(DependencyDown):
        isolating(full, numbered(1))


def test_a_lost_device_ends_the_lane() -> None:
    running = inference(failing({"0"}, DeviceLost("gone"), {}))
    with pytest.raises(DeviceLost, match="gone"):
        running.score(numbered(1))
    with pytest.raises(DeviceLost):
        running.score(numbered(1))
    running.close()
    with pytest.raises(DeviceLost, match="died"):
        running.check()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_nobody_foresaw_ends_the_lane_and_leaves_no_future_open() -> None:
    started, release = Event(), Event()

    def score(_batch: Sequence[Job]) -> Answers:
        started.set()
        assert release.wait(60)
        raise KeyboardInterrupt

    running = inference(score)
    first = running.submit(numbered(1))
    assert started.wait(60)
    second = running.submit(numbered(1))
    release.set()
    for future in (first, second):
        with pytest.raises(DeviceLost, match="died"):
            future.result(60)
    running.close()
    with pytest.raises(DeviceLost, match="died"):
        running.check()


def test_a_pass_that_takes_too_long_means_a_hung_device() -> None:
    """The loop hears of it, and so does everyone who waits; a late answer of the device changes nothing."""
    clock, started, release = Clock(), Event(), Event()
    pulse = PassWatchdog(clock)

    def hanging(batch: Sequence[Job]) -> Answers:
        pulse.beat()
        started.set()
        assert release.wait(60)
        return good(batch)

    running = InferenceWorker(hanging, MODELS, pulse, timeout_s=5)
    futures = [running.submit(numbered(1))]
    assert started.wait(60)
    futures.append(running.submit(numbered(1)))
    clock.now_s = 4.9
    running.check()
    clock.now_s = 5.1
    with pytest.raises(DeviceLost, match="pass_timeout_s"):
        running.check()
    for future in futures:
        with pytest.raises(DeviceLost, match="pass_timeout_s"):
            future.result(0)
    with pytest.raises(DeviceLost):
        running.submit(numbered(1))
    release.set()
    running.close()


def test_closing_a_hung_lane_lets_everyone_go_who_waits() -> None:
    started, release = Event(), Event()

    def hanging(batch: Sequence[Job]) -> Answers:
        started.set()
        assert release.wait(60)
        return good(batch)

    running = inference(hanging)
    futures = [running.submit(numbered(1))]
    assert started.wait(60)
    futures.append(running.submit(numbered(1)))
    running.close(0.01)
    for future in futures:
        with pytest.raises(DeviceLost, match="closed"):
            future.result(0)
    release.set()


def test_idling_is_not_hanging() -> None:
    clock = Clock()
    pulse = PassWatchdog(clock)

    def beating(batch: Sequence[Job]) -> Answers:
        pulse.beat()
        return good(batch)

    running = InferenceWorker(beating, MODELS, pulse, timeout_s=5)
    running.score(numbered(1))
    running.score(numbered(1))
    clock.now_s = 1000
    running.check()
    running.close()


def test_closing_finishes_what_was_submitted() -> None:
    running = inference(good)
    futures = [running.submit(numbered(2)) for _ in range(4)]
    running.close()
    assert [len(future.result(0)) for future in futures] == [2, 2, 2, 2]
    with pytest.raises(DeviceLost):
        running.submit(numbered(1))


def test_who_brings_a_batch_hears_when_its_turn_comes_and_not_before() -> None:
    turns: list[str] = []
    started, release = Event(), Event()

    def slow(batch: Sequence[Job]) -> Answers:
        turns.append("scored")
        started.set()
        assert release.wait(60)
        return good(batch)

    running = inference(slow)
    first = running.submit(numbered(1), lambda: turns.append("first"))
    assert started.wait(60)
    second = running.submit(numbered(1), lambda: turns.append("second"))
    assert turns == ["first", "scored"]
    release.set()
    assert [len(future.result(60)) for future in (first, second)] == [1, 1]
    assert turns == ["first", "scored", "second", "scored"]
    running.close()

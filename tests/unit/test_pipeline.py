"""The road of a batch: one outcome per record, whatever each record does on its way."""

import dataclasses
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
import pytest

from sluice.core.errors import DependencyDown, Poisonous, Rejection, Undecodable, Unfetchable, Unreadable, Unscorable
from sluice.core.records import Message, Partition, Record
from sluice.moderation.pipeline import Clocks, Pipeline, Steps
from sluice.moderation.ports import Began
from sluice.moderation.values import Decision, Job, Judged, Judgement, Picture, Provenance, Rejected, Scores
from sluice.moderation.verdicts import VerdictBuilder
from sluice.stream.batch import Batch, FillReason
from sluice_schemas import Generator, Image, ImageGenerated, Mode, ModelRef, PolicyRef, Status, Technical

T = TypeVar("T")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLACE = Partition("images", 3)


def done(value: T | Exception) -> Future[T]:
    future: Future[T] = Future()
    if isinstance(value, Exception):
        future.set_exception(value)
    else:
        future.set_result(value)
    return future


def decode(record: Record) -> ImageGenerated:
    value = record.value or b""
    if value == b"garbage":
        raise Undecodable("wrong_magic")
    return ImageGenerated(
        image_id=f"id-{record.offset}", created_at=NOW, image=Image(bytes=value), generator=Generator("g"), prompt="a"
    )


def fetch(image: Image) -> Future[bytes]:
    data = image.bytes or b""
    return done(Unfetchable("not_found") if data == b"missing" else data)


def picture(data: bytes) -> Future[Picture]:
    if data == b"broken":
        return done(Unreadable("truncated"))
    if data == b"bug":
        return done(ZeroDivisionError())
    technical = Technical(0.0, 0.0, 0.0, 0.0, 0.0)
    tiles = np.zeros((1, 224, 224, 3), np.uint8)
    return done(Picture(data.hex(), "image/png", 224, 224, 1, tiles, 1.0, technical))


def score(jobs: Sequence[Job], begun: Began) -> Future[list[Scores | Rejection]]:
    def one(job: Job) -> Scores | Rejection:
        if job.picture.sha256 == b"nan".hex():
            return Unscorable("non_finite")
        return Scores((), reference_has_nsfw=False, guard_band_recheck=False, clip=None)

    begun()
    return done([one(job) for job in jobs])


def judge(scores: Scores, event: ImageGenerated, seen: Picture) -> Decision:
    del scores, event, seen
    return Decision(Status.ALLOW, ())


def encode(outcome: Judgement) -> tuple[Message, ...]:
    return (Message("verdicts", b"k", outcome.verdict.image_id.encode()),)


STEPS = Steps(decode=decode, fetch=fetch, picture=picture, score=score, judge=judge, encode=encode)
CLERK = VerdictBuilder(
    policy=PolicyRef("test", 1, "d" * 64),
    provenance=Provenance((ModelRef("safety", "m", "r", "d", "float32"),), "pre"),
    mode=Mode.ENFORCE,
    worker="w",
    max_value_bytes=8,
    include_inline_images=True,
)


def pipeline(steps: Steps = STEPS) -> Pipeline:
    clocks = Clocks(monotonic=lambda: 10.0, now=lambda: NOW)
    return Pipeline(steps, CLERK, clocks, ThreadPoolExecutor(1), lambda *_: None)


def batch(*values: bytes | None) -> Batch:
    records = (Record(PLACE, offset, 0, b"key", value) for offset, value in enumerate(values))
    return Batch(tuple(records), FillReason.COUNT, 9.5)


def test_a_good_record_becomes_a_verdict_and_a_quality_event_of_the_same_image() -> None:
    [outcome] = pipeline().outcomes(batch(b"good"))
    assert isinstance(outcome, Judged)
    assert outcome.verdict.status is Status.ALLOW
    assert outcome.verdict.image_id == outcome.quality.image_id == "id-0"
    assert outcome.quality.verdict_id == outcome.verdict.verdict_id
    assert outcome.verdict.timings_ms.total == 500.0
    assert outcome.messages == (Message("verdicts", b"k", b"id-0"),)


def test_a_stage_lasts_until_the_next_one_begins_and_the_models_when_the_lane_says_so() -> None:
    now_s, seen = [0.0], list[tuple[str, object, dict[str, str]]]()

    def after(seconds: float, answer: T) -> T:
        now_s[0] += seconds
        return answer

    def scoring(jobs: Sequence[Job], begun: Began) -> Future[list[Scores | Rejection]]:
        now_s[0] += 4
        begun()
        return after(8, score(jobs, lambda: None))

    steps = dataclasses.replace(
        STEPS,
        fetch=lambda image: after(1, fetch(image)),
        picture=lambda data: after(2, picture(data)),
        score=scoring,
        judge=lambda *_: after(16, Decision(Status.ALLOW, ())),
    )
    road = dataclasses.replace(
        pipeline(steps),
        clocks=Clocks(lambda: now_s[0], lambda: NOW),
        observe=lambda name, value, labels: seen.append((name, value, dict(labels))),
    )
    [outcome] = road.outcomes(batch(b"good"))
    stages = {"fetch": 3, "decode": 0, "wait": 4, "model": 8, "policy": 16}
    assert seen == [
        *(("sluice.stage.duration", seconds, {"stage": stage}) for stage, seconds in stages.items()),
        ("messaging.process.duration", 31, {"messaging.system": "kafka", "messaging.operation.name": "process"}),
    ]
    timings = outcome.verdict.timings_ms
    assert (timings.fetch, timings.decode, timings.wait, timings.model) == (3000, 0, 4000, 8000)


@pytest.mark.parametrize(
    ("value", "stage", "reason"),
    [
        (b"garbage", "decode_event", "wrong_magic"),
        (b"missing", "fetch", "not_found"),
        (b"broken", "decode_image", "truncated"),
        (b"nan", "score", "non_finite"),
        (b"bug", "score", "internal_error"),
    ],
)
def test_each_failure_is_an_indeterminate_verdict_and_a_dead_letter(value: bytes, stage: str, reason: str) -> None:
    good, bad, also_good = pipeline().outcomes(batch(b"good", value, b"fine"))
    assert isinstance(good, Judged)
    assert isinstance(also_good, Judged)
    assert isinstance(bad, Rejected)
    assert bad.verdict.status is Status.INDETERMINATE
    assert bad.verdict.indeterminate_reason == reason
    assert (bad.dead_letter.error.stage, bad.dead_letter.error.reason) == (stage, reason)
    assert bad.dead_letter.verdict_id == bad.verdict.verdict_id


def test_a_policy_that_cannot_decide_leads_to_a_dead_letter_and_no_quality_event() -> None:
    def undecided(scores: Scores, event: ImageGenerated, seen: Picture) -> Decision:
        del scores, event, seen
        return Decision(Status.INDETERMINATE, ("score_missing",))

    [outcome] = pipeline(dataclasses.replace(STEPS, judge=undecided)).outcomes(batch(b"good"))
    assert isinstance(outcome, Rejected)
    assert outcome.verdict.indeterminate_reason == "score_missing"


def test_a_record_whose_id_cannot_be_read_is_named_by_its_place() -> None:
    [outcome] = pipeline().outcomes(batch(b"garbage"))
    assert outcome.verdict.image_id == "unreadable:images/3/0"


def test_the_same_image_gets_the_same_verdict_id_and_another_policy_another() -> None:
    first, second = pipeline().outcomes(batch(b"good")), pipeline().outcomes(batch(b"good"))
    assert first[0].verdict.verdict_id == second[0].verdict.verdict_id


def test_a_dependency_that_is_down_fails_the_batch_and_not_its_records() -> None:
    def down(image: Image) -> Future[bytes]:
        return done(DependencyDown("store")) if image.bytes == b"far" else fetch(image)

    steps = dataclasses.replace(STEPS, fetch=down)
    with pytest.raises(DependencyDown):
        pipeline(steps).launch(batch(b"good", b"far")).result()


def test_a_dead_letter_carries_the_value_only_up_to_its_limit() -> None:
    [small] = pipeline().outcomes(batch(b"garbage"))
    assert isinstance(small, Rejected)
    assert small.dead_letter.value == b"garbage"
    tight = dataclasses.replace(pipeline(), verdicts=dataclasses.replace(CLERK, max_value_bytes=6))
    [outcome] = tight.outcomes(batch(b"garbage"))
    assert isinstance(outcome, Rejected)
    assert outcome.dead_letter.value is None
    assert outcome.dead_letter.value_size_bytes == 7


def test_an_inline_image_is_not_carried_unless_asked() -> None:
    verdict_builder = dataclasses.replace(CLERK, include_inline_images=False)
    road = dataclasses.replace(pipeline(), verdicts=verdict_builder)
    [outcome] = road.outcomes(batch(b"broken"))
    assert isinstance(outcome, Rejected)
    assert outcome.dead_letter.value is None
    assert outcome.dead_letter.value_sha256


@pytest.mark.parametrize("timestamp_ms", [-1, 253_402_300_800_000, 2**63 - 1])
@pytest.mark.parametrize("value", [b"good", b"garbage"])
def test_a_time_that_no_calendar_holds_is_left_out(timestamp_ms: int, value: bytes) -> None:
    record = dataclasses.replace(batch(value).records[0], timestamp_ms=timestamp_ms)
    [outcome] = pipeline().outcomes(Batch((record,), FillReason.COUNT, 9.5))
    assert isinstance(outcome, Judged if value == b"good" else Rejected)
    assert outcome.verdict.source.timestamp is None


@pytest.mark.parametrize("field", ["image_id", "tenant_id", "request_id", "generator"])
def test_names_too_long_to_be_repeated_are_a_dead_letter_that_does_not_repeat_them(field: str) -> None:
    long = "x" * 20_000
    changes: dict[str, Any] = {field: Generator(long) if field == "generator" else long}
    steps = dataclasses.replace(STEPS, decode=lambda record: dataclasses.replace(decode(record), **changes))
    [outcome] = pipeline(steps).outcomes(batch(b"good"))
    assert isinstance(outcome, Rejected)
    assert (outcome.dead_letter.error.stage, outcome.dead_letter.error.reason) == ("decode_event", "names_too_long")
    assert outcome.verdict.image_id == "unreadable:images/3/0"
    assert long not in repr(outcome.verdict)


def test_a_dead_letter_carries_key_and_headers_only_up_to_its_limit() -> None:
    record = dataclasses.replace(batch(b"garbage").records[0], key=b"k" * 9, headers=(("a", b"b" * 8), ("c", None)))
    [outcome] = pipeline().outcomes(Batch((record,), FillReason.COUNT, 9.5))
    assert isinstance(outcome, Rejected)
    assert outcome.dead_letter.key is None
    assert outcome.dead_letter.headers == ()
    record = dataclasses.replace(record, key=b"k" * 8, headers=(("a", b"b" * 6), ("c", None)))
    [outcome] = pipeline().outcomes(Batch((record,), FillReason.COUNT, 9.5))
    assert isinstance(outcome, Rejected)
    assert outcome.dead_letter.key == b"k" * 8
    assert [(header.key, header.value) for header in outcome.dead_letter.headers] == [("a", b"b" * 6), ("c", None)]


@pytest.mark.parametrize("include", [True, False])
def test_poison_is_rejected_without_a_look_at_it(include: bool) -> None:  # noqa: FBT001
    """Neither its event nor its picture is read, and what may hold a picture is carried only where pictures are."""

    def deadly(record: Record) -> ImageGenerated:
        raise AssertionError(f"looked into {record.offset}")

    road = pipeline(dataclasses.replace(STEPS, decode=deadly))
    road = dataclasses.replace(road, verdicts=dataclasses.replace(CLERK, include_inline_images=include))
    condemned = dataclasses.replace(batch(b"good"), reason=FillReason.ALONE, rejection=Poisonous(4, 2))
    [outcome] = road.outcomes(condemned)
    assert isinstance(outcome, Rejected)
    assert (outcome.verdict.status, outcome.verdict.indeterminate_reason) == (Status.INDETERMINATE, "poison")
    assert outcome.verdict.image_id == "unreadable:images/3/0"
    letter = outcome.dead_letter
    assert (letter.error.stage, letter.error.reason, letter.attempts) == ("poison", "poison", 4)
    assert letter.value == (b"good" if include else None)
    assert letter.value_size_bytes == 4

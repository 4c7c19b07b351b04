"""The trace of one image on its road: which spans there are, of whom they are children, and how long each lasts."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from time import monotonic
from typing import Any

import numpy as np
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace import StatusCode

from sluice.core.errors import DependencyDown, Rejection, Unfetchable, Unscorable
from sluice.core.records import Message, Partition, Record
from sluice.moderation.pipeline import Clocks, Pipeline, Steps
from sluice.moderation.ports import Began
from sluice.moderation.values import Decision, Job, Judgement, Picture, Provenance, Scores
from sluice.moderation.verdicts import VerdictBuilder
from sluice.stream.batch import Batch, FillReason
from sluice_schemas import Generator, Image, ImageGenerated, Mode, ModelRef, PolicyRef, Status, Technical
from tests.support.recorded import Recorded, id_of, recording

TRACE, ORIGIN = "a" * 32, "b" * 16
SAMPLED, UNSAMPLED = f"00-{TRACE}-{ORIGIN}-01".encode(), f"00-{'c' * 32}-{ORIGIN}-00".encode()
PLACE = Partition("images", 3)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PICTURE = Picture(
    "0" * 64, "image/png", 1, 1, 1, np.zeros((1, 1, 1, 3), np.uint8), 1.0, Technical(0.0, 0.0, 0.0, 0.0, 0.0)
)
CLERK = VerdictBuilder(
    PolicyRef("test", 1, "d" * 64),
    Provenance((ModelRef("safety", "m", "r", "d", "float32"),), "pre"),
    Mode.ENFORCE,
    "w",
    max_value_bytes=8,
    include_inline_images=True,
)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    with recording(monkeypatch) as spans:
        yield spans


@pytest.fixture
def elsewhere() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


def decode(record: Record) -> ImageGenerated:
    return ImageGenerated(
        image_id=f"id-{record.offset}", created_at=NOW, image=Image(bytes=b"image"), generator=Generator("g")
    )


def encode(outcome: Judgement) -> tuple[Message, ...]:
    context = [header for header in outcome.record.headers if header[0] == "traceparent"]
    return (
        Message("verdicts", b"k", outcome.verdict.image_id.encode(), (("ce_id", b"1"), *context)),
        Message("quality", b"k", b"q", tuple(context)),
    )


def scored(jobs: Sequence[Job], begun: Began) -> list[Scores | Rejection]:
    begun()
    return [Scores((), reference_has_nsfw=False, guard_band_recheck=False, clip=None) for _ in jobs]


Make = Callable[..., Pipeline]


@pytest.fixture
def road(elsewhere: ThreadPoolExecutor) -> Make:
    """Return what makes a road whose fetching, decoding and scoring happen in another thread."""

    def make(*, traced: bool = True, **steps: Any) -> Pipeline:
        sound = Steps(
            decode=decode,
            fetch=lambda image: elsewhere.submit(lambda: image.bytes or b""),
            picture=lambda _: elsewhere.submit(lambda: PICTURE),
            score=lambda jobs, begun: elsewhere.submit(scored, jobs, begun),
            judge=lambda *_: Decision(Status.ALLOW, ()),
            encode=encode,
        )
        clocks = Clocks(monotonic, lambda: datetime.now(UTC))
        return Pipeline(replace(sound, **steps), CLERK, clocks, elsewhere, lambda *_: None, traced=traced)

    return make


def batch(*contexts: bytes) -> Batch:
    """Return a batch of records that were sent under these contexts."""
    records = (
        Record(PLACE, offset, 0, b"key", b"v", (("x", b"y"), ("traceparent", context), ("tracestate", b"v=hidden")))
        for offset, context in enumerate(contexts)
    )
    return Batch(tuple(records), FillReason.COUNT, 0.0)


def image_of(recorded: Recorded) -> ReadableSpan:
    """Return the `process` span that continues the producer's trace."""
    (span,) = (span for span in recorded.named("process images") if span.parent)
    return span


def said(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_an_image_whose_trace_is_sampled_continues_it_with_a_span_and_its_stages_in_order(
    road: Make, recorded: Recorded
) -> None:
    (outcome,) = road().outcomes(batch(SAMPLED))
    image = image_of(recorded)
    (whole,) = (span for span in recorded.named("process images") if not span.parent)
    assert image.parent
    assert (f"{image.parent.trace_id:x}", f"{image.parent.span_id:x}") == (TRACE, ORIGIN)
    assert [link.context.span_id for link in image.links] == [id_of(whole)]
    stages = recorded.under(image)
    assert [stage.name for stage in stages] == ["fetch", "decode", "wait", "model", "policy"]
    times = [time or 0 for stage in stages for time in (stage.start_time, stage.end_time)]
    assert [image.start_time or 0, *times, image.end_time or 0] == sorted(
        [image.start_time or 0, *times, image.end_time or 0]
    )
    assert said(image) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "images",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 0,
        "sluice.verdict.id": str(outcome.verdict.verdict_id),
        "sluice.verdict.status": "ALLOW",
    }


def test_a_stage_lasts_until_its_future_is_done_not_until_somebody_looks(road: Make, recorded: Recorded) -> None:
    slow: Future[bytes] = Future()
    ended: list[int] = []

    def fetch(image: Image) -> Future[bytes]:
        del image
        number = next(numbers)
        if number == 2:  # the first is still under way, the second done
            ended.append(len(recorded.named("fetch")))
            slow.set_result(b"")
        return done(b"") if number else slow

    numbers = count()
    road(fetch=fetch).outcomes(batch(SAMPLED, SAMPLED, SAMPLED))
    assert ended == [1]


def done(data: bytes) -> Future[bytes]:
    future: Future[bytes] = Future()
    future.set_result(data)
    return future


def test_what_is_published_for_a_traced_image_names_its_span_and_all_else_what_it_came_with(
    road: Make, recorded: Recorded
) -> None:
    traced, untraced = road().outcomes(batch(SAMPLED, UNSAMPLED))
    context = f"00-{TRACE}-{id_of(image_of(recorded)):016x}-01".encode()
    assert [dict(message.headers)["traceparent"] for message in traced.messages] == [context, context]
    assert [message.traced for message in traced.messages] == [True, True]
    assert untraced.messages == encode(untraced)


@pytest.mark.parametrize("context", [UNSAMPLED, b"", b"1", b"00-" + b"z" * 32 + b"-" + b"b" * 16 + b"-01", b"\xff1"])
def test_any_other_image_has_no_span_of_its_own(road: Make, recorded: Recorded, context: bytes) -> None:
    (outcome,) = road().outcomes(batch(context))
    assert [span.name for span in recorded] == ["process images"]
    assert outcome.messages == encode(outcome)


def test_nor_has_one_whose_producer_does_not_record_it_though_we_record_all_else(
    road: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording(monkeypatch, ALWAYS_ON) as recorded:
        road().outcomes(batch(UNSAMPLED))
        assert [span.name for span in recorded] == ["process images"]


def test_nor_has_one_when_they_are_not_wanted_or_our_own_sampler_refuses(
    road: Make, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    (outcome,) = road(traced=False).outcomes(batch(SAMPLED))
    assert [span.name for span in recorded] == ["process images"]
    assert outcome.messages == encode(outcome)
    with recording(monkeypatch, ALWAYS_OFF) as none:
        (outcome,) = road().outcomes(batch(SAMPLED))
    assert list(none) == []
    assert outcome.messages == encode(outcome)


def test_of_a_rejected_image_the_span_says_the_reason(road: Make, recorded: Recorded) -> None:
    missing: Future[bytes] = Future()
    missing.set_exception(Unfetchable("not_found", "hidden"))
    road(fetch=lambda _: missing).outcomes(batch(SAMPLED))
    image = image_of(recorded)
    fetch, policy = recorded.under(image)
    assert (fetch.name, policy.name) == ("fetch", "policy")
    assert said(image)["error.type"] == said(fetch)["error.type"] == "not_found"
    assert said(image)["sluice.verdict.status"] == "INDETERMINATE"
    assert policy.status.status_code is StatusCode.UNSET
    assert all("hidden" not in span.to_json() for span in recorded)


def test_what_a_step_refuses_at_once_is_blamed_on_it(road: Make, recorded: Recorded) -> None:
    def refuse(_: Image) -> Future[bytes]:
        raise Unfetchable("forbidden")

    road(fetch=refuse).outcomes(batch(SAMPLED))
    assert said(recorded.named("fetch")[0])["error.type"] == "forbidden"


def test_a_picture_the_models_refuse_is_no_error_of_its_neighbours(road: Make, recorded: Recorded) -> None:
    def score(jobs: Sequence[Job], begun: Began) -> Future[list[Scores | Rejection]]:
        future: Future[list[Scores | Rejection]] = Future()
        future.set_result([Unscorable("non_finite"), *scored(jobs[1:], begun)])
        return future

    road(score=score).outcomes(batch(SAMPLED, SAMPLED))
    first, second = (span for span in recorded.named("process images") if span.parent)
    assert said(first)["error.type"] == "non_finite"
    assert "error.type" not in said(second)


@pytest.mark.parametrize("at", ["fetch", "picture", "score"])
def test_a_dependency_that_is_down_ends_every_span_and_the_next_try_is_another_one(
    road: Make, recorded: Recorded, at: str
) -> None:
    down: Future[Any] = Future()
    down.set_exception(DependencyDown("store", "hidden"))
    with pytest.raises(DependencyDown):
        road(**{at: lambda *_: down}).outcomes(batch(SAMPLED))
    road().outcomes(batch(SAMPLED))
    failed, done = (span for span in recorded.named("process images") if span.parent)
    assert said(failed)["error.type"] == "DependencyDown"
    assert said(recorded.under(failed)[-1])["error.type"] == "DependencyDown"
    assert done.status.status_code is StatusCode.UNSET
    assert len(recorded.under(done)) == 5
    stage = {"fetch": "fetch", "picture": "decode", "score": "model"}[at]
    assert recorded.under(failed)[-1].name == stage


def test_every_span_ends_once(road: Make, recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    del recorded
    road().outcomes(batch(SAMPLED, SAMPLED, UNSAMPLED))
    assert caplog.messages == []

"""Spans of batches, polls and landings, as an exporter gets them; `test_image_spans` has those of one image."""

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pytest
from confluent_kafka import Producer
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from sluice.core.errors import DependencyDown, TransactionAborted
from sluice.core.records import Message, Partition, Record
from sluice.kafka.committer import KafkaCommitter
from sluice.moderation import image_tracing
from sluice.stream import tracing
from sluice.stream.batch import Batch, FillReason
from tests.support.recorded import Recorded, id_of, recording
from tests.support.scripted_kafka import ABORTABLE, Script, ScriptedProducer

PARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
BATCH = Batch(
    (
        Record(Partition("images", 3), 7, 0, b"k", b"v", (("traceparent", PARENT.encode()), ("baggage", b"hidden"))),
        Record(Partition("images", 3), 8, 0, b"k", b"v", (("traceparent", b"hidden"),)),
    ),
    FillReason.COUNT,
    0.0,
)
HEADERS = (("ce_id", b"1"), ("traceparent", PARENT.encode()), ("tracestate", b"vendor=hidden"))
TRACED = Message("verdicts", b"k", b"traced", HEADERS, traced=True)
PLAIN = Message("verdicts", b"k", b"plain", HEADERS)
OFFSETS = {Partition("images", 0): 7}


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    with recording(monkeypatch) as spans_:
        yield spans_


def test_a_batch_is_one_span_with_a_link_to_each_record_that_has_a_context(recorded: Recorded) -> None:
    with tracing.process_span(BATCH):
        pass
    (span,) = recorded
    assert (span.name, span.status.status_code) == ("process images", StatusCode.UNSET)
    (link,) = span.links
    assert f"{link.context.trace_id:x}" == "a" * 32
    assert dict(link.attributes or {}) == {"messaging.destination.partition.id": "3", "messaging.kafka.offset": 7}


class Unread(tuple[tuple[str, bytes], ...]):
    __slots__ = ()

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        raise AssertionError("read in vain")


def test_trace_contexts_are_read_only_for_a_span_that_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    unread = replace(BATCH, records=tuple(replace(record, headers=Unread()) for record in BATCH.records))
    with recording(monkeypatch, ALWAYS_OFF), tracing.process_span(unread) as span:
        assert not span.is_recording()
        with image_tracing.image_spans(unread, span, wanted=False) as images:
            assert images == [None, None]


def test_of_an_error_a_span_has_the_class_and_nothing_it_says(recorded: Recorded) -> None:
    with pytest.raises(DependencyDown), tracing.process_span(BATCH):
        fail()
    (span,) = recorded
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "DependencyDown"
    assert "hidden" not in span.to_json()


def fail() -> None:
    raise DependencyDown("http://store", "hidden") from ValueError("illegal header line: hidden")


def test_a_poll_lasts_from_its_beginning_until_its_records_are_there(recorded: Recorded) -> None:
    tracing.poll_span("images", 5, began_ns=1)
    (span,) = recorded
    assert (span.name, span.kind, span.start_time) == ("poll images", SpanKind.CLIENT, 1)
    assert (span.end_time or 0) > 1
    assert (span.attributes or {})["messaging.batch.message_count"] == 5


def test_a_landing_sends_each_message_of_a_traced_image_under_a_span_of_its_own(recorded: Recorded) -> None:
    with tracing.commit_spans([PLAIN, TRACED], OFFSETS) as (plain, traced):
        assert plain == PLAIN
    (commit,), (send,) = recorded.named("commit images"), recorded.named("send verdicts")
    assert (commit.kind, commit.parent, send.kind) == (SpanKind.CLIENT, None, SpanKind.PRODUCER)
    assert send.parent
    assert f"{send.parent.trace_id:x}-{send.parent.span_id:x}" == "a" * 32 + "-" + "b" * 16
    assert [link.context.span_id for link in send.links] == [id_of(commit)]
    assert dict(traced.headers)["traceparent"] == f"00-{'a' * 32}-{id_of(send):016x}-01".encode()
    assert replace(traced, headers=()) == replace(TRACED, headers=())
    assert set(traced.headers) - set(TRACED.headers) == {("traceparent", dict(traced.headers)["traceparent"])}
    assert all("hidden" not in span.to_json() for span in recorded), "a stranger's trace state is on a span"


class Keeping(ScriptedProducer):
    """Keeps what it is given to publish."""

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self.values: list[object] = []
        self.contexts: list[bytes] = []

    def produce(self, *said: object, **more: object) -> None:
        _topic, value, _key = said
        self.values.append(value)
        self.contexts.append(dict(more["headers"])["traceparent"])  # type: ignore[call-overload]  # as the client's
        super().produce(*said, **more)  # type: ignore[arg-type]  # likewise


def test_a_landing_that_was_aborted_is_sent_again_under_new_spans_and_says_the_same(recorded: Recorded) -> None:
    script = Script()
    producer = Keeping(script)
    committer = KafkaCommitter(
        lambda _: cast(Producer, producer), timeout_s=15.0, clock=lambda: 0.0, observe=lambda *_: None
    )
    script.plan("offsets", ABORTABLE)
    with pytest.raises(TransactionAborted):
        committer.commit([TRACED], OFFSETS, object())
    committer.commit([TRACED], OFFSETS, object())
    assert producer.values == [b"traced", b"traced"]
    first, second = recorded.named("send verdicts")
    assert producer.contexts == [f"00-{'a' * 32}-{id_of(span):016x}-01".encode() for span in (first, second)]
    for name in ("commit images", "send verdicts"):
        failed, landed = recorded.named(name)
        assert (failed.attributes or {})["error.type"] == "TransactionAborted"
        assert (failed.status.status_code, landed.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)

"""Bytes become events and outcomes become messages; what cannot be read says why, what cannot be asked waits."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from sluice.core.errors import DependencyDown, Undecodable
from sluice.core.log_events import trace_id
from sluice.core.records import Partition, Record
from sluice.kafka.codec import Codec, cause_of, framing_of
from sluice.settings import Registry, Topics
from sluice.stream.tracing import _origin
from sluice_schemas import (
    CloudEvent,
    DeadLetter,
    Framing,
    Generator,
    Headers,
    Image,
    ImageGenerated,
    Quality,
    RegistryDown,
    RegistryRefused,
    SingleObjectFraming,
    Trace,
    Verdict,
    WireError,
    decode,
    encode,
    read_cloud_event,
    unreadable_image_id,
)
from sluice_schemas.primitives import write_text
from sluice_schemas.wire import encode_body
from tests.support.outcomes import judged, rejected

EVENT = ImageGenerated(
    image_id="image-1",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    image=Image(uri="https://img.example.com/1.png"),
    generator=Generator("g"),
)
TRACE = Trace(traceparent=f"00-{'1' * 32}-{'2' * 16}-01", tracestate="vendor=1")
CODEC = Codec(SingleObjectFraming(), Topics(), "/sluice/test", max_event_bytes=1000)


class Broken:
    """A framing whose registry is not to be had."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def encode(self, topic: str, value: Any) -> Any:
        del topic, value
        raise self.error

    def decode(self, topic: str, data: bytes | None, headers: Any, expected_type: Any) -> Any:
        del topic, data, headers, expected_type
        raise self.error

    read = decode


def record(value: bytes | None, *, key: bytes | None = b"k", sent_as: CloudEvent | None = None) -> Record:
    return Record(Partition("images", 3), 42, 1000, key, value, sent_as.headers() if sent_as else ())


def test_an_event_is_read_as_it_was_written() -> None:
    assert CODEC.decode(record(encode(EVENT))) == EVENT


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"{}", "wrong_magic"),
        (b"\xc3\x01" + bytes(8), "unknown_fingerprint"),
        (encode(EVENT)[:-1], "malformed"),
        (encode(EVENT) + b"x", "trailing_bytes"),
        (bytes(1001), "too_large"),
    ],
)
def test_what_is_not_an_event_says_why(value: bytes | None, reason: str) -> None:
    with pytest.raises(Undecodable) as refused:
        CODEC.decode(record(value))
    assert refused.value.reason == reason


@pytest.mark.parametrize("error", [RegistryDown("no answer"), RegistryRefused(401, 0, "who are you")])
def test_a_registry_that_cannot_be_asked_makes_the_record_wait(error: Exception) -> None:
    framing: Framing = Broken(error)
    codec = replace(CODEC, framing=framing)
    with pytest.raises(DependencyDown, match="schema registry"):
        codec.decode(record(encode(EVENT)))
    with pytest.raises(DependencyDown, match="schema registry"):
        codec.encode(judged(record(b"")))


def test_a_judged_record_becomes_a_verdict_and_a_quality_event() -> None:
    outcome = judged(record(b""))
    verdict, quality = CODEC.encode(outcome)
    assert (verdict.topic, quality.topic) == ("images.verdicts.v1", "images.quality.v1")
    assert verdict.key == quality.key == outcome.verdict.image_id.encode()
    assert decode(verdict.value, Verdict) == outcome.verdict
    assert decode(quality.value, Quality) == outcome.quality


def test_a_rejected_record_becomes_a_verdict_and_a_dead_letter() -> None:
    outcome = rejected(record(b""))
    verdict, letter = CODEC.encode(outcome)
    assert (verdict.topic, letter.topic) == ("images.verdicts.v1", "images.deadletter.v1")
    assert decode(letter.value, DeadLetter) == outcome.dead_letter
    assert letter.key == verdict.key


@pytest.mark.parametrize(("key", "expected"), [(b"source key", b"source key"), (None, b"unreadable:images/3/42")])
def test_the_dead_letter_of_an_unreadable_record_keeps_the_source_key(key: bytes | None, expected: bytes) -> None:
    outcome = rejected(record(b"?", key=key))
    verdict = replace(outcome.verdict, image_id=unreadable_image_id("images", 3, 42))
    messages = CODEC.encode(replace(outcome, verdict=verdict))
    assert [message.key for message in messages] == [b"unreadable:images/3/42", expected]


def test_what_goes_out_names_the_event_that_led_to_it_and_passes_its_trace_on() -> None:
    sent_as = CloudEvent.of(EVENT, source="/generator", trace=TRACE)
    for message in CODEC.encode(judged(record(b"", sent_as=sent_as))):
        headers = read_cloud_event(message.headers)
        assert headers is not None
        assert headers.causation_id == sent_as.id
        assert headers.trace == TRACE
        assert headers.source == "/sluice/test"
        assert ("content-type", b"application/avro") in message.headers


def test_a_record_without_an_id_is_named_by_its_place() -> None:
    assert cause_of(record(b"")).id == "images/3/42"


OTHER = f"00-{'3' * 32}-{'4' * 16}-01"


@pytest.mark.parametrize(
    "parents",
    [
        (OTHER, TRACE.traceparent),
        (OTHER, TRACE.traceparent, None, "ff" + OTHER[2:], f"00-{'0' * 32}-{'4' * 16}-01", OTHER + "-more"),
    ],
)
def test_log_span_and_outputs_name_the_last_valid_trace_of_a_record(parents: tuple[str | None, ...]) -> None:
    headers = tuple(("traceparent", None if parent is None else parent.encode()) for parent in parents)
    told = replace(record(b""), headers=headers)
    context = _origin(told.headers)
    assert trace_id(told.headers) == f"{context.trace_id:032x}" == "1" * 32
    assert context.trace_flags.sampled
    for message in CODEC.encode(judged(told)):
        assert dict(message.headers)["traceparent"] == TRACE.traceparent.encode()


@pytest.mark.parametrize("parent", [f"00-{'0' * 32}-{'4' * 16}-01", f"00-{'3' * 32}-{'0' * 16}-01", "ff" + OTHER[2:]])
def test_log_span_and_outputs_agree_that_a_record_has_no_trace(parent: str) -> None:
    told = replace(record(b""), headers=(("traceparent", parent.encode()),))
    assert (trace_id(told.headers), _origin(told.headers).is_valid) == (None, False)
    assert all("traceparent" not in dict(message.headers) for message in CODEC.encode(judged(told)))


@pytest.mark.parametrize("headers", [(("ce_id", b"e"),), (("ce_id", b"e"), ("ce_time", b"never"), ("ce_id", None))])
def test_an_events_id_is_named_as_the_cause_without_its_optional_time(headers: Headers) -> None:
    assert cause_of(replace(record(b""), headers=headers)).id == "e"


@pytest.mark.parametrize(
    "image_id", ["", " ", "\t", "unreadable:", "unreadable:images/3/42", "a\0", "\x1b[31m", "a\x85"]
)
def test_an_id_that_names_no_image_is_refused_with_its_reason(image_id: str) -> None:
    """Whoever writes the bytes: our own class refuses the id when the event is made, too."""
    value = encode_body(EVENT, prefix=encode(EVENT)[:10])
    own, forged = write_text(EVENT.image_id), write_text(image_id)
    with pytest.raises(Undecodable) as refused:
        CODEC.decode(record(value.replace(own, forged, 1)))
    assert refused.value.reason == "bad_image_id"
    with pytest.raises(WireError, match="bad_image_id: the image_id") as made:
        replace(EVENT, image_id=image_id)
    assert "\x1b" not in str(made.value)


@pytest.mark.parametrize(
    "image_id", ["a", "unreadable", "Unreadable:1", " a", "\u202fa", "x" * 10_000, "\u200d", "a/b:c%"]
)
def test_any_other_text_names_an_image(image_id: str) -> None:
    event = replace(EVENT, image_id=image_id)
    assert replace(CODEC, max_event_bytes=100_000).decode(record(encode(event))) == event


def test_without_a_registry_events_are_single_objects() -> None:
    assert isinstance(framing_of(Registry(), Topics()), SingleObjectFraming)


def test_a_registry_that_does_not_answer_at_the_start_is_a_dependency_that_is_down() -> None:
    with pytest.raises(DependencyDown, match="schema registry"):
        framing_of(Registry(url="http://127.0.0.1:1"), Topics())

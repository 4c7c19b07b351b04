"""Bytes become events and outcomes become messages; what cannot be read says why, what cannot be asked waits."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from sluice.bus.codec import Codec, cause_of, framing_of
from sluice.core.domain import Partition, Record
from sluice.core.errors import DependencyDown, Undecodable
from sluice.settings import Registry, Topics
from sluice_schemas import (
    CloudEvent,
    DeadLetter,
    Framing,
    Generator,
    Image,
    ImageGenerated,
    Quality,
    RegistryDown,
    RegistryRefused,
    SingleObjectFraming,
    Trace,
    Verdict,
    decode,
    encode,
    read_cloud_event,
    unreadable_image_id,
)
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


def test_without_a_registry_events_are_single_objects() -> None:
    assert isinstance(framing_of(Registry(), Topics()), SingleObjectFraming)


def test_a_registry_that_does_not_answer_at_the_start_is_a_dependency_that_is_down() -> None:
    with pytest.raises(DependencyDown, match="schema registry"):
        framing_of(Registry(url="http://127.0.0.1:1"), Topics())

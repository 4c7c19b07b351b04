"""CloudEvents and trace headers, written and read back."""

from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_schemas import CloudEvent, Trace, read_cloud_event, read_trace
from tests.unit.schemas_strategies import NOON, PROPERTY, VERDICT, any_event

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE = Trace(traceparent=PARENT, tracestate="vendor=1")


def test_a_verdict_has_the_headers_of_the_contract() -> None:
    event = CloudEvent.of(VERDICT, source="/sluice/one", causation_id="cause", trace=TRACE)
    assert dict(event.headers()) == {
        "content-type": b"application/avro",
        "ce_specversion": b"1.0",
        "ce_id": f"Verdict:{VERDICT.verdict_id}".encode(),
        "ce_source": b"/sluice/one",
        "ce_type": b"io.sluice.Verdict.v1",
        "ce_time": b"2026-01-02T12:00:00Z",
        "ce_subject": b"i",
        "ce_causationid": b"cause",
        "traceparent": PARENT.encode(),
        "tracestate": b"vendor=1",
    }


@PROPERTY
@given(any_event(), st.none() | st.just(TRACE), st.none() | st.text(st.characters(exclude_categories=["Cs"])))
def test_headers_are_read_back_as_they_were_written(event: Any, trace: Trace | None, cause: str | None) -> None:
    written = CloudEvent.of(event, source="/s", trace=trace, causation_id=cause)
    assert read_cloud_event(written.headers()) == written
    assert read_trace(written.headers()) == trace


def test_what_is_absent_has_no_header() -> None:
    names = dict(CloudEvent.of(VERDICT, source="/s").headers()).keys()
    assert not names & {"ce_causationid", "traceparent", "tracestate"}


def test_times_are_written_in_utc() -> None:
    local = NOON.astimezone(timezone(timedelta(hours=2)))
    event = CloudEvent(id="i", source="/s", type="t", time=local, subject="")
    assert dict(event.headers())["ce_time"] == b"2026-01-02T12:00:00Z"


GOOD = CloudEvent.of(VERDICT, source="/s").headers()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_specversion", b"0.3"),
        ("ce_specversion", None),
        ("ce_time", b"yesterday"),
        ("ce_time", b"2026-01-02T12:00:00"),
        ("ce_time", b"0001-01-01T00:00:00+23:00"),
        ("ce_time", b"\xff"),
        ("ce_id", None),
    ],
)
def test_headers_that_break_the_specification_are_no_event(name: str, value: bytes | None) -> None:
    altered = [(n, v) for n, v in GOOD if n != name] + [(name, value)]
    assert read_cloud_event(GOOD) is not None
    assert read_cloud_event(altered) is None


@PROPERTY
@given(st.lists(st.tuples(st.sampled_from([name for name, _ in GOOD] + ["traceparent"]), st.none() | st.binary())))
def test_no_headers_raise(headers: list[tuple[str, bytes | None]]) -> None:
    read_cloud_event(headers)
    read_trace(headers)


def test_of_repeated_headers_the_last_counts() -> None:
    event = read_cloud_event((*GOOD, ("ce_source", b"/other")))
    assert event is not None
    assert event.source == "/other"


@pytest.mark.parametrize("parent", [b"", b"00-xyz", PARENT.encode()[:-1], b"ff" + PARENT.encode()[2:]])
def test_an_invalid_traceparent_is_no_trace(parent: bytes) -> None:
    assert read_trace([("traceparent", parent), ("tracestate", b"vendor=1")]) is None


def test_what_is_too_long_to_be_passed_on_is_as_if_it_were_absent() -> None:
    headers = dict(CloudEvent.of(VERDICT, source="/s", trace=TRACE).headers())
    assert read_cloud_event((headers | {"ce_id": b"x" * 65_537}).items()) is None
    assert read_trace((headers | {"traceparent": PARENT.encode() + b"-" + b"x" * 65_536}).items()) is None


def test_a_tracestate_beyond_the_limit_is_dropped_and_the_trace_kept() -> None:
    trace = read_trace([("traceparent", PARENT.encode()), ("tracestate", b"v=" + b"1" * 511)])
    assert trace == Trace(traceparent=PARENT)

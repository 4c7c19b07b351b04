"""CloudEvents and trace headers, written and read back."""

from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_schemas import CloudEvent, Trace, read_cloud_event, read_event_id, read_trace
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


PLAIN = PARENT.encode()
INVALID = (
    None,
    b"",
    b"00-xyz",
    PLAIN[:-1],
    PLAIN.upper(),
    b" " + PLAIN,
    PLAIN + b"\n",
    b"ff" + PLAIN[2:],
    b"FF" + PLAIN[2:],
    b"00-" + b"0" * 32 + PLAIN[35:],
    PLAIN[:36] + b"0" * 16 + PLAIN[52:],
    PLAIN + b"-more",  # version 00 has four fields
    PLAIN + b"-",
    b"01" + PLAIN[2:] + b"more",
    b"\xff" + PLAIN,
)


@pytest.mark.parametrize("parent", INVALID)
def test_an_invalid_traceparent_is_no_trace_and_hides_no_other(parent: bytes | None) -> None:
    invalid, state = ("traceparent", parent), ("tracestate", b"vendor=1")
    assert read_trace([invalid, state]) is None
    assert read_trace([invalid, ("traceparent", PLAIN), state]) == read_trace([("traceparent", PLAIN), invalid, state])
    assert read_trace([invalid, ("traceparent", PLAIN), invalid, state]) == TRACE


def test_of_several_traces_the_last_valid_one_counts() -> None:
    other = PARENT.replace("4bf9", "aaaa")
    headers = [("traceparent", PLAIN), ("Traceparent", b"x"), ("traceparent", other.encode()), ("traceparent", None)]
    assert read_trace(headers) == Trace(traceparent=other)
    assert read_trace(headers[::-1]) == Trace(traceparent=PARENT)


@pytest.mark.parametrize(("more", "flags"), [(b"", b"01"), (b"-what-ever", b"01"), (b"-", b"ff"), (b"-\xff", b"03")])
def test_a_later_version_is_read_as_far_as_it_is_known_and_passed_on_so(more: bytes, flags: bytes) -> None:
    later = b"01" + PLAIN[2:-2] + flags + more
    assert read_trace([("traceparent", later)]) == Trace(traceparent=PARENT)


def test_a_trace_says_its_parts() -> None:
    assert (TRACE.trace_id, TRACE.span_id, TRACE.flags, TRACE.sampled) == (PARENT[3:35], PARENT[36:52], 1, True)
    assert not Trace(traceparent=PARENT[:-2] + "02").sampled


@pytest.mark.parametrize("state", [b"", b"v=\xff", b"v=1\n", b"v=" + b"1" * 511, None])
def test_of_several_trace_states_the_last_valid_one_counts(state: bytes | None) -> None:
    parent = ("traceparent", PLAIN)
    assert read_trace([parent, ("tracestate", state)]) == Trace(traceparent=PARENT)
    assert read_trace([parent, ("tracestate", b"vendor=1"), ("tracestate", state)]) == TRACE


@pytest.mark.parametrize("time", [None, b"", b"yesterday", b"\xff", b"2026-01-02T12:00:00"])
def test_the_id_of_an_event_counts_whatever_its_time_says(time: bytes | None) -> None:
    headers = [*((n, v) for n, v in GOOD if n != "ce_time"), ("ce_time", time)]
    assert read_event_id(headers) == f"Verdict:{VERDICT.verdict_id}"


def test_time_and_subject_are_optional() -> None:
    event = read_cloud_event((n, v) for n, v in GOOD if n not in ("ce_time", "ce_subject"))
    assert event is not None
    assert (event.time, event.subject) == (None, "")
    assert "ce_time" not in dict(event.headers())


@pytest.mark.parametrize("broken", [None, b"", b"\xff", b"x" * 65_537])
def test_of_several_ids_the_last_that_is_text_counts(broken: bytes | None) -> None:
    assert read_event_id([("ce_id", b"a"), ("ce_id", b"b"), ("ce_id", broken), ("CE_ID", b"c")]) == "b"
    assert read_event_id([("ce_id", broken)]) is None


def test_what_is_too_long_to_be_passed_on_is_as_if_it_were_absent() -> None:
    headers = dict(CloudEvent.of(VERDICT, source="/s", trace=TRACE).headers())
    assert read_cloud_event((headers | {"ce_id": b"x" * 65_537}).items()) is None
    assert read_trace((headers | {"traceparent": PARENT.encode() + b"-" + b"x" * 65_536}).items()) is None


def test_a_tracestate_beyond_the_limit_is_dropped_and_the_trace_kept() -> None:
    trace = read_trace([("traceparent", PARENT.encode()), ("tracestate", b"v=" + b"1" * 511)])
    assert trace == Trace(traceparent=PARENT)

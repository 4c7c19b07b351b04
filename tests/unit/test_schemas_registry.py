"""The registry client and Confluent framing at their edges: bytes, caches, and a registry that misbehaves."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import pytest

from sluice_schemas import (
    Framing,
    Quality,
    RegistryDown,
    RegistryRefused,
    SingleObjectFraming,
    Verdict,
    WireError,
    encode,
)
from sluice_schemas.registry import ConfluentFraming, Registry, connect
from tests.contract.fake_registry import FakeRegistry
from tests.unit.schemas_strategies import VERDICT

BODY = encode(VERDICT)[10:]


def framing(fake: FakeRegistry, **options: Any) -> ConfluentFraming:
    """Return a framing on a fake registry."""
    return ConfluentFraming(Registry(fake.client()), **options)


def reason(call: Callable[[], Any]) -> str:
    """Why the call refuses its bytes."""
    with pytest.raises(WireError) as caught:
        call()
    return caught.value.reason


def test_the_id_goes_before_the_body_after_a_zero_byte() -> None:
    data, headers = framing(FakeRegistry(), auto_register=True).encode("t", VERDICT)
    assert (data, headers) == (b"\0\0\0\0\1" + BODY, ())


def test_the_guid_goes_into_a_header_after_a_one_byte_and_the_body_stands_alone() -> None:
    fake = FakeRegistry()
    data, headers = framing(fake, auto_register=True, guid_header=True).encode("t", VERDICT)
    guid = UUID(fake._known(next(iter(fake.ids)))["guid"])
    assert (data, headers) == (BODY, (("__value_schema_id", b"\1" + guid.bytes),))
    assert framing(fake).decode("t", data, headers, Verdict) == VERDICT


def test_an_id_in_the_header_is_read_too() -> None:
    fake = FakeRegistry()
    framing(fake, auto_register=True).encode("t", VERDICT)
    headers = [("other", None), ("__value_schema_id", b"\0\0\0\0\1")]
    assert framing(fake).decode("t", BODY, headers, Verdict) == VERDICT


def test_a_registry_without_guids_cannot_write_them() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"id": 7})

    with pytest.raises(RegistryRefused, match="no GUIDs"):
        framing(FakeRegistry(failure=answer), guid_header=True).encode("t", VERDICT)


@pytest.mark.parametrize("make", [SingleObjectFraming, lambda: framing(FakeRegistry())])
def test_every_reader_takes_single_object_encoding(make: Callable[[], Framing]) -> None:
    assert make().decode("t", encode(VERDICT), (), Verdict) == VERDICT


def test_single_object_framing_writes_what_encode_writes() -> None:
    assert SingleObjectFraming().encode("t", VERDICT) == (encode(VERDICT), ())


def test_without_a_registry_a_confluent_frame_is_a_data_error() -> None:
    assert reason(lambda: SingleObjectFraming().decode("t", b"\0\0\0\0\1" + BODY, (), Verdict)) == "wrong_magic"


def test_a_schema_is_asked_for_once() -> None:
    fake = FakeRegistry()
    writer, reader = framing(fake, auto_register=True), framing(fake)
    for _ in range(3):
        assert reader.decode("t", writer.encode("t", VERDICT)[0], (), Verdict) == VERDICT
    assert fake.calls == ["POST /subjects/t-value/versions", "GET /schemas/ids/1"]


def test_an_unknown_id_is_asked_for_again_only_after_a_while() -> None:
    fake, now = FakeRegistry(), [0.0]
    reader = framing(fake, forget_s=30.0, clock=lambda: now[0])
    for at in (0.0, 29.0, 31.0):
        now[0] = at
        assert reason(lambda: reader.decode("t", b"\0\0\0\0\1" + BODY, (), Verdict)) == "unknown_schema_id"
    assert len(fake.calls) == 2
    now[0] = 62.0
    framing(fake, auto_register=True).encode("t", VERDICT)
    assert reader.decode("t", b"\0\0\0\0\1" + BODY, (), Verdict) == VERDICT


def test_an_event_of_another_type_is_a_data_error() -> None:
    fake = FakeRegistry()
    data, _ = framing(fake, auto_register=True).encode("t", VERDICT)
    assert reason(lambda: framing(fake).decode("t", data, (), Quality)) == "wrong_type"


@pytest.mark.parametrize(
    ("data", "headers", "expected"),
    [
        (None, (), "empty"),
        (b"", (("__value_schema_id", b"\0\0\0\0\1"),), "empty"),
        (b"\0\0\0\1", (), "wrong_magic"),
        (b"\1" + b"g" * 15, (), "wrong_magic"),
        (BODY, (("__value_schema_id", b"\1short"),), "wrong_magic"),
        (BODY, (("__value_schema_id", b"\0\0\0\0\1\0"),), "malformed"),
        (b"\0\0\0\0\1", (), "malformed"),
        (b"\0\0\0\0\1" + BODY + b"\0", (), "trailing_bytes"),
        (b"\0\0\0\0\1" + BODY[:-1], (), "malformed"),
    ],
)
def test_hostile_frames_are_data_errors(data: bytes | None, headers: Any, expected: str) -> None:
    fake = FakeRegistry()
    framing(fake, auto_register=True).encode("t", VERDICT)
    assert reason(lambda: framing(fake).decode("t", data, headers, Verdict)) == expected


@pytest.mark.parametrize("schema", ["not json", '"string"', '{"type": "record"}', "[]", None])
def test_a_schema_that_is_no_avro_record_is_a_data_error(schema: str | None) -> None:
    fake = FakeRegistry(failure=lambda _: httpx.Response(200, json={"schema": schema}))
    call = framing(fake).decode
    assert reason(lambda: call("t", b"\0\0\0\0\1" + BODY, (), Verdict)) == "unresolvable_schema"


def refuse_connection(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def time_out(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("slow", request=request)


@pytest.mark.parametrize(
    "failure",
    [
        refuse_connection,
        time_out,
        lambda _: httpx.Response(503, json={"error_code": 50003}),
        lambda _: httpx.Response(429, json={}),
        lambda _: httpx.Response(302, headers={"location": "http://elsewhere.test/"}),
        lambda _: httpx.Response(200, text="<html>"),
        lambda _: httpx.Response(200, json=[1]),
        lambda _: httpx.Response(200, json={"id": "seven"}),
    ],
)
def test_a_registry_that_gives_no_usable_answer_is_down(failure: Callable[[httpx.Request], httpx.Response]) -> None:
    with pytest.raises(RegistryDown):
        Registry(FakeRegistry(failure=failure).client()).look_up("t-value", "{}")


@pytest.mark.parametrize("status", [401, 403, 422])
def test_a_registry_that_says_no_is_not_down(status: int) -> None:
    answer = httpx.Response(status, json={"error_code": 7, "message": "no"})
    with pytest.raises(RegistryRefused) as caught:
        Registry(FakeRegistry(failure=lambda _: answer).client()).register("t-value", "{}")
    assert (caught.value.status, caught.value.code) == (status, 7)


def test_a_subject_cannot_change_the_path() -> None:
    seen: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path)
        return httpx.Response(200, json={"id": 1})

    Registry(FakeRegistry(failure=answer).client()).look_up("../a b/c?d", "{}")
    assert seen == [b"/subjects/..%2Fa%20b%2Fc%3Fd"]


def test_credentials_and_the_api_path_are_in_every_request() -> None:
    registry = connect("https://registry.test/apis/ccompat/v7", auth=("user", "secret"))
    request = registry._client.build_request("GET", "subjects")
    assert str(request.url) == "https://registry.test/apis/ccompat/v7/subjects"
    auth = registry._client.auth
    assert auth is not None
    assert next(auth.auth_flow(request)).headers["authorization"] == "Basic dXNlcjpzZWNyZXQ="
    registry.close()

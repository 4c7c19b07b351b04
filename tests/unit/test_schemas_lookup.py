"""Who is to blame when a schema cannot be had: one id is that record's dead letter, a registry that is down is not."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from sluice_schemas import RegistryDown, Verdict, WireError, encode
from sluice_schemas.registry import ConfluentFraming, Registry
from sluice_schemas.registry_client import MAX_ANSWER_BYTES
from sluice_schemas.schema_lookup import MOST_REFUSED, MOST_SPENT_S
from tests.contract.fake_registry import FakeRegistry
from tests.unit.schemas_strategies import VERDICT

BODY = encode(VERDICT)[10:]
GUID = b"\1" + b"g" * 16
Answer = Callable[[httpx.Request], httpx.Response]


def framed(number: int) -> bytes:
    """Return a verdict under a schema id."""
    return b"\0" + number.to_bytes(4, "big") + BODY


@dataclass
class World:
    """A registry that knows the verdict's schema as 1, some paths it answers otherwise, and a clock."""

    known: bool = True
    now_s: float = 0.0
    otherwise: dict[str, Answer] = field(default_factory=dict)
    everywhere: Answer | None = None
    fake: FakeRegistry = field(default_factory=FakeRegistry)

    def __post_init__(self) -> None:
        client = httpx.Client(base_url="http://registry.test/", transport=httpx.MockTransport(self._answer))
        self.reader = ConfluentFraming(
            Registry(client, lambda: self.now_s), patience_s=120.0, forget_s=30.0, clock=lambda: self.now_s
        )
        ConfluentFraming(Registry(self.fake.client()), auto_register=True).registered("t", Verdict)
        if self.known:
            assert self.read(1) == VERDICT
        self.fake.calls.clear()

    def _answer(self, request: httpx.Request) -> httpx.Response:
        other = self.everywhere or self.otherwise.get(request.url.path)
        if other is None:
            return self.fake.answer(request)
        self.fake.calls.append(f"{request.method} {request.url.path}")
        return other(request)

    def read(self, number: int, headers: Any = ()) -> Any:
        """Read a verdict under a schema id."""
        return self.reader.decode("t", framed(number), headers, Verdict)

    def reason(self, number: int, headers: Any = ()) -> str:
        """Why it is refused."""
        with pytest.raises(WireError) as caught:
            self.read(number, headers)
        return caught.value.reason

    def down(self, number: int) -> None:
        """Expect that the record waits."""
        with pytest.raises(RegistryDown):
            self.read(number)


def answers(status: int, **content: Any) -> Answer:
    """Answer so."""
    return lambda _: httpx.Response(status, **content)


def breaks(error: type[httpx.HTTPError]) -> Answer:
    """Fail so."""

    def answer(request: httpx.Request) -> httpx.Response:
        raise error("no", request=request)  # type: ignore[call-arg]

    return answer


REFUSALS = {
    "404 with the registry's code": (answers(404, json={"error_code": 40403}), "unknown_schema_id"),
    "404 with another code": (answers(404, json={"error_code": 40401}), "unknown_schema_id"),
    "404 with a code that is no number": (answers(404, json={"error_code": "x"}), "unknown_schema_id"),
    "404 with a list": (answers(404, json=[40403]), "unknown_schema_id"),
    "404 with a page": (answers(404, html="<h1>nothing here</h1>"), "unknown_schema_id"),
    "404 with nothing": (answers(404), "unknown_schema_id"),
    "410": (answers(410), "unknown_schema_id"),
    "400": (answers(400, json={"error_code": 400}), "schema_refused"),
    "401": (answers(401), "schema_refused"),
    "403": (answers(403, json={"error_code": 40301}), "schema_refused"),
    "403 with a page": (answers(403, html="<h1>no</h1>"), "schema_refused"),
    "422": (answers(422, json={"error_code": 42201}), "schema_refused"),
    "a redirect": (answers(302, headers={"location": "http://elsewhere.test/"}), "schema_refused"),
    "a redirect to itself": (answers(308, headers={"location": "/schemas/ids/7"}), "schema_refused"),
    "a page": (answers(200, html="<h1>welcome</h1>"), "schema_refused"),
    "nothing": (answers(204), "schema_refused"),
    "a list": (answers(200, json=[1]), "schema_refused"),
    "an object without a schema": (answers(200, json={"id": 7}), "schema_refused"),
    "JSON without a bottom": (answers(200, content=b"[" * 100_000), "schema_refused"),
    "too much": (answers(200, json={"schema": '"int"', "more": " " * MAX_ANSWER_BYTES}), "schema_refused"),
    "no text": (answers(200, json={"schema": {"type": "record"}}), "unresolvable_schema"),
    "no JSON": (answers(200, json={"schema": "syntax"}), "unresolvable_schema"),
    "a schema without a bottom": (answers(200, json={"schema": "[" * 100_000}), "unresolvable_schema"),
    "protobuf": (answers(200, json={"schema": 'syntax = "proto3";', "schemaType": "PROTOBUF"}), "unresolvable_schema"),
    "a JSON schema": (answers(200, json={"schema": "{}", "schemaType": "JSON"}), "unresolvable_schema"),
    "odd references": (answers(200, json={"schema": "{}", "references": [7]}), "unresolvable_schema"),
}


@pytest.mark.parametrize("known", [True, False], ids=["known before", "first of all"])
@pytest.mark.parametrize(("answer", "reason"), REFUSALS.values(), ids=REFUSALS)
def test_what_is_said_of_one_id_is_a_data_error(answer: Answer, reason: str, known: bool) -> None:  # noqa: FBT001
    world = World(known=known, otherwise={"/schemas/ids/7": answer})
    assert world.reason(7) == reason
    assert world.read(1) == VERDICT


OUTAGES = {
    "refused": breaks(httpx.ConnectError),
    "no connection in time": breaks(httpx.ConnectTimeout),
    "no answer in time": breaks(httpx.ReadTimeout),
    "cut off": breaks(httpx.RemoteProtocolError),
    "401": answers(401),
    "403": answers(403, json={"error_code": 40301}),
    "404, the address is wrong": answers(404, html="<h1>nothing here</h1>"),
    "429": answers(429),
    "500": answers(500, json={"error_code": 50001}),
    "503": answers(503, html="<h1>soon</h1>"),
    "a page for everything": answers(200, html="<h1>log in</h1>"),
    "a redirect of everything": answers(302, headers={"location": "http://login.test/"}),
    "an object for everything": answers(200, json={"status": "ok"}),
}


@pytest.mark.parametrize("known", [True, False], ids=["known before", "first of all"])
@pytest.mark.parametrize("answer", OUTAGES.values(), ids=OUTAGES)
def test_a_registry_that_serves_nobody_is_waited_for_without_end(answer: Answer, known: bool) -> None:  # noqa: FBT001
    world = World(known=known)
    world.everywhere = answer
    for _ in range(10):
        world.down(7)
        world.now_s += 100.0
    world.everywhere = None
    assert world.reason(7) == "unknown_schema_id"
    assert world.read(1) == VERDICT


@pytest.mark.parametrize("known", [True, False], ids=["known before", "first of all"])
def test_a_guid_of_a_registry_without_guids_is_a_data_error(known: bool) -> None:  # noqa: FBT001
    path = "/schemas/guids/67676767-6767-6767-6767-676767676767"
    world = World(known=known, otherwise={path: answers(404)})
    assert world.reason(1, [("__value_schema_id", GUID)]) == "unknown_schema_guid"


@pytest.mark.parametrize("number", [2**31, 2**32 - 1])
def test_a_negative_id_is_refused_without_a_question(number: int) -> None:
    world = World()
    world.everywhere = breaks(httpx.ConnectError)
    assert world.reason(number) == "unknown_schema_id"
    assert world.fake.calls == []


@pytest.mark.parametrize("answer", [answers(500), answers(503), answers(429), breaks(httpx.ReadTimeout)])
def test_an_id_that_only_fails_is_given_up_after_the_patience(answer: Answer) -> None:
    world = World(otherwise={"/schemas/ids/7": answer})
    for at_s in (0.0, 60.0, 119.0):
        world.now_s = at_s
        world.down(7)
    world.now_s = 120.0
    assert world.reason(7) == "schema_unavailable"
    world.now_s = 149.0
    calls = len(world.fake.calls)
    assert world.reason(7) == "schema_unavailable"
    assert len(world.fake.calls) == calls


def test_ids_that_only_fail_share_one_patience_and_each_is_asked_for_thrice() -> None:
    failing = answers(500)
    world = World(otherwise={f"/schemas/ids/{number}": failing for number in (7, 8, 9)})
    world.down(7)
    world.now_s = 120.0
    for _ in range(2):
        for number in (8, 9):
            world.down(number)
    assert [world.reason(number) for number in (8, 9)] == ["schema_unavailable", "schema_unavailable"]


def test_the_time_in_which_the_registry_serves_nobody_does_not_count_against_an_id() -> None:
    world = World(otherwise={"/schemas/ids/7": answers(500)})
    world.down(7)
    world.everywhere, world.now_s = answers(503), 1000.0
    world.down(7)
    world.everywhere, world.now_s = None, 2000.0
    for _ in range(3):
        world.down(7)
        world.now_s += 10.0


def test_an_id_that_recovers_is_read() -> None:
    world = World(otherwise={"/schemas/ids/1": answers(500)}, known=False)
    world.down(1)
    world.otherwise.clear()
    assert world.read(1) == VERDICT


REFERRED = {"references": [{"name": "other.Seal", "subject": "seal", "version": 1}]}
NOW_AND_THEN = {name: OUTAGES[name] for name in OUTAGES if name not in ("429", "500", "503")}


@pytest.mark.parametrize("answer", NOW_AND_THEN.values(), ids=NOW_AND_THEN)
def test_a_registry_that_comes_back_after_it_failed_an_id_has_not_refused_it(answer: Answer) -> None:
    world = World(known=False)

    def last(request: httpx.Request) -> httpx.Response:
        world.everywhere = None
        return answer(request)

    world.everywhere = last
    try:
        assert world.read(1) == VERDICT
    except RegistryDown:
        assert world.read(1) == VERDICT


@pytest.mark.parametrize("answer", OUTAGES.values(), ids=OUTAGES)
def test_a_registry_that_goes_down_after_it_refused_an_id_has_not_refused_the_next(answer: Answer) -> None:
    world = World(otherwise={"/schemas/ids/7": answers(403)})
    assert world.reason(7) == "schema_refused"
    world.everywhere = answer
    world.down(8)


@pytest.mark.parametrize("answer", OUTAGES.values(), ids=OUTAGES)
def test_a_registry_that_goes_down_before_it_was_asked_for_a_reference_has_not_refused_the_schema(
    answer: Answer,
) -> None:
    world = World()

    def first(_: httpx.Request) -> httpx.Response:
        world.everywhere = answer
        return httpx.Response(200, json={"schema": '"int"', **REFERRED})

    world.otherwise = {"/schemas/ids/7": first}
    world.down(7)


def test_a_stream_of_made_up_ids_is_bounded_in_questions_and_the_known_are_read_on() -> None:
    world = World()
    for number in range(10, 10 + MOST_REFUSED):
        assert world.reason(number) == "unknown_schema_id"
    calls = len(world.fake.calls)
    assert world.reason(5_000) == "schema_not_asked"
    assert world.reason(10) == "unknown_schema_id"
    assert world.read(1) == VERDICT
    assert len(world.fake.calls) == calls
    world.now_s = 30.0
    assert world.reason(5_000) == "unknown_schema_id"


def test_a_stream_of_made_up_ids_is_bounded_in_time() -> None:
    world = World()

    def slow(_: httpx.Request) -> httpx.Response:
        world.now_s += MOST_SPENT_S / 2
        return httpx.Response(404, json={"error_code": 40403})

    world.otherwise = {f"/schemas/ids/{number}": slow for number in (7, 8, 9)}
    assert [world.reason(number) for number in (7, 8, 9)] == [
        "unknown_schema_id",
        "unknown_schema_id",
        "schema_not_asked",
    ]


def test_an_answer_that_drips_without_end_is_none() -> None:
    world = World()

    def dripping() -> Any:
        while True:
            world.now_s += 1.0
            yield b" "

    world.otherwise["/schemas/ids/7"] = lambda _: httpx.Response(200, content=dripping())
    world.down(7)
    assert world.now_s < 20.0


def test_an_id_that_is_registered_later_is_read_then() -> None:
    world = World(otherwise={"/schemas/ids/1": answers(404)}, known=False)
    assert world.reason(1) == "unknown_schema_id"
    world.otherwise.clear()
    world.now_s = 29.0
    assert world.reason(1) == "unknown_schema_id"
    world.now_s = 30.0
    assert world.read(1) == VERDICT

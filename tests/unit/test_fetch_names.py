"""Names of hosts: one that does not exist is its record's fault, a failing resolver is waited for, none holds us up."""

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest

from sluice.core.errors import DependencyDown, Refused, SluiceError, Unfetchable
from sluice.media.fetching import host_names
from sluice.media.fetching.circuit_breaker import Transient
from sluice.media.fetching.fetcher import Fetcher
from sluice.media.fetching.host_names import Names, Unanswered
from sluice.settings import Fetch, Media
from sluice_schemas import Image
from tests.support.stores import BODY, Store, store

PATIENCE_S = 60
ABSENT = [socket.EAI_NONAME, socket.EAI_NODATA]
FAILING = [socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM, socket.EAI_MEMORY]
HERE = "127.0.0.1"
SUFFIX = ".test"


@pytest.fixture
def shop() -> Iterator[Store]:
    with store() as made:
        yield made


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a fetch fail with its first failure: no deadline leaves room for the pause before a second try."""
    monkeypatch.setattr("sluice.media.fetching.fetcher._BACKOFF_S", 1e6)


class Resolver:
    """Answers with loopback, unless a name begins with what is said here to fail."""

    def __init__(self, **failing: int) -> None:
        self.failing = failing
        self.asked: list[str] = []

    def __call__(self, name: str, port: int) -> list[str]:
        self.asked.append(name)
        number = next((number for prefix, number in self.failing.items() if name.startswith(prefix)), None)
        if number is not None:
            raise socket.gaierror(number, f"{name}:{port}")
        return [HERE]


class Clock:
    """A clock that goes when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def fetcher(port: int, resolve: Callable[[str, int], list[str]], **changes: Any) -> Fetcher:
    settings: dict[str, Any] = {
        "allowed_schemes": ("http",),
        "allowed_hosts": (SUFFIX, "exact.example", HERE),
        "allowed_ports": (port,),
        "allow_private_addresses": True,
        "threads": 2,
        "total_timeout_s": 30.0,
        "first_byte_timeout_s": 30.0,
        "object_patience_s": 1e-3,
    }
    return Fetcher(Fetch(**settings | changes), Media(), resolve=resolve)


def ask(fetcher: Fetcher, uri: str) -> bytes | SluiceError:
    try:
        return fetcher.submit(Image(uri=uri)).result(PATIENCE_S)
    except SluiceError as error:
        return error


def outcome(answer: bytes | SluiceError) -> str:
    if isinstance(answer, Unfetchable):
        return answer.reason
    return "waits" if isinstance(answer, DependencyDown) else "served"


def directory(resolve: Callable[[str, int], list[str]], clock: Callable[[], float], **changes: Any) -> Names:
    return Names(resolve, clock, **{"patience_s": 120.0, "fetches": 4, "spelled_out": 2} | changes)


@pytest.mark.parametrize("number", ABSENT)
@pytest.mark.parametrize("host", ["gone.test", "exact.example"])
def test_a_name_that_does_not_exist_is_its_records_fault_at_once(shop: Store, host: str, number: int) -> None:
    resolver = Resolver(gone=number, exact=number)
    with fetcher(shop.port, resolver) as made:
        assert outcome(ask(made, shop.url("/ok", host))) == "no_such_host"
        assert made.resting == 0
    assert resolver.asked == [host]


@pytest.mark.parametrize("number", ABSENT)
def test_names_that_do_not_exist_give_their_store_no_rest(shop: Store, number: int) -> None:
    with fetcher(shop.port, Resolver(gone=number)) as made:
        answers = [outcome(ask(made, shop.url("/ok", f"gone-{count}.test"))) for count in range(10)]
        assert (set(answers), ask(made, shop.url("/ok", "images.test"))) == ({"no_such_host"}, BODY)


@pytest.mark.parametrize("number", FAILING)
@pytest.mark.parametrize("host", ["any.test", "exact.example"])
def test_a_resolver_that_finds_nothing_is_waited_for(shop: Store, host: str, number: int) -> None:
    with fetcher(shop.port, Resolver(any=number, exact=number)) as made:
        assert {outcome(ask(made, shop.url("/ok", host))) for _ in range(6)} == {"waits"}


@pytest.mark.parametrize("number", FAILING)
def test_a_name_that_only_fails_while_others_are_found_is_given_up(number: int) -> None:
    clock, resolver = Clock(), Resolver(broken=number)
    found = directory(resolver, clock)
    found.find("images.test", 80, SUFFIX, PATIENCE_S)
    for clock.now in (0.0, 60.0, 119.0):
        with pytest.raises(Unanswered):
            found.find("broken.test", 80, SUFFIX, PATIENCE_S)
    clock.now = 120.0
    with pytest.raises(Unfetchable) as given_up:
        found.find("broken.test", 80, SUFFIX, PATIENCE_S)
    assert given_up.value.reason == "store_error"
    found.close()


def test_a_resolver_that_fails_for_all_by_now_takes_no_name_for_broken() -> None:
    clock, resolver = Clock(), Resolver(broken=socket.EAI_AGAIN)
    found = directory(resolver, clock)
    found.find("images.test", 80, SUFFIX, PATIENCE_S)
    resolver.failing = dict.fromkeys(["broken", "images"], socket.EAI_AGAIN)
    for clock.now in (10.0, 100.0, 200.0, 300.0):
        with pytest.raises(Unanswered):
            found.find("broken.test", 80, SUFFIX, PATIENCE_S)
    found.close()


def test_a_connection_that_is_still_open_says_nothing_of_the_resolver(shop: Store) -> None:
    """Objects come from the host that is known while no other name is found: nobody is given up for that."""
    resolver = Resolver()
    with fetcher(shop.port, resolver, object_patience_s=0.001) as made:
        assert ask(made, shop.url("/ok", "images.test")) == BODY
        resolver.failing = {"": socket.EAI_AGAIN}
        found = [outcome(ask(made, shop.url("/ok", f"other-{count % 2}.test"))) for count in range(10)]
    assert set(found) == {"waits"}


def test_answers_are_kept_for_seconds_and_failures_for_less() -> None:
    clock, resolver = Clock(), Resolver(gone=socket.EAI_NONAME, broken=socket.EAI_AGAIN)
    found = directory(resolver, clock)

    def looks(name: str, at_s: list[float]) -> int:
        resolver.asked.clear()
        for clock.now in at_s:
            with pytest.raises((Unfetchable, Unanswered)):
                found.find(name, 80, SUFFIX, PATIENCE_S)
        return len(resolver.asked)

    assert looks("gone.test", [0, 1, 4.9]) == 1
    assert looks("gone.test", [5]) == 1
    assert looks("broken.test", [10, 11.4]) == 1
    assert looks("broken.test", [11.5]) == 1
    found.close()


def test_a_failing_name_of_the_settings_is_asked_about_again_at_once() -> None:
    clock, resolver = Clock(), Resolver(exact=socket.EAI_AGAIN)
    found = directory(resolver, clock)
    for _ in range(3):
        with pytest.raises(Transient):
            found.find("exact.example", 80, "exact.example", PATIENCE_S)
    assert len(resolver.asked) == 3
    found.close()


def test_what_is_remembered_of_names_does_not_grow_with_the_events() -> None:
    resolver = Resolver(gone=socket.EAI_NONAME, broken=socket.EAI_AGAIN)
    found = directory(resolver, Clock())
    for count in range(1500):
        for name in (f"gone{count}.test", f"broken{count}.test", f"fine{count}.test"):
            try:
                found.find(name, 80, SUFFIX, PATIENCE_S)
            except (Unfetchable, Unanswered):
                continue
    assert (len(found._known), found._running) == (1024, {})
    found.close()


class Hanging:
    """A resolver that does not come back with some names until it is told to."""

    def __init__(self, hangs: Callable[[str], bool]) -> None:
        self._hangs = hangs
        self.leave = threading.Event()
        """When it comes back; at the end of the block at the latest."""
        self.asked: list[str] = []

    def __call__(self, name: str, _port: int) -> list[str]:
        self.asked.append(name)
        if self._hangs(name):
            self.leave.wait(PATIENCE_S)
        return [HERE]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave.set()


@pytest.mark.parametrize("good", ["images.test", "exact.example"])
def test_names_that_events_choose_cannot_hold_every_fetch(shop: Store, good: str) -> None:
    """The resolver sits on them for as long as the test lasts, and there are more of them than threads."""
    resolver = Hanging(lambda name: name.startswith("slow"))
    with fetcher(shop.port, resolver, threads=4, connect_timeout_s=30.0) as made, resolver:
        assert ask(made, shop.url("/ok", good)) == BODY
        slow = {f"slow{count}.test": shop.url("/ok", f"slow{count}.test") for count in range(12)}
        fetches = {name: made.submit(Image(uri=uri)) for name, uri in slow.items()}
        assert made.submit(Image(uri=shop.url("/ok/2", good))).result(PATIENCE_S) == BODY
        held = [name for name in resolver.asked if name in slow]
        assert held
        assert not any(fetches[name].done() for name in held), "the answer is here while they still wait"


def test_a_name_of_the_settings_waits_for_no_other(shop: Store) -> None:
    hosts = tuple(f"{count}.example" for count in range(20))
    resolver = Hanging(lambda name: name != hosts[-1])
    with fetcher(shop.port, resolver, threads=32, allowed_hosts=hosts, connect_timeout_s=30.0) as made, resolver:
        slow = [made.submit(Image(uri=shop.url("/ok", host))) for host in hosts[:-1]]
        assert ask(made, shop.url("/ok", hosts[-1])) == BODY
        assert not any(fetch.done() for fetch in slow)


def test_a_name_that_is_being_looked_up_is_not_looked_up_again() -> None:
    resolver = Hanging(lambda _: True)
    found = directory(resolver, Clock())
    with resolver:
        for _ in range(8):
            with pytest.raises(Transient):
                found.find("slow.example", 80, "slow.example", 0.01)
    assert resolver.asked == ["slow.example"]
    found.close()


def test_an_answer_that_came_too_late_serves_the_next_who_asks() -> None:
    clock, resolver = Clock(), Hanging(lambda _: True)
    found = directory(resolver, clock)
    with pytest.raises(Unanswered):
        found.find("slow.test", 80, SUFFIX, 0.01)
    resolver.leave.set()
    found._pools[True].shutdown(wait=True)
    assert found.find("slow.test", 80, SUFFIX, PATIENCE_S) == [HERE]
    assert resolver.asked == ["slow.test"]


def test_the_systems_resolver_knows_this_machine_and_no_name_that_cannot_be(shop: Store) -> None:
    """A reserved name (RFC 6761) has no address; where nobody can be asked at all, its record waits."""
    with fetcher(shop.port, host_names.resolve, allowed_hosts=("localhost", ".invalid")) as made:
        assert ask(made, shop.url("/ok", "localhost")) == BODY
        assert outcome(ask(made, shop.url("/ok", "sluice.invalid"))) in {"no_such_host", "waits"}


def test_a_name_without_any_address_is_refused(shop: Store) -> None:
    with fetcher(shop.port, lambda *_: []) as made:
        assert isinstance(ask(made, shop.url("/ok", "images.test")), Refused)

"""A broken object is given up for itself, a store that is down is waited for, and nothing that is kept grows."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sluice.core.errors import DependencyDown, SluiceError, Unfetchable
from sluice.media.fetching import host_names
from sluice.media.fetching.fetcher import Fetcher
from sluice.media.fetching.object_failures import ObjectFailures
from sluice.media.fetching.references import Stored
from sluice.settings import Fetch, Media
from sluice_schemas import Image
from tests.support.stores import BODY, Store, store

PATIENCE_S = 60
BROKEN, FINE = "/broken", "/ok/fine"
A, B, C = (Stored("pictures", key) for key in "abc")


@pytest.fixture
def shop() -> Iterator[Store]:
    with store() as made:
        made.trouble = lambda path: 500 if path.startswith(BROKEN) else 0
        yield made


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a fetch fail with its first failure: no deadline leaves room for the pause before a second try."""
    monkeypatch.setattr("sluice.media.fetching.fetcher._BACKOFF_S", 1e6)


def fetcher(shop: Store, resolve: Any = lambda *_: ["127.0.0.1"], **changes: Any) -> Fetcher:
    """Return a fetcher that gives an object up at its third failure while its store serves others."""
    settings: dict[str, Any] = {
        "allowed_schemes": ("http", "file"),
        "allowed_hosts": ("127.0.0.1", ".test"),
        "allowed_ports": (shop.port,),
        "allow_private_addresses": True,
        "threads": 2,
        "total_timeout_s": 30.0,
        "first_byte_timeout_s": 30.0,
        "object_patience_s": 1e-6,
    }
    return Fetcher(Fetch(**settings | changes), Media(), resolve=resolve)


def ask(fetcher: Fetcher, uri: str) -> bytes | SluiceError:
    try:
        return fetcher.submit(Image(uri=uri)).result(PATIENCE_S)
    except SluiceError as error:
        return error


def is_given_up(answer: bytes | SluiceError) -> bool:
    if isinstance(answer, DependencyDown):
        return False
    assert isinstance(answer, Unfetchable)
    return answer.reason == "store_error"


def given_up(fetcher: Fetcher, uri: str, times: int) -> list[bool]:
    """Ask so often and tell each time whether the object was given up; it may not be had."""
    return [is_given_up(ask(fetcher, uri)) for _ in range(times)]


def test_an_object_that_only_fails_is_given_up_when_its_store_serves_others(shop: Store) -> None:
    answers = []
    with fetcher(shop) as made:
        for _ in range(4):
            answers += [is_given_up(ask(made, shop.url(BROKEN)))]
            assert ask(made, shop.url(FINE)) == BODY
    assert answers == [False, False, False, True]  # the first failed before anything had been served


def test_what_the_store_served_last_is_asked_for_when_nothing_else_is(shop: Store) -> None:
    with fetcher(shop) as made:
        assert ask(made, shop.url(FINE)) == BODY
        assert given_up(made, shop.url(BROKEN), 5) == [False, False, True, True, True]
    assert shop.paths().count(FINE) == 6


def test_a_store_that_serves_nobody_is_waited_for(shop: Store) -> None:
    with fetcher(shop) as made:
        assert ask(made, shop.url(FINE)) == BODY
        shop.trouble = lambda _: 500
        assert not any(given_up(made, shop.url(BROKEN), 8))
        assert isinstance(ask(made, shop.url(FINE)), DependencyDown)


def test_a_store_that_never_served_anything_is_waited_for(shop: Store) -> None:
    with fetcher(shop) as made:
        assert not any(given_up(made, shop.url(BROKEN), 8))


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_refusal_is_no_sign_of_a_store_that_serves(shop: Store, status: int) -> None:
    with fetcher(shop) as made:
        assert ask(made, shop.url(FINE)) == BODY
        shop.trouble = lambda path: 500 if path.startswith(BROKEN) else status
        assert not any(given_up(made, shop.url(BROKEN), 5))


def test_what_was_served_last_and_fails_now_is_judged_by_what_was_served_before(shop: Store) -> None:
    with fetcher(shop) as made:
        healthy, shop.trouble = shop.trouble, lambda _: 0
        assert ask(made, shop.url(FINE)) == BODY
        assert ask(made, shop.url(BROKEN)) == BODY
        shop.trouble = healthy
        assert given_up(made, shop.url(BROKEN), 3) == [False, False, True]


def test_an_outage_in_between_starts_the_patience_anew(shop: Store) -> None:
    with fetcher(shop) as made:
        assert ask(made, shop.url(FINE)) == BODY
        assert not any(given_up(made, shop.url(BROKEN), 2))
        healthy, shop.trouble = shop.trouble, lambda _: 500
        assert not any(given_up(made, shop.url(BROKEN), 1))
        shop.trouble = healthy
        assert given_up(made, shop.url(BROKEN), 3) == [False, False, True]


def test_patience_is_time_not_only_tries(shop: Store) -> None:
    with fetcher(shop, object_patience_s=3600.0) as made:
        assert ask(made, shop.url(FINE)) == BODY
        assert not any(given_up(made, shop.url(BROKEN), 6))


def test_two_broken_objects_of_one_flight_are_both_given_up(shop: Store) -> None:
    """Whoever is given up stays so while the flight is tried again for the sake of the other."""
    with fetcher(shop) as made:
        assert ask(made, shop.url(FINE)) == BODY
        assert given_up(made, shop.url(BROKEN), 3)[-1]
        assert given_up(made, shop.url(BROKEN + "/too"), 3)[-1]
        assert given_up(made, shop.url(BROKEN), 1) == [True]


def test_an_object_that_can_be_had_again_is_had(shop: Store) -> None:
    with fetcher(shop) as made:
        assert ask(made, shop.url(FINE)) == BODY
        assert given_up(made, shop.url(BROKEN), 3)[-1]
        shop.trouble = lambda _: 0
        assert ask(made, shop.url(BROKEN)) == BODY
        shop.trouble = lambda path: 500 if path.startswith(BROKEN) else 0
        assert given_up(made, shop.url(BROKEN), 3) == [False, False, True]


def test_a_broken_object_gives_its_store_no_rest(shop: Store) -> None:
    """Without a witness it would be the only probe for ever, and its neighbours would never be asked for."""
    with fetcher(shop, object_patience_s=3600.0) as made:
        assert ask(made, shop.url(FINE)) == BODY
        given_up(made, shop.url(BROKEN), 4)
        assert ask(made, shop.url("/ok/other")) == BODY


def resolve(host: str, port: int) -> list[str]:
    if host.startswith("gone"):
        raise OSError(host, port)
    return ["127.0.0.1"]


def test_a_host_without_an_address_is_given_up_when_others_of_its_suffix_serve(shop: Store) -> None:
    with fetcher(shop, resolve) as made:
        assert ask(made, shop.url(FINE, "images.test")) == BODY
        assert given_up(made, shop.url(FINE, "gone.test"), 3) == [False, False, True]


def test_a_host_of_its_own_entry_is_a_store_of_its_own(shop: Store) -> None:
    with fetcher(shop, resolve, allowed_hosts=(".test", "gone.test")) as made:
        assert ask(made, shop.url(FINE, "images.test")) == BODY
        assert not any(given_up(made, shop.url(FINE, "gone.test"), 5))


def test_hosts_under_a_suffix_share_one_name_and_one_breaker(shop: Store) -> None:
    """Events choose the hosts: a label or a state for each would grow without end."""
    with fetcher(shop, resolve) as made:
        errors = [ask(made, shop.url(FINE, f"gone-{host}.test")) for host in range(50)]
        assert len(made._breakers._states) == 1
    assert {error.dependency for error in errors if isinstance(error, DependencyDown)} == {f"http://*.test:{shop.port}"}


def test_a_file_that_the_disk_cannot_read_is_given_up_when_others_are_read(
    shop: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("fine", "broken"):
        (tmp_path / name).write_bytes(BODY)
    original = os.open

    def broken_disk(path: Path, flags: int) -> int:
        if str(path).endswith("broken"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return original(path, flags)

    monkeypatch.setattr(os, "open", broken_disk)
    with fetcher(shop, file_roots=(tmp_path,)) as made:
        assert ask(made, (tmp_path / "fine").as_uri()) == BODY
        assert given_up(made, (tmp_path / "broken").as_uri(), 3) == [False, False, True]


class Clock:
    """A clock that goes when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def failures(blame: ObjectFailures[Stored], clock: Clock, at_s: list[float]) -> list[bool]:
    answers = []
    for clock.now in at_s:
        answers += [blame.failed(A)]
    return answers


def test_an_object_is_to_blame_after_three_failures_over_its_patience() -> None:
    clock = Clock()
    assert failures(ObjectFailures(clock, 120), clock, [0, 60, 119, 120]) == [False, False, False, True]
    assert failures(ObjectFailures(clock, 120), clock, [0, 150, 151]) == [False, False, True]


def test_failures_far_apart_are_no_series() -> None:
    clock = Clock()
    assert failures(ObjectFailures(clock, 120), clock, [0, 100, 701, 801, 820, 822]) == [False] * 4 + [False, True]


def test_each_object_given_up_halves_the_patience_with_the_next_of_its_store() -> None:
    """Whoever sends events with one broken object after the other holds a partition for twice the patience in all."""
    clock = Clock()
    blame: ObjectFailures[Stored] = ObjectFailures(clock, 128)
    waited_s = []
    for number in range(8):
        began_s = clock.now
        while not blame.failed(Stored("pictures", f"broken-{number}")):
            clock.now += 1
        waited_s.append(clock.now - began_s)
    assert waited_s == [128, 64, 32, 16, 8, 4, 2, 2]  # three failures take two steps of this clock
    assert not any(failures(blame, clock, [clock.now, clock.now + 1]))
    began_s = clock.now
    assert not any(blame.failed(Stored("other", "x")) for clock.now in (began_s, began_s + 60, began_s + 127))


def test_the_patience_is_whole_again_when_nothing_was_given_up_for_a_while() -> None:
    clock = Clock()
    blame: ObjectFailures[Stored] = ObjectFailures(clock, 120)
    assert failures(blame, clock, [0, 60, 120])[-1]
    assert not any(blame.failed(B) for clock.now in (720, 780, 839))
    clock.now = 840
    assert blame.failed(B)


def test_a_name_given_up_halves_the_patience_with_the_next_one_too() -> None:
    clock = Clock()
    found = host_names.Names(resolve, clock, patience_s=120, fetches=4, spelled_out=1)
    found.find("images.test", 80, ".test", PATIENCE_S)
    for name, waits_s in (("gone-1.test", 120), ("gone-2.test", 60), ("gone-3.test", 30)):
        began_s = clock.now
        for clock.now in (began_s, began_s + 10, began_s + waits_s - 1):
            with pytest.raises(host_names.Unanswered):
                found.find(name, 80, ".test", PATIENCE_S)
        clock.now = began_s + waits_s
        with pytest.raises(Unfetchable):
            found.find(name, 80, ".test", PATIENCE_S)
    found.close()


def test_a_failure_of_one_object_says_nothing_of_another() -> None:
    clock = Clock()
    blame: ObjectFailures[Stored] = ObjectFailures(clock, 120)
    failures(blame, clock, [0, 60, 120])
    assert not blame.failed(B)


def test_the_witness_is_the_newest_other_object_of_the_same_store() -> None:
    clock = Clock()
    blame: ObjectFailures[Stored] = ObjectFailures(clock, 120)
    for clock.now, served in enumerate((A, B, C, Stored("other", "x"))):
        blame.served(served)
    assert blame.probe(A) == (C, 2)
    assert blame.probe(C) == (B, 1)
    assert blame.probe(Stored("other", "x")) is None
    assert blame.probe(Stored("third", "x")) is None


def test_nothing_remembered_grows_with_the_events() -> None:
    blame: ObjectFailures[Stored] = ObjectFailures(Clock(), 120)
    for key in range(3000):
        blame.served(Stored("pictures", f"served-{key}"))
        blame.failed(Stored("pictures", f"broken-{key}"))
    assert len(blame._series) == 1024
    assert [len(served) for served in blame._served.values()] == [2]


def test_what_was_given_up_is_remembered_by_store_and_bounded() -> None:
    blame: ObjectFailures[Stored] = ObjectFailures(Clock(), 0)
    for key in range(3000):
        assert [blame.failed(Stored("pictures", str(key))) for _ in range(3)] == [False, False, True]
    assert [len(given_up) for given_up in blame._given_up_s.values()] == [17]

"""A store that keeps failing is given a rest, and one probe at a time finds out whether it is back."""

from collections.abc import Iterator

import pytest

from sluice.core.errors import DependencyDown, SluiceError, Unfetchable
from sluice.media.fetching.circuit_breaker import Breakers
from sluice.media.fetching.fetcher import Fetcher
from sluice.settings import Fetch, Media
from sluice_schemas import Image
from tests.support.stores import BODY, Store, store

PATIENCE_S = 60


@pytest.fixture
def shop() -> Iterator[Store]:
    with store() as made:
        yield made


def fetcher(shop: Store, total_timeout_s: float = 30.0) -> Fetcher:
    settings = {
        "allowed_schemes": ("http",),
        "allowed_hosts": ("127.0.0.1",),
        "allowed_ports": (shop.port,),
        "allow_private_addresses": True,
        "total_timeout_s": total_timeout_s,
    }
    return Fetcher(Fetch.model_validate(settings), Media())


def failure(fetcher: Fetcher, uri: str) -> SluiceError:
    with pytest.raises(SluiceError) as error:
        fetcher.submit(Image(uri=uri)).result(PATIENCE_S)
    return error.value


class Clock:
    """A clock that goes when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_run_of_failures_opens_the_breaker_and_one_probe_at_a_time_tests_it() -> None:
    clock = Clock()
    breakers = Breakers(clock, failures=2, open_s=5)
    for _ in range(2):
        assert breakers.open == 0
        breakers.admit("a")
        breakers.note("a", answered=False)
    with pytest.raises(DependencyDown):
        breakers.admit("a")
    breakers.admit("b")
    clock.now = 5.0
    breakers.admit("a")
    with pytest.raises(DependencyDown):
        breakers.admit("a")
    breakers.note("a", answered=False)
    clock.now = 9.9
    with pytest.raises(DependencyDown):
        breakers.admit("a")
    clock.now = 10.0
    breakers.admit("a")
    assert breakers.open == 1
    breakers.note("a", answered=True)
    assert breakers.open == 0
    breakers.admit("a")
    breakers.admit("a")


def test_an_answer_in_between_starts_the_count_anew() -> None:
    breakers = Breakers(Clock(), failures=2)
    for answered in (False, True, False):
        breakers.note("a", answered=answered)
    breakers.admit("a")


def test_a_store_that_keeps_failing_is_not_asked_for_a_while(shop: Store) -> None:
    with fetcher(shop, total_timeout_s=0.1) as made:
        for _ in range(3):
            failure(made, shop.url("/status/503"))
        asked = len(shop.asked)
        assert isinstance(failure(made, shop.url("/ok")), DependencyDown)
    assert len(shop.asked) == asked


def test_missing_images_do_not_open_the_breaker(shop: Store) -> None:
    with fetcher(shop) as made:
        for _ in range(5):
            assert isinstance(failure(made, shop.url("/status/404")), Unfetchable)
        assert made.submit(Image(uri=shop.url("/ok"))).result(PATIENCE_S) == BODY

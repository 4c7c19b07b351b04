"""A redirect is a reference that a stranger wrote: followed only by setting, and never past a guard."""

from collections.abc import Iterator
from typing import Any

import pytest

from sluice.core.errors import Refused, Rejection, Unfetchable
from sluice.media.fetching.fetcher import Fetcher
from sluice.settings import Fetch, Media
from sluice_schemas import Image
from tests.support.stores import BODY, Store, store

PATIENCE_S = 60
FOLLOWED = (301, 302, 303, 307, 308)
OTHERS = (300, 304, 305, 306)


@pytest.fixture(scope="module")
def running() -> Iterator[Store]:
    with store() as made:
        yield made


@pytest.fixture
def shop(running: Store) -> Store:
    running.asked.clear()
    return running


def fetcher(shop: Store, **changes: Any) -> Fetcher:
    settings: dict[str, Any] = {
        "allowed_schemes": ("http", "https", "file", "s3"),
        "allowed_hosts": ("127.0.0.1",),
        "allowed_ports": (shop.port,),
        "allow_private_addresses": True,
        "first_byte_timeout_s": 30.0,
        "total_timeout_s": 30.0,
        "max_redirects": 1,
    }
    return Fetcher(Fetch(**settings | changes), Media())


def get(shop: Store, path: str, **changes: Any) -> bytes:
    with fetcher(shop, **changes) as made:
        return made.submit(Image(uri=shop.url(path))).result(PATIENCE_S)


def failure(shop: Store, path: str, **changes: Any) -> Rejection:
    with pytest.raises(Rejection) as error:
        get(shop, path, **changes)
    return error.value


def escaped(uri: str) -> str:
    """Hide a reference in a path: the store unpacks it into its answer, byte for byte."""
    return "".join(f"%{byte:02x}" for byte in uri.encode("latin-1"))


@pytest.mark.parametrize("target", ["~ok", "http:~~evil.com~", ""])
@pytest.mark.parametrize("code", FOLLOWED)
def test_no_redirect_is_followed_by_default_wherever_it_leads(shop: Store, code: int, target: str) -> None:
    error = failure(shop, f"/moved/{code}/{target}", max_redirects=0)
    assert (type(error), error.reason) == (Refused, "reference_redirect")
    assert shop.paths() == [f"/moved/{code}/{target}"]


@pytest.mark.parametrize("code", FOLLOWED)
def test_an_allowed_redirect_is_followed_by_setting(shop: Store, code: int) -> None:
    assert get(shop, f"/moved/{code}/~ok~b") == BODY
    assert shop.paths() == [f"/moved/{code}/~ok~b", "/ok/b"]


@pytest.mark.parametrize("code", OTHERS)
def test_the_other_codes_are_no_redirects(shop: Store, code: int) -> None:
    error = failure(shop, f"/moved/{code}/~ok", max_redirects=5)
    assert (type(error), error.reason) == (Unfetchable, "bad_status")
    assert len(shop.paths()) == 1


@pytest.mark.parametrize("code", FOLLOWED)
@pytest.mark.parametrize("target", ["", "%20", "~o%09k", "~o%20k", "%ff"])
def test_a_redirect_to_nowhere_or_in_odd_characters_is_refused(shop: Store, code: int, target: str) -> None:
    assert failure(shop, f"/moved/{code}/{target}").reason in {"reference_redirect", "reference_malformed"}
    assert len(shop.paths()) == 1


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://evil.com/", "reference_host"),
        ("//evil.com/", "reference_host"),
        ("http://user@127.0.0.1/", "reference_userinfo"),
        ("http://127.0.0.1:1/", "reference_port"),
        ("http://[::1", "reference_malformed"),
        ("http://[127.0.0.1]/", "reference_malformed"),
        ("http://127.1/", "reference_malformed"),
        ("\\\\127.0.0.1\\ok", "reference_malformed"),
        ("file:///etc/passwd", "reference_redirect"),
        ("s3://pictures/a", "reference_bucket"),
        ("gopher://127.0.0.1/", "reference_scheme"),
        ("data:image/png;base64,AAAA", "reference_scheme"),
    ],
)
@pytest.mark.parametrize("code", FOLLOWED)
def test_a_redirect_passes_every_guard_again(shop: Store, code: int, target: str, expected: str) -> None:
    assert failure(shop, f"/moved/{code}/{escaped(target)}").reason == expected
    assert len(shop.paths()) == 1


def test_a_redirect_to_a_bucket_is_refused_even_if_the_bucket_is_allowed(shop: Store) -> None:
    assert failure(shop, f"/moved/302/{escaped('s3://pictures/a')}", s3_buckets=("pictures",)).reason == (
        "reference_redirect"
    )


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_a_loop_ends_at_the_limit(shop: Store, limit: int) -> None:
    assert failure(shop, "/loop", max_redirects=limit).reason == "reference_redirect"
    assert shop.paths() == ["/loop"] * (limit + 1)


def test_a_redirect_into_the_network_asks_nobody_there(shop: Store) -> None:
    """The name stands in the list; that its addresses are forbidden is found when it is looked up."""
    target = escaped(f"http://inner.test:{shop.port}/ok")
    settings = Fetch(
        allowed_schemes=("http",),
        allowed_hosts=("127.0.0.1", "inner.test"),
        allowed_ports=(shop.port,),
        allow_private_addresses=True,
        max_redirects=1,
    )

    def resolve(host: str, _: int) -> list[str]:
        return ["127.0.0.1"] if host == "127.0.0.1" else ["169.254.169.254"]

    with Fetcher(settings, Media(), resolve=resolve) as made, pytest.raises(Refused) as refusal:
        made.submit(Image(uri=shop.url(f"/moved/302/{target}"))).result(PATIENCE_S)
    assert refusal.value.reason == "reference_address"

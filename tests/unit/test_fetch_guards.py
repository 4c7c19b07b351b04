"""Every way to write a reference that reaches what it must not."""

import dataclasses

import pytest

from sluice.core.errors import Refused
from sluice.media.fetching.references import Reference, Rules, check_addresses, parse
from tests.support.references import ALLOWED, FORBIDDEN, NEVER, PRIVATE, PUBLIC, REFUSED, RULES


def shown(uri: str) -> str:
    """Name a test by a reference in plain characters, and not by all of a long one."""
    return ascii(uri[:60])


@pytest.mark.parametrize(("uri", "reference"), ALLOWED.items(), ids=map(shown, ALLOWED))
def test_a_reference_within_the_rules_is_read(uri: str, reference: Reference) -> None:
    assert parse(uri, RULES) == reference


BEYOND = [(uri, reason) for reason, uris in REFUSED.items() for uri in uris]


@pytest.mark.parametrize(("uri", "reason"), BEYOND, ids=[shown(uri) for uri, _ in BEYOND])
def test_a_reference_beyond_the_rules_is_refused(uri: str, reason: str) -> None:
    with pytest.raises(Refused) as refusal:
        parse(uri, RULES)
    assert refusal.value.reason == reason


def test_no_reference_is_in_the_table_twice() -> None:
    """A row that repeats another counts for nothing."""
    assert len({uri for uri, _ in BEYOND}) == len(BEYOND)


def test_no_list_means_no_reference() -> None:
    closed = Rules(schemes=("https", "s3"))
    for uri, reason in (("https://img.example.com/", "reference_host"), ("s3://pictures/a", "reference_bucket")):
        with pytest.raises(Refused) as refusal:
            parse(uri, closed)
        assert refusal.value.reason == reason


@pytest.mark.parametrize("scheme", ["https", "http", "s3", "file"])
def test_a_scheme_that_is_not_in_the_list_is_refused(scheme: str) -> None:
    rules = dataclasses.replace(RULES, schemes=tuple({"https", "http", "s3", "file"} - {scheme}))
    place = {"s3": "pictures/a", "file": "/a"}.get(scheme, "img.example.com/a")
    with pytest.raises(Refused) as refusal:
        parse(f"{scheme}://{place}", rules)
    assert refusal.value.reason == "reference_scheme"


def test_a_lone_dot_in_the_list_allows_nothing() -> None:
    with pytest.raises(Refused):
        parse("https://evil.com/", Rules(schemes=("https",), hosts=(".", "")))


@pytest.mark.parametrize(
    "uri", ["https://img.example.com:444/?token=hunter2", "https://u:hunter2@img.example.com/", "hunter2://x"]
)
def test_a_refusal_repeats_nothing_of_the_reference(uri: str) -> None:
    with pytest.raises(Refused) as refusal:
        parse(uri, RULES)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_connected_to(address: str) -> None:
    assert check_addresses([address], allow_private=False) == [address]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_other_addresses_may_not(address: str) -> None:
    with pytest.raises(Refused) as refusal:
        check_addresses([address], allow_private=False)
    assert refusal.value.reason == "reference_address"


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_may_by_setting(address: str) -> None:
    assert check_addresses([address], allow_private=True)


@pytest.mark.parametrize("address", NEVER)
def test_metadata_translated_and_reserved_addresses_never_may(address: str) -> None:
    with pytest.raises(Refused):
        check_addresses([address], allow_private=True)


def test_one_bad_address_among_good_ones_refuses_all() -> None:
    with pytest.raises(Refused):
        check_addresses(["8.8.8.8", "127.0.0.1"], allow_private=False)


def test_a_name_without_addresses_is_refused() -> None:
    with pytest.raises(Refused):
        check_addresses([], allow_private=True)

"""What people and events write: references, addresses, policies."""

import re
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from sluice.core.errors import BadSettings, Refused
from sluice.media.fetching.references import Local, Stored, Web, check_addresses, parse
from sluice.policies import PRESETS, preset_text
from sluice.policies import parse as parse_policy
from tests.fuzz.target import Target
from tests.support.references import ALLOWED, FORBIDDEN, PUBLIC, REFUSED, RULES

VERSION_4, VERSION_6 = 4, 16
PLAIN_HOST = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")


def url(data: bytes) -> None:
    """Read a reference: what is allowed means the same to another parser, and to this one when it is written out."""
    text = data.decode("utf-8", "replace")
    with suppress(Refused):
        found = parse(text, RULES)
        if isinstance(found, Web):
            assert PLAIN_HOST.fullmatch(found.host)
            other = urlsplit(text)
            assert other.scheme == found.scheme
            assert other.hostname == found.host.strip("[]") or ip_address(other.hostname or "") == _address(found.host)
            assert (other.port or found.port) == found.port
            assert other.username is other.password is None
            assert found.rule in RULES.hosts
            assert found.port in RULES.ports
            assert parse(found.origin + found.target, RULES) == found
        elif isinstance(found, Stored):
            assert found.bucket in RULES.buckets
            assert not {"", ".", ".."} & set(found.key.split("/"))
        else:
            assert isinstance(found, Local)
            assert found.path.startswith(b"/")
            assert b"\0" not in found.path


def _address(host: str) -> IPv4Address | IPv6Address:
    return ip_address(host.strip("[]"))


def url_seeds() -> list[bytes]:
    """Return the whole table of references."""
    return [uri.encode("utf-8", "replace") for uri in (*ALLOWED, *(uri for uris in REFUSED.values() for uri in uris))]


def address(data: bytes) -> None:
    """Judge an address: nothing that the standard library calls inward, or that carries such a one, is let through."""
    if len(data) not in (VERSION_4, VERSION_6):
        return
    found = ip_address(data)
    with suppress(Refused):
        check_addresses([str(found)], allow_private=False)
        carried = [found]
        if isinstance(found, IPv6Address):
            carried += [inner for inner in (found.ipv4_mapped, found.sixtofour, *(found.teredo or ())) if inner]
        for inner in carried:
            assert not inner.is_private
            assert not inner.is_loopback
            assert not inner.is_link_local
            assert not inner.is_multicast
            assert not inner.is_reserved
            assert not inner.is_unspecified


def address_seeds() -> list[bytes]:
    """Return every address of the table."""
    return [ip_address(text.partition("%")[0]).packed for text in (*PUBLIC, *FORBIDDEN)]


def policy(data: bytes) -> None:
    """Read a policy: what is accepted restricts something, and reads the same again."""
    text = data.decode("utf-8", "replace")
    with suppress(BadSettings):
        found = parse_policy(text, "fuzz")
        assert found.ref == parse_policy(text, "fuzz").ref
        assert found.rules.restricts()
        assert found.ref.version >= 1


def policy_seeds() -> list[bytes]:
    """Return the presets, and small policies with every kind of rule."""
    head = "id: p\nversion: 1\n"
    whole = (
        head + "strength: 0.01\nconcepts:\n  safety.concept.03: {action: BLUR, offset: 0.1}\n"
        "opinions:\n  - {model: nudenet, label: face, at_least: 0.5, action: REVIEW}\n"
        "coverage: {below: 0.5, action: REVIEW}\naudiences:\n  - name: kids\n    match: {age_tier: [minor, null]}\n"
    )
    odd = [head + "concepts: &a {}\n", head + "strength: .nan\n", head + "? [a]\n: b\n", "- 1\n", "", "!!python/x {}\n"]
    return [text.encode() for text in (*map(preset_text, PRESETS), head, whole, *odd)]


TARGETS = (
    Target("url", url, url_seeds),
    Target("address", address, address_seeds, max_bytes=VERSION_6),
    Target("policy", policy, policy_seeds),
)

"""Which references may be followed: pure rules over text and addresses, without a socket.

A reference is parsed once, here, strictly: what two parsers could read differently is refused rather than repaired.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import unquote_to_bytes

from sluice.core.errors import Refused
from sluice.settings.text import MAX_PORT, is_bucket
from sluice.settings.text import host as host_of

Address = IPv4Address | IPv6Address

_MAX_LENGTH = 8192  # presigned URLs with session tokens reach some two thousand
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_WEB = re.compile(r"//(?P<authority>[^/?#]*)(?P<target>[^#]*)")
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::(?P<port>[1-9][0-9]{0,4}))?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # and halves of characters, which no bytes can spell
_UNSAFE = re.compile(r"[^\x21-\x7e]|[\"<>^`{|}]")
_DEFAULT_PORTS = {"https": 443, "http": 80}
_MAX_KEY_BYTES = 1024  # S3's own limit; a store answers a longer one as it answers when it is out of order

# Own tables: ipaddress.is_global of Python 3.11 calls 64:ff9b::7f00:1, 2002:7f00:1:: and 224.0.0.1 global.
_PRIVATE = [
    ip_network(text)
    for text in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
]
_NEVER = [
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network; 0.0.0.0 reaches loopback on Linux
        "100.100.100.200/32",  # cloud metadata
        "168.63.129.16/32",  # a cloud's agent on every host, at a public number
        "169.254.0.0/16",  # link-local, cloud metadata
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "2001::/23",  # Teredo and other protocol assignments: carry an IPv4 address inside
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: carries an IPv4 address inside
        "3fff::/20",  # documentation
        "fd00:ec2::/32",  # cloud metadata and identity
        "fd20:ce::254/128",  # cloud metadata
    )
]
_IPV6_UNICAST = ip_network("2000::/3")  # the rest of IPv6 translates, maps, is local or is not assigned


@dataclass(frozen=True, slots=True)
class Rules:
    """What a reference may name. Empty tuples refuse all."""

    schemes: tuple[str, ...]
    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = (80, 443)
    buckets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Web:
    """An http or https reference. `target` is path and query as sent; it may hold a secret, so it is never shown."""

    scheme: str
    host: str
    port: int
    target: str
    rule: str

    @property
    def origin(self) -> str:
        """Who is asked, without what."""
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def store(self) -> str:
        """The store by the rule that allows it: events choose hosts under a suffix, but never how many stores are."""
        return f"{self.scheme}://{'*' if self.rule.startswith('.') else ''}{self.rule}:{self.port}"


@dataclass(frozen=True, slots=True)
class Stored:
    """An object in a bucket."""

    bucket: str
    key: str

    @property
    def store(self) -> str:
        """The bucket."""
        return f"s3://{self.bucket}"


@dataclass(frozen=True, slots=True)
class Local:
    """An absolute path on this machine, not yet checked against the roots."""

    path: bytes

    @property
    def store(self) -> str:
        """The disks of this machine, as one."""
        return "files"


Reference = Web | Stored | Local


def parse(uri: str, rules: Rules) -> Reference:
    """Read a reference; raise Refused unless the rules allow it."""
    if len(uri) > _MAX_LENGTH:
        raise Refused("reference_malformed", "too long")
    scheme = _SCHEME.match(uri)
    if scheme is None or _CONTROL.search(uri):
        raise Refused("reference_malformed", "not an absolute URI without control characters")
    name, rest = scheme[1].lower(), uri[scheme.end() :]
    if name != "s3" and ("\\" in rest or not rest.isprintable()):
        raise Refused("reference_malformed", "not a URI of plain characters")
    if name not in rules.schemes:
        raise Refused("reference_scheme", "not among SLUICE_FETCH__ALLOWED_SCHEMES")
    if name != "s3" and _UNSAFE.search(rest):  # an object's key is free text, and no part of any URL parser's diet
        raise Refused("reference_malformed", "characters that must be percent-encoded")
    match name:
        case "http" | "https":
            return _web(name, rest, rules)
        case "s3":
            return _stored(rest, rules)
        case "file":
            return _local(rest)
        case _:
            raise Refused("reference_scheme", "no such kind of reference")


def check_addresses(addresses: Sequence[str], *, allow_private: bool) -> list[str]:
    """Return what a name resolved to; raise Refused unless every single address may be connected to."""
    if not addresses or not all(_allowed(ip_address(text), allow_private=allow_private) for text in addresses):
        raise Refused("reference_address", "the host resolves to an address that is not public")
    return list(addresses)


def _allowed(address: Address, *, allow_private: bool) -> bool:
    if _within(address, _NEVER):
        return False
    if _within(address, _PRIVATE):
        return allow_private
    return isinstance(address, IPv4Address) or (address in _IPV6_UNICAST and address.scope_id is None)


def _within(address: Address, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def _web(scheme: str, rest: str, rules: Rules) -> Web:
    parts = _WEB.match(rest)
    if parts is None:
        raise Refused("reference_malformed", "no host")
    if "@" in parts["authority"]:
        raise Refused("reference_userinfo", "a user name or password")
    authority = _AUTHORITY.fullmatch(parts["authority"])
    if authority is None:
        raise Refused("reference_malformed", "host and port")
    host = _host(authority["host"])
    rule = _rule(host, rules.hosts)
    port = int(authority["port"] or _DEFAULT_PORTS[scheme])
    if port not in rules.ports or port > MAX_PORT:
        raise Refused("reference_port", "not among SLUICE_FETCH__ALLOWED_PORTS")
    target = parts["target"]
    return Web(scheme, host, port, target if target.startswith("/") else "/" + target, rule)


def _host(text: str) -> str:
    try:
        return host_of(text)
    except ValueError as error:
        raise Refused(
            "reference_malformed", "a host name that is none, or an IP address in an unusual spelling"
        ) from error


def _rule(host: str, allowed: Sequence[str]) -> str:
    """Return the entry of the list that allows a host, the exact one if it is there."""
    rules = [entry.lower() for entry in allowed]
    suffixes = (rule for rule in rules if rule.startswith("."))
    rule = host if host in rules else next((suffix for suffix in suffixes if host.endswith(suffix)), None)
    if rule is None:
        raise Refused("reference_host", "not among SLUICE_FETCH__ALLOWED_HOSTS")
    return rule


def _stored(rest: str, rules: Rules) -> Stored:
    """Read `//bucket/key`: the key is all that follows the first slash, as it stands; nothing in it is decoded.

    Clients drop slashes at the ends and double ones, so that such a key would name another object.
    """
    bucket, slash, key = rest.removeprefix("//").partition("/")
    if not rest.startswith("//") or not slash or not is_bucket(bucket):
        raise Refused("reference_malformed", "not s3://bucket/key")
    if bucket not in rules.buckets:
        raise Refused("reference_bucket", "not among SLUICE_FETCH__S3_BUCKETS")
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise Refused("reference_malformed", "a key with empty or dotted parts")
    if len(key.encode()) > _MAX_KEY_BYTES:
        raise Refused("reference_malformed", "a key over 1,024 bytes")
    return Stored(bucket, key)


def _local(rest: str) -> Local:
    if not rest.startswith("///") or "?" in rest or "#" in rest:
        raise Refused("reference_malformed", "not file:///path")
    path = unquote_to_bytes(rest[2:])
    if b"\0" in path:
        raise Refused("reference_malformed", "a path with a zero byte")
    return Local(path)

"""Kinds of text in settings. What cannot be meant is refused in words: a space that is not seen, a host that is none."""

import math
import re
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

MAX_TEXT = 255
MAX_ADDRESS = 4096
MAX_SECRET = 16_384
MAX_PORT = 65_535

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_MAX_HOST = 253
_SERVER = re.compile(
    r"(?:(?:SASL_)?(?:PLAINTEXT|SSL)://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]/@]+):(?P<port>[0-9]{1,5})"
)
_URL = re.compile(r"https?://(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]/?#]+)(?::(?P<port>[0-9]{1,5}))?(?:[/?][\x21-\x7e]*)?")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_OPTION = re.compile(r"[a-z0-9._-]{1,100}")


def host(text: str) -> str:
    """Return a canonical host: a plain lower-case name, a dotted quad, or IPv6 in brackets. Raises ValueError."""
    if text.startswith("[") and text.endswith("]"):
        return f"[{IPv6Address(text[1:-1]).compressed}]"
    name = text.lower()
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):  # octal, hex, short and decimal spellings are no IPv4Address
        return str(IPv4Address(name))
    if len(name) > _MAX_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("must be a host name of letters, digits, hyphens and dots")
    return name


def is_bucket(text: str) -> bool:
    """Whether a bucket can have this name."""
    return _BUCKET.fullmatch(text) is not None


def _plain(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("must hold no control characters")
    if text != text.strip():
        raise ValueError("must not begin or end with a space")
    return text


def _topic(text: str) -> str:
    if text in (".", ".."):
        raise ValueError("must be the name of a topic, which `.` and `..` are not")
    return text


def _without_credentials(address: str) -> str:
    """Refuse what every message about a failed connection would show."""
    if "@" in address:
        raise ValueError("must hold no credentials; they have settings of their own beside it")
    return _plain(address)


def _servers(text: str) -> str:
    """Return brokers without the spaces between them."""
    entries = [entry.strip() for entry in text.split(",")] if text else []
    for entry in entries:
        found = _SERVER.fullmatch(entry)
        if found is None or not _reachable(found):
            raise ValueError("must be host:port, or several of them with commas between")
    return ",".join(entries)


def _url(text: str) -> str:
    found = _URL.fullmatch(text)
    if text and (found is None or not _reachable(found)):
        raise ValueError("must be http://host or https://host, with :port and /path where needed")
    return text


def _reachable(found: re.Match[str]) -> bool:
    port = found["port"]
    try:
        host(found["host"].removesuffix("."))
    except ValueError:
        return False
    return port is None or 1 <= int(port) <= MAX_PORT


def _host_rule(text: str) -> str:
    if "*" in text:
        raise ValueError("must be a host without `*`; all hosts below a name are written `.example.com`")
    try:
        if not text.startswith("."):
            return host(text)
        return f".{host(f'below{text}').removeprefix('below.')}"  # no name ends like an address
    except ValueError:
        raise ValueError(
            "must be a host (`img.example.com`), or a dot and the end of one (`.cdn.example.com`);"
            " without scheme, port and path, in ASCII"
        ) from None


def _listening(text: str) -> str:
    try:
        return IPv6Address(text).compressed if ":" in text and not text.startswith("[") else host(text).strip("[]")
    except ValueError:
        raise ValueError("must be a host name or an IP address of this machine") from None


def _bucket(text: str) -> str:
    if not is_bucket(text):
        raise ValueError("must be the name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens")
    return text


def _path(path: Path | None) -> Path | None:
    if path is not None:
        _plain(str(path))
        if len(str(path).encode("utf-8", "surrogateescape")) > MAX_ADDRESS:
            raise ValueError(f"must be at most {MAX_ADDRESS:,} bytes long")
    return path


def _unset(value: Any) -> Any:
    """Read an empty text as no path: it would be the working folder."""
    return None if value == "" else value


def _secret(value: SecretStr) -> SecretStr:
    if _CONTROL.search(value.get_secret_value()):
        raise ValueError("must hold no control characters")
    return value


def _options(options: dict[str, str | int | float | bool]) -> dict[str, str | int | float | bool]:
    for name, value in options.items():
        if not _OPTION.fullmatch(name):
            raise ValueError("must hold names as librdkafka has them: lower-case letters, digits, dots, - and _")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number")
        if isinstance(value, str) and (_CONTROL.search(value) or len(value) > MAX_SECRET):
            raise ValueError(f"{name} must be a text without control characters")
    return options


Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_plain)]
"""A name or a short text, possibly empty."""

LongText = Annotated[str, Field(max_length=MAX_ADDRESS), AfterValidator(_plain)]
"""The same, where it may be a path."""

Name = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(_plain)]
"""A name that must be there."""

Topic = Annotated[str, Field(max_length=249, pattern=r"^[a-zA-Z0-9._-]+$"), AfterValidator(_topic)]
"""The name of a topic, by Kafka's own rule."""

Servers = Annotated[str, Field(max_length=MAX_ADDRESS), AfterValidator(_without_credentials), AfterValidator(_servers)]
"""Brokers."""

Url = Annotated[str, Field(max_length=MAX_ADDRESS), AfterValidator(_without_credentials), AfterValidator(_url)]
"""An address over HTTP, possibly empty."""

HostRule = Annotated[str, AfterValidator(_host_rule)]
"""A host, or a dot and the end of one."""

Listening = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_listening)]
"""An address to listen on."""

Bucket = Annotated[str, AfterValidator(_bucket)]
"""A bucket."""

Folder = Annotated[Path, AfterValidator(_path)]
"""A path."""

OptionalPath = Annotated[Path | None, BeforeValidator(_unset), AfterValidator(_path)]
"""A path, or none."""

Secret = Annotated[SecretStr, Field(max_length=MAX_SECRET), AfterValidator(_secret)]
"""What no message shows."""

Options = Annotated[dict[str, str | int | float | bool], AfterValidator(_options)]
"""librdkafka's own settings, by their names there."""

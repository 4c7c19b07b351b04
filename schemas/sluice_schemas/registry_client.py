"""A small client of a schema registry that speaks Confluent's API. Needs the extra `registry` (httpx)."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from sluice_schemas.errors import RegistryDown, RegistryRefused, RegistryUnclear, WireError
from sluice_schemas.shape import Schema

MAX_ANSWER_BYTES = 4 * 1024 * 1024
MAX_REFERENCES = 256
"""Schemas that one schema may refer to, directly and through others; each costs the registry a call."""

_MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
_RETRIABLE = {408, 425, 429}
_NOT_FOUND = 404
_TOTAL_S = 10.0

Key = int | UUID
"""A schema's id or GUID."""
_Version = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Registered:
    """How a registry knows a schema; `guid` is None where the registry gives none."""

    id: int
    guid: UUID | None = None


class MissingReference(WireError):
    """A schema refers to one that the registry does not give."""


@dataclass(frozen=True, slots=True)
class Written:
    """A schema of the registry, and the schemas it refers to, each after those it refers to itself."""

    definition: Schema
    references: tuple[Schema, ...] = ()


def connect(url: str, *, auth: tuple[str, str] | None = None, verify: Any = True, timeout_s: float = 5.0) -> "Registry":
    """Return a client of the registry at this address, its API path included.

    `auth` is user and password for basic authentication; `verify` as httpx takes it: True, or an `ssl.SSLContext` with
    a private CA or a client certificate. `timeout_s` bounds the connection and every wait for bytes.
    """
    client = httpx.Client(
        base_url=url.rstrip("/") + "/",
        auth=auth,
        verify=verify,
        timeout=timeout_s,
        trust_env=False,
        headers={"Accept": f"{_MEDIA_TYPE}, application/json"},
    )
    return Registry(client)


class Registry:
    """The calls Sluice needs.

    Each raises RegistryDown (try again; RegistryUnclear if what came is no registry's answer) or RegistryRefused (do
    not). An answer of more than MAX_ANSWER_BYTES, or one that takes more than ten seconds, is none.
    """

    def __init__(self, client: httpx.Client, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def register(self, subject: str, schema: str) -> Registered:
        """Register a schema, or find it there; RegistryRefused 409 if it is incompatible with an earlier version."""
        return _registered(self._call("POST", f"subjects/{_quoted(subject)}/versions", _avro(schema)))

    def look_up(self, subject: str, schema: str) -> Registered:
        """Return how the subject knows this very schema; RegistryRefused 404 if it does not."""
        return _registered(self._call("POST", f"subjects/{_quoted(subject)}", _avro(schema)))

    def compatible(self, subject: str, schema: str) -> bool:
        """Tell whether the subject would take the schema as its next version; a new subject takes any."""
        path = f"compatibility/subjects/{_quoted(subject)}/versions"
        try:
            answer = self._call("POST", f"{path}/latest", _avro(schema))
        except RegistryRefused as error:
            if error.status != _NOT_FOUND:
                raise
            return True
        return bool(answer.get("is_compatible"))

    def require(self, subject: str, compatibility: str = "FULL_TRANSITIVE") -> None:
        """Set the compatibility rule of a subject."""
        self._call("PUT", f"config/{_quoted(subject)}", {"compatibility": compatibility})

    def schema(self, key: Key) -> Schema:
        """Return the schema behind an id or GUID; RegistryRefused 404 if there is none, WireError if it is not Avro."""
        return _definition(self._schema(_path(key)))

    def written(self, key: Key) -> Written:
        """Return the schema behind an id or GUID with all it refers to. Raises as `schema` does.

        What it refers to and cannot be had is MissingReference, whose reason is `unresolvable_schema`.
        """
        answer = self._schema(_path(key))
        return Written(_definition(answer), self._references(answer))

    def serves(self) -> bool:
        """Tell whether this is a registry that answers at all, asked for what any of them must know."""
        lists = any(isinstance(self._probe(path), list) for path in ("schemas/types", "subjects"))
        return lists or "compatibilityLevel" in (self._probe("config") or ())

    def _references(self, answer: dict[str, Any]) -> tuple[Schema, ...]:
        """Return what a schema refers to, depth first, each version once."""
        found: dict[_Version, Schema] = {}
        path: list[tuple[_Version | None, Schema, Iterator[_Version]]] = [(None, None, _named(answer))]
        while path:
            version, definition, further = path[-1]
            following = next((name for name in further if name not in found), None)
            if following is None:
                path.pop()
                if version:
                    found[version] = definition
                continue
            if any(version == following for version, _, _ in path):
                raise WireError("unresolvable_schema", "its references go round in a circle")
            if len(found) + len(path) > MAX_REFERENCES:
                raise WireError("unresolvable_schema", f"it refers to more than {MAX_REFERENCES} schemas")
            referred = self._referred(following)
            path.append((following, _definition(referred), _named(referred)))
        return tuple(found.values())

    def _referred(self, version: _Version) -> dict[str, Any]:
        subject, number = version
        try:
            return self._schema(f"subjects/{_quoted(subject)}/versions/{number}")
        except (RegistryRefused, RegistryUnclear) as error:
            raise MissingReference("unresolvable_schema", f"a schema it refers to cannot be had: {error}") from None

    def _schema(self, path: str) -> dict[str, Any]:
        answer = self._call("GET", path)
        if "schema" not in answer:
            raise RegistryUnclear(f"GET {path}: an answer without a schema")
        return answer

    def _probe(self, path: str) -> Any:
        try:
            status, answer = self._ask("GET", path, None)
        except RegistryDown:
            return None
        return answer if httpx.codes.is_success(status) and isinstance(answer, list | dict) else None

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        status, answer = self._ask(method, path, body)
        said = answer if isinstance(answer, dict) else {}
        if httpx.codes.is_client_error(status) and status not in _RETRIABLE:
            code = said.get("error_code")
            raise RegistryRefused(status, code if type(code) is int else 0, str(said.get("message", ""))[:300])
        if httpx.codes.is_server_error(status) or status in _RETRIABLE:
            raise RegistryDown(f"{method} {path}: HTTP {status}")
        if not httpx.codes.is_success(status) or not said:
            raise RegistryUnclear(f"{method} {path}: HTTP {status} that is no registry's answer")
        return said

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        """Return status and JSON of an answer; None for what is not JSON."""
        headers = {"Content-Type": _MEDIA_TYPE} if body else None
        deadline, data = self._clock() + _TOTAL_S, bytearray()
        try:
            with self._client.stream(method, path, json=body, headers=headers) as response:
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > MAX_ANSWER_BYTES:
                        raise RegistryUnclear(f"{method} {path}: more than {MAX_ANSWER_BYTES} bytes")
                    if self._clock() > deadline:
                        raise RegistryDown(f"{method} {path}: no end within {_TOTAL_S:g} s")
        except httpx.HTTPError as error:
            raise RegistryDown(f"{method} {path}: {type(error).__name__}") from error
        return response.status_code, _json(data)


def _json(data: bytearray | str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _definition(answer: dict[str, Any]) -> Schema:
    """Return the schema in a registry's answer; WireError `unresolvable_schema` if it is not an Avro schema's text."""
    kind, text = answer.get("schemaType", "AVRO"), answer["schema"]
    if kind != "AVRO":
        raise WireError("unresolvable_schema", f"its schema is of type {str(kind)[:20]}, not AVRO")
    if not isinstance(text, str):
        raise WireError("unresolvable_schema", "its schema is no text")
    definition = _json(text)
    if definition is None:
        raise WireError("unresolvable_schema", "its schema is not JSON")
    return definition


def _named(answer: dict[str, Any]) -> Iterator[_Version]:
    """Return subject and version of what an answer's schema refers to."""
    references = answer.get("references") or []
    try:
        return iter([(str(reference["subject"]), int(reference["version"])) for reference in references])
    except (KeyError, TypeError, ValueError):
        raise WireError("unresolvable_schema", "its references do not say what they refer to") from None


def _registered(answer: dict[str, Any]) -> Registered:
    try:
        known = Registered(int(answer["id"]), UUID(answer["guid"]) if answer.get("guid") else None)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RegistryUnclear("the registry's answer has no schema id") from error
    if not 0 <= known.id < 1 << 31:
        raise RegistryUnclear("the registry's answer has a schema id beyond 31 bits")
    return known


def _path(key: Key) -> str:
    return f"schemas/ids/{key}" if isinstance(key, int) else f"schemas/guids/{key}"


def _avro(schema: str) -> dict[str, Any]:
    return {"schema": schema, "schemaType": "AVRO"}


def _quoted(subject: str) -> str:
    return quote(subject, safe="")

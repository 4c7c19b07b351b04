"""A small client of a schema registry that speaks Confluent's API, and Confluent framing on top of it.

Needs the extra `registry` (httpx). Nothing is registered unless asked: in production schemas arrive by deployment.
"""

import json
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
from fastavro.schema import SchemaParseException, parse_schema

from sluice_schemas import wire
from sluice_schemas.codec import Decoder
from sluice_schemas.errors import RegistryDown, RegistryRefused, WireError
from sluice_schemas.events import Event
from sluice_schemas.headers import Headers
from sluice_schemas.released import newest
from sluice_schemas.topics import subject_of
from sluice_schemas.wire import E

_MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
_RETRIABLE = {408, 425, 429}
_NOT_FOUND = 404
_SCHEMA_NOT_FOUND = 40403


@dataclass(frozen=True, slots=True)
class Registered:
    """How a registry knows a schema; `guid` is None where the registry gives none."""

    id: int
    guid: UUID | None = None


def connect(url: str, *, auth: tuple[str, str] | None = None, verify: Any = True, timeout_s: float = 5.0) -> "Registry":
    """Return a client of the registry at this address, its API path included.

    `auth` is user and password for basic authentication; `verify` as httpx takes it: True, or an `ssl.SSLContext` with
    a private CA or a client certificate.
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
    """The calls Sluice needs. Each raises RegistryDown (try again) or RegistryRefused (do not)."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

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

    def schema(self, key: int | UUID) -> dict[str, Any]:
        """Return the schema behind an id or GUID; RegistryRefused 404 if there is none."""
        path = f"schemas/ids/{key}" if isinstance(key, int) else f"schemas/guids/{key}"
        try:
            definition = json.loads(self._call("GET", path)["schema"])
            parse_schema(definition)
        except (KeyError, TypeError, ValueError, SchemaParseException) as error:
            raise WireError("unresolvable_schema", f"schema {key} of the registry is not Avro") from error
        if not isinstance(definition, dict):
            raise WireError("unresolvable_schema", f"schema {key} of the registry is not a record")
        return definition

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            response = self._client.request(
                method, path, json=body, headers={"Content-Type": _MEDIA_TYPE} if body else None
            )
        except httpx.HTTPError as error:
            raise RegistryDown(f"{method} {path}: {type(error).__name__}") from error
        answer = _object(response)
        if response.is_client_error and response.status_code not in _RETRIABLE:
            code, message = answer.get("error_code", 0), str(answer.get("message", ""))[:300]
            raise RegistryRefused(response.status_code, code, message)
        if not response.is_success or not answer:
            raise RegistryDown(f"{method} {path}: HTTP {response.status_code}")
        return answer


class ConfluentFraming:
    """Confluent framing: 0x00 and a 4-byte id before the body, or with `guid_header` the schema's GUID in a header.

    Reads both, and single-object encoding too. Ids that were looked up stay known; an id the registry does not know is
    asked for again after `forget_s`, so that a stream of made-up ids costs the registry one call each.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        auto_register: bool = False,
        guid_header: bool = False,
        forget_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._auto_register = auto_register
        self._guid_header = guid_header
        self._forget_s = forget_s
        self._clock = clock
        self._registered: dict[tuple[str, str], Registered] = {}
        self._decoders: dict[tuple[int | UUID, str], Decoder] = {}
        self._unknown: dict[int | UUID, float] = {}

    def encode(self, topic: str, value: Event) -> tuple[bytes, Headers]:
        """Return the framed event. RegistryRefused if its schema is not registered for the topic."""
        known = self._known(subject_of(topic), type(value).__name__)
        if not self._guid_header:
            return wire.encode_body(value, prefix=b"\0" + struct.pack(">I", known.id)), ()
        if known.guid is None:
            raise RegistryRefused(_NOT_FOUND, 0, "this registry gives no GUIDs; use the id prefix")
        return wire.encode_body(value, prefix=b""), ((wire.SCHEMA_ID_HEADER, b"\1" + known.guid.bytes),)

    def decode(
        self,
        topic: str,  # noqa: ARG002 -- ids are the registry's, not the topic's
        data: bytes | None,
        headers: Iterable[tuple[str, bytes | None]],
        expected_type: type[E],
    ) -> E:
        """Return the event in a message value, whichever frame it has. RegistryDown if its schema cannot be had now."""
        frame = wire.split(data, headers)
        if isinstance(frame.schema, bytes):
            return wire.decode_frame(frame, expected_type)
        return wire.decode_body(frame, expected_type, self._decoder(frame.schema, expected_type))

    def _known(self, subject: str, event: str) -> Registered:
        key = (subject, event)
        if key not in self._registered:
            call = self._registry.register if self._auto_register else self._registry.look_up
            self._registered[key] = call(subject, newest(event).text)
        return self._registered[key]

    def _decoder(self, key: int | UUID, expected_type: type[E]) -> Decoder:
        cached = self._decoders.get((key, expected_type.__name__))
        if cached is None:
            cached = wire.decoder_for(self._writer_schema(key), expected_type)
            self._decoders[key, expected_type.__name__] = cached
        return cached

    def _writer_schema(self, key: int | UUID) -> dict[str, Any]:
        reason = "unknown_schema_id" if isinstance(key, int) else "unknown_schema_guid"
        now = self._clock()
        self._unknown = {k: since for k, since in self._unknown.items() if now - since < self._forget_s}
        try:
            if key not in self._unknown:
                return self._registry.schema(key)
        except RegistryRefused as error:
            if not _is_unknown(key, error):
                raise
            self._unknown[key] = now
        raise WireError(reason, "the registry does not know this schema")


def _is_unknown(key: int | UUID, error: RegistryRefused) -> bool:
    """Tell whether the registry itself says that it has no such schema.

    A plain 404 may be a wrong address, which must not turn every record into a dead letter. For GUIDs it has to do:
    registries without GUIDs answer that way, and one stray header must not hold up a partition.
    """
    return error.code == _SCHEMA_NOT_FOUND or (isinstance(key, UUID) and error.status == _NOT_FOUND)


def _object(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object in an answer; an empty one if there is something else."""
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _registered(answer: dict[str, Any]) -> Registered:
    try:
        return Registered(int(answer["id"]), UUID(answer["guid"]) if answer.get("guid") else None)
    except (KeyError, TypeError, ValueError) as error:
        raise RegistryDown("the registry's answer has no schema id") from error


def _avro(schema: str) -> dict[str, Any]:
    return {"schema": schema, "schemaType": "AVRO"}


def _quoted(subject: str) -> str:
    return quote(subject, safe="")

"""Confluent framing, by a schema registry that speaks Confluent's API. Needs the extra `registry` (httpx).

Nothing is registered unless asked: in production schemas arrive by deployment.
"""

import struct
import time
from collections.abc import Callable

from sluice_schemas import wire
from sluice_schemas.errors import RegistryRefused
from sluice_schemas.events import Event
from sluice_schemas.headers import AnyHeaders, Headers
from sluice_schemas.registry_client import Registered, Registry, connect
from sluice_schemas.released import newest
from sluice_schemas.schema_lookup import FORGET_S, Lookup
from sluice_schemas.topics import subject_of
from sluice_schemas.wire import Decoded, E

__all__ = ["ConfluentFraming", "Registered", "Registry", "connect"]

PATIENCE_S = 120.0
_NOT_FOUND = 404


class ConfluentFraming:
    """Confluent framing: 0x00 and a 4-byte id before the body, or with `guid_header` the schema's GUID in a header.

    Reads both, and single-object encoding too. Schemas that were looked up stay known. An id that is refused is asked
    for again after `forget_s`; one that only fails while others are served is refused after `patience_s`.
    """

    def __init__(  # noqa: PLR0913 -- all but one have a default
        self,
        registry: Registry,
        *,
        auto_register: bool = False,
        guid_header: bool = False,
        patience_s: float = PATIENCE_S,
        forget_s: float = FORGET_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._auto_register = auto_register
        self._guid_header = guid_header
        self._lookup = Lookup(registry, patience_s=patience_s, forget_s=forget_s, clock=clock)
        self._registered: dict[tuple[str, str], Registered] = {}

    def encode(self, topic: str, value: Event) -> tuple[bytes, Headers]:
        """Return the framed event. RegistryRefused if its schema is not registered for the topic."""
        known = self.registered(topic, type(value))
        if not self._guid_header:
            return wire.encode_body(value, prefix=b"\0" + struct.pack(">I", known.id)), ()
        if known.guid is None:
            raise RegistryRefused(_NOT_FOUND, 0, "this registry gives no GUIDs; use the id prefix")
        return wire.encode_body(value, prefix=b""), ((wire.SCHEMA_ID_HEADER, b"\1" + known.guid.bytes),)

    def decode(self, topic: str, data: bytes | None, headers: AnyHeaders, expected_type: type[E]) -> E:
        """Return the event in a message value, whichever frame it has. RegistryDown if the registry serves none."""
        return self.read(topic, data, headers, expected_type).event

    def read(
        self,
        topic: str,  # noqa: ARG002 -- ids are the registry's, not the topic's
        data: bytes | None,
        headers: AnyHeaders,
        expected_type: type[E],
    ) -> Decoded[E]:
        """Return the event and what it was read from."""
        frame = wire.split(data, headers)
        if isinstance(frame.schema, bytes):
            return wire.read_frame(frame, expected_type)
        return wire.read_body(frame, expected_type, self._lookup.schema(frame.schema, expected_type))

    def registered(self, topic: str, kind: type[Event]) -> Registered:
        """Return how the registry knows what we write to a topic; it is asked once. Raises as the registry does."""
        key = (topic, kind.__name__)
        if key not in self._registered:
            call = self._registry.register if self._auto_register else self._registry.look_up
            self._registered[key] = call(subject_of(topic), newest(kind.__name__).text)
            self._lookup.served(self._registered[key].id)
        return self._registered[key]

"""The one question a producer or consumer of events asks about bytes, and the answer that needs no registry."""

from typing import Protocol

from sluice_schemas import wire
from sluice_schemas.events import Event
from sluice_schemas.headers import AnyHeaders, Headers
from sluice_schemas.wire import Decoded, E


class Framing(Protocol):
    """Turns events into message values and back. Both directions raise WireError for what is wrong with the data."""

    def encode(self, topic: str, value: Event) -> tuple[bytes, Headers]:
        """Return the message value and the headers that belong to it."""
        ...

    def decode(self, topic: str, data: bytes | None, headers: AnyHeaders, expected_type: type[E]) -> E:
        """Return the event in a message value, whichever frame it has."""
        ...

    def read(self, topic: str, data: bytes | None, headers: AnyHeaders, expected_type: type[E]) -> Decoded[E]:
        """Return the same with what it was read from, for a check whether it is to be believed."""
        ...


class SingleObjectFraming:
    """Avro single-object encoding, the default: every message says by itself which schema it was written with."""

    def encode(self, topic: str, value: Event) -> tuple[bytes, Headers]:  # noqa: ARG002 -- no registry, no subject
        """Return the event in single-object encoding; no headers belong to it."""
        return wire.encode(value), ()

    def decode(self, topic: str, data: bytes | None, headers: AnyHeaders, expected_type: type[E]) -> E:
        """Return the event in single-object encoding; Confluent frames get `wrong_magic`, there is no registry."""
        return self.read(topic, data, headers, expected_type).event

    def read(
        self,
        topic: str,  # noqa: ARG002
        data: bytes | None,
        headers: AnyHeaders,
        expected_type: type[E],
    ) -> Decoded[E]:
        """Return the event and what it was read from."""
        return wire.read_frame(wire.split(data, headers), expected_type)

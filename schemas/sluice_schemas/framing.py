"""The one question a producer or consumer of events asks about bytes, and the answer that needs no registry."""

from collections.abc import Iterable
from typing import Protocol

from sluice_schemas import wire
from sluice_schemas.events import Event
from sluice_schemas.headers import Headers
from sluice_schemas.wire import E


class Framing(Protocol):
    """Turns events into message values and back. Both directions raise WireError for what is wrong with the data."""

    def encode(self, topic: str, value: Event) -> tuple[bytes, Headers]:
        """Return the message value and the headers that belong to it."""
        ...

    def decode(
        self,
        topic: str,
        data: bytes | None,
        headers: Iterable[tuple[str, bytes | None]],
        expected_type: type[E],
    ) -> E:
        """Return the event in a message value, whichever frame it has."""
        ...


class SingleObjectFraming:
    """Avro single-object encoding, the default: every message says by itself which schema it was written with."""

    def encode(self, topic: str, value: Event) -> tuple[bytes, Headers]:  # noqa: ARG002 -- no registry, no subject
        """Return the event in single-object encoding; no headers belong to it."""
        return wire.encode(value), ()

    def decode(
        self,
        topic: str,  # noqa: ARG002
        data: bytes | None,
        headers: Iterable[tuple[str, bytes | None]],
        expected_type: type[E],
    ) -> E:
        """Return the event in single-object encoding; Confluent frames get `wrong_magic`, there is no registry."""
        return wire.decode_frame(wire.split(data, headers), expected_type)

"""Events as bytes: Avro single-object encoding, and the frames a reader may meet.

Written: C3 01, the CRC-64-AVRO fingerprint of the newest schema (8 bytes, little-endian), the Avro body.
Read: that, of any released version, and both Confluent forms (see `registry`), told apart by the first byte.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar
from uuid import UUID

from sluice_schemas.codec import Decoder, Encoder, compile_decoder, compile_encoder
from sluice_schemas.errors import WireError
from sluice_schemas.events import Event
from sluice_schemas.foreign import Writer, base_of, parsed, short_name
from sluice_schemas.headers import AnyHeaders, only
from sluice_schemas.primitives import BAD_BYTES, BAD_VALUE
from sluice_schemas.released import by_fingerprint, newest
from sluice_schemas.shape import Schema

E = TypeVar("E", bound=Event)

SINGLE_OBJECT = b"\xc3\x01"
MAX_BYTES = 8 * 1024 * 1024
"""Largest message a reader looks at: an inline image of 1 MiB, kept in a dead letter, with room to spare."""
SCHEMA_ID_HEADER = "__value_schema_id"

_PREFIX_ID = b"\x00"
_PREFIX_GUID = b"\x01"
_FINGERPRINT_END = len(SINGLE_OBJECT) + 8
_ID_END = 5
_GUID_END = 17


@dataclass(frozen=True, slots=True)
class Frame:
    """A message taken apart: which schema its body was written with, and where in `data` the body starts."""

    schema: bytes | int | UUID  # fingerprint, registry id or registry GUID
    data: bytes
    start: int

    @property
    def body(self) -> bytes:
        """The Avro body alone."""
        return self.data[self.start :]


@dataclass(frozen=True, slots=True)
class Resolved:
    """How bodies of one writer schema are read, and the digest that names that schema (`Writer.digest`)."""

    decoder: Decoder
    digest: bytes


@dataclass(frozen=True, slots=True)
class Decoded(Generic[E]):
    """A message that was parsed once: its event, the bytes it was read from, the digest of the schema that read them.

    A check whether a message is to be believed looks at this, and so about exactly what was read.
    """

    event: E
    frame: Frame
    digest: bytes


def encode(value: Event) -> bytes:
    """Return the event in single-object encoding. WireError `unencodable` if a field holds what its type forbids."""
    return encode_body(value, prefix=_prefix(type(value).__name__))


def encode_body(value: Event, *, prefix: bytes) -> bytes:
    """Return the prefix and the bare Avro body of the event, in the newest schema."""
    encoder = _encoder(type(value).__name__)
    try:
        return encoder(value, prefix)
    except BAD_VALUE as error:
        message = f"{type(value).__name__} holds a value its schema forbids ({type(error).__name__})"
        raise WireError("unencodable", message) from None


def decode(data: bytes | None, expected_type: type[E], *, max_bytes: int = MAX_BYTES) -> E:
    """Return the event in these bytes, written by any released version of its schema, in the newest form.

    Raises WireError and nothing else, whatever the bytes. Frames that need a registry get `wrong_magic` here.
    """
    return decode_frame(split(data, max_bytes=max_bytes), expected_type)


def split(data: bytes | None, headers: AnyHeaders = (), *, max_bytes: int = MAX_BYTES) -> Frame:
    """Take a message apart without looking into its body: single-object, id or GUID prefix, id or GUID header.

    WireError `repeated_header` if the header with the schema's id stands twice, `ambiguous_schema` if the value names a
    schema as well: readers would differ in which of them counts.
    """
    if not data:
        raise WireError("empty", "no bytes" if data is not None else "a null value (tombstone)")
    if len(data) > max_bytes:
        raise WireError("too_large", f"{len(data)} bytes, the limit is {max_bytes}")
    named = only(headers, SCHEMA_ID_HEADER)
    if data.startswith(SINGLE_OBJECT):
        if named:
            raise WireError("ambiguous_schema", f"single-object encoding and header {SCHEMA_ID_HEADER} both name one")
        if len(data) < _FINGERPRINT_END:
            raise WireError("malformed", "ends within the fingerprint")
        return Frame(data[len(SINGLE_OBJECT) : _FINGERPRINT_END], data, _FINGERPRINT_END)
    schema, end = _schema_id(named or data)
    if not named:
        return Frame(schema, data, end)
    if end != len(named):
        raise WireError("malformed", f"header {SCHEMA_ID_HEADER} has trailing bytes")
    return Frame(schema, data, 0)


def decode_frame(frame: Frame, expected_type: type[E]) -> E:
    """Return the event of a single-object frame; WireError `wrong_magic` for the others."""
    return read_frame(frame, expected_type).event


def read_frame(frame: Frame, expected_type: type[E]) -> Decoded[E]:
    """Return what a single-object frame holds; WireError `wrong_magic` for the others."""
    if not isinstance(frame.schema, bytes):
        raise WireError("wrong_magic", "not single-object encoding; a Confluent frame needs a registry to be read")
    return read_body(frame, expected_type, _released(frame.schema, expected_type.__name__))


def read_body(frame: Frame, expected_type: type[E], schema: Resolved) -> Decoded[E]:
    """Return what a frame holds whose schema was resolved."""
    return Decoded(decode_body(frame, expected_type, schema.decoder), frame, schema.digest)


def decode_body(frame: Frame, expected_type: type[E], decoder: Decoder) -> E:
    """Return the event in the frame's body; every byte of it must be used."""
    try:
        value, end = decoder(frame.data, frame.start)
    except WireError:
        raise
    except BAD_BYTES as error:
        message = f"not a valid {expected_type.__name__} ({type(error).__name__})"
        raise WireError("malformed", message) from None
    if end != len(frame.data):
        raise WireError("trailing_bytes", f"{len(frame.data) - end} bytes after the {expected_type.__name__}")
    event: E = value
    return event


def decoder_for(definition: Schema, expected_type: type[E], references: Iterable[Schema] = ()) -> Decoder:
    """Compile the decoder of a schema from elsewhere; WireError `wrong_type` or `unresolvable_schema` if none fits.

    The schema is that of the event, or a union with it; `references` define the names it uses, each after those it
    uses itself.
    """
    return resolve(definition, expected_type, references).decoder


def resolve(definition: Schema, expected_type: type[E], references: Iterable[Schema] = ()) -> Resolved:
    """Compile what `decoder_for` does, and name the schema by its digest."""
    reader, writer = newest(expected_type.__name__).definition, parsed(definition, references)
    root = writer.part(writer.root)
    branches = [writer.part(branch) for branch in (root if isinstance(root, list) else [root])]
    names = {short_name(branch) for branch in branches if base_of(branch) == "record"}
    if not names:
        raise WireError("unresolvable_schema", "its schema is not a record")
    if reader["name"] not in names:
        raise WireError("wrong_type", f"its schema is not that of {expected_type.__name__}")
    return _resolved(writer, reader)


def digest_of(frame: Frame, event: str) -> bytes:
    """Return the digest of the schema that one of our own frames was written with: its fingerprint's, or the newest."""
    fingerprint = frame.schema if isinstance(frame.schema, bytes) else newest(event).fingerprint
    return _released(fingerprint, event).digest


def _resolved(writer: Writer, reader: Schema) -> Resolved:
    return Resolved(compile_decoder(writer, reader), writer.digest())


def _schema_id(data: bytes) -> tuple[int | UUID, int]:
    """Return the registry id or GUID at the start of the bytes and where it ends."""
    if data.startswith(_PREFIX_ID) and len(data) >= _ID_END:
        return struct.unpack_from(">I", data, 1)[0], _ID_END
    if data.startswith(_PREFIX_GUID) and len(data) >= _GUID_END:
        return UUID(bytes=data[1:_GUID_END]), _GUID_END
    raise WireError("wrong_magic", "neither single-object encoding nor a Confluent frame")


@cache
def _prefix(event: str) -> bytes:
    return SINGLE_OBJECT + newest(event).fingerprint


@cache
def _encoder(event: str) -> Encoder:
    return compile_encoder(newest(event).definition)


def _released(fingerprint: bytes, event: str) -> Resolved:
    """Return how a released fingerprint is read; nothing is cached for unknown ones."""
    schema = by_fingerprint().get(fingerprint)
    if schema is None:
        raise WireError("unknown_fingerprint", "written with a schema that is not among the released ones")
    if schema.event != event:
        raise WireError("wrong_type", f"a {schema.event}, not a {event}")
    return _known(fingerprint, event)


@cache
def _known(fingerprint: bytes, event: str) -> Resolved:
    return _resolved(parsed(by_fingerprint()[fingerprint].definition), newest(event).definition)

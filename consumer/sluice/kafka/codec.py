"""The one place where Kafka's bytes and the contract's events meet."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sluice.core.errors import BadSettings, DependencyDown, Undecodable
from sluice.core.records import Message, Record
from sluice.moderation.values import Judged, Judgement
from sluice.settings import Registry, Signing, Topics
from sluice_schemas import (
    CloudEvent,
    DeadLetter,
    Event,
    Framing,
    Headers,
    ImageGenerated,
    Quality,
    RegistryDown,
    RegistryRefused,
    SingleObjectFraming,
    Trace,
    Verdict,
    WireError,
    read_event_id,
    read_trace,
    unreadable_image_id,
)
from sluice_schemas.registry import ConfluentFraming, connect
from sluice_schemas.signing import Signer
from sluice_schemas.topics import subject_of

DEPENDENCY = "schema registry"
E = TypeVar("E", bound=Event)
T = TypeVar("T")
Sign = Callable[[bytes, Headers], Headers]
"""Returns the headers that prove a message's value and headers."""


def unsigned(value: bytes, headers: Headers) -> Headers:
    """Prove nothing."""
    del value, headers
    return ()


@dataclass(frozen=True, slots=True)
class Cause:
    """What our events say of the one that led to them."""

    id: str
    trace: Trace | None


@dataclass(frozen=True, slots=True)
class Codec:
    """Records into events, outcomes into messages.

    `source` names the publisher in CloudEvents headers, a URI reference. Needing the registry and not having it is
    DependencyDown: the record waits, it is not rejected.
    """

    framing: Framing
    topics: Topics
    source: str
    max_event_bytes: int
    sign: Sign = unsigned

    def decode(self, record: Record) -> ImageGenerated:
        """Return the event of an input record. Raises Undecodable or DependencyDown."""
        size = len(record.value or b"")
        if size > self.max_event_bytes:
            raise Undecodable("too_large", f"{size} bytes, the limit is {self.max_event_bytes}")
        return self.read(record, ImageGenerated)

    def read(self, record: Record, kind: type[E]) -> E:
        """Return the event of any record. Raises Undecodable or DependencyDown."""
        try:
            return _asking(lambda: self.framing.decode(record.partition.topic, record.value, record.headers, kind))
        except WireError as error:
            raise Undecodable(error.reason, error.message) from None

    def encode(self, outcome: Judgement) -> tuple[Message, ...]:
        """Return the messages of an outcome: a verdict and a quality event, or a verdict and a dead letter."""
        record, verdict = outcome.record, outcome.verdict
        key, cause = verdict.image_id.encode(), cause_of(record)
        judged = self._message(self.topics.verdicts, key, verdict, cause)
        if isinstance(outcome, Judged):
            return judged, self._message(self.topics.quality, key, outcome.quality, cause)
        place = record.partition
        unreadable = verdict.image_id == unreadable_image_id(place.topic, place.index, record.offset)
        letter_key = (outcome.dead_letter.key or key) if unreadable else key  # bounded, as all that a letter carries
        return judged, self._message(self.topics.dead_letters, letter_key, outcome.dead_letter, cause)

    def _message(self, topic: str, key: bytes, event: Event, cause: Cause) -> Message:
        value, headers = _asking(lambda: self.framing.encode(topic, event))
        attributes = CloudEvent.of(event, source=self.source, causation_id=cause.id, trace=cause.trace)
        proof = self.sign(value, headers) if isinstance(event, Verdict) else ()
        return Message(topic, key, value, (*attributes.headers(), *headers, *proof))


def cause_of(record: Record) -> Cause:
    """Return what led to our events: the input event's id, or where it stands when it has none; and its trace."""
    place = record.partition
    own_id = read_event_id(record.headers)
    return Cause(own_id or f"{place.topic}/{place.index}/{record.offset}", read_trace(record.headers))


def signing_of(signing: Signing) -> Sign:
    """Return how verdicts are signed. Raises BadSettings when the key cannot be used."""
    if signing.key_file is None:
        return unsigned
    try:
        return Signer.of(signing.key_id, signing.key_file.read_bytes())
    except OSError as error:
        raise BadSettings(
            f"signing.key_file: {signing.key_file}: {error.strerror}", setting="signing.key_file"
        ) from None
    except ValueError as error:
        raise BadSettings(
            f"signing.key_file: {signing.key_file}: {error}",
            setting="signing.key_file",
            remedy="make one with `sluice keys new`",
        ) from None


def framing_of(registry: Registry, topics: Topics) -> Framing:
    """Return how events are framed: single-object encoding, or the registry's once it knows every schema we write.

    Raises BadSettings when the registry refuses us or lacks a schema, DependencyDown when it does not answer.
    """
    if not registry.url:
        return SingleObjectFraming()
    password = registry.password.get_secret_value()
    client = connect(
        registry.url,
        auth=(registry.username, password) if registry.username else None,
        verify=ssl.create_default_context(cafile=registry.ca_file) if registry.ca_file else True,
    )
    framing = ConfluentFraming(client, auto_register=registry.auto_register, patience_s=registry.schema_patience_s)
    for topic, kind in ((topics.verdicts, Verdict), (topics.quality, Quality), (topics.dead_letters, DeadLetter)):
        try:
            framing.registered(topic, kind)
        except RegistryDown as down:
            raise DependencyDown(DEPENDENCY, str(down)) from None
        except RegistryRefused as refused:
            raise BadSettings(
                f"registry.url: {subject_of(topic)} is refused, {refused}",
                setting="registry.url",
                remedy="register the released schemas, or set registry.auto_register=true for development",
            ) from None
    return framing


def _asking(question: Callable[[], T]) -> T:
    """Answer, or say that the registry cannot be asked; a refusal is one too: waiting loses no record."""
    try:
        return question()
    except (RegistryDown, RegistryRefused) as error:
        raise DependencyDown(DEPENDENCY, str(error)) from None

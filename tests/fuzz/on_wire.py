"""What comes from Kafka and from a registry: any bytes are an event, or a WireError; any record gets its verdict."""

import json
import struct
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import numpy as np

from sluice.cli.dlq import _fields, _row
from sluice.cli.tail import LINES, plain_event
from sluice.core.deadline import Deadline
from sluice.core.errors import BadSettings, Refused, Rejection
from sluice.core.records import Partition, Record
from sluice.kafka.codec import Codec
from sluice.kafka.reader import requeue
from sluice.media.fetching import references
from sluice.moderation.pipeline import Clocks, Pipeline, Steps
from sluice.moderation.ports import Began
from sluice.moderation.values import Decision, Job, Judged, Picture, Provenance, Scores
from sluice.moderation.verdicts import VerdictBuilder
from sluice.settings import Topics
from sluice.stream.batch import Batch, FillReason
from sluice_schemas import (
    EVENTS,
    DeadLetter,
    DeadLetterError,
    Event,
    Generator,
    Header,
    Image,
    ImageGenerated,
    Mode,
    ModelRef,
    PolicyRef,
    Quality,
    RegistryDown,
    RegistryRefused,
    SingleObjectFraming,
    Source,
    Status,
    Technical,
    Verdict,
    WireError,
    decode,
    encode,
)
from sluice_schemas.registry import ConfluentFraming, Registry
from sluice_schemas.released import newest
from sluice_schemas.wire import SCHEMA_ID_HEADER, encode_body
from sluice_sim.faults import faults
from tests.fuzz.target import Target
from tests.support.references import RULES

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
GENERATOR = Generator("m")
IMAGE = ImageGenerated(
    image_id="image-1", created_at=NOON, image=Image(bytes=b"\x89PNG"), generator=GENERATOR, prompt="a red fox"
)
TOPICS = Topics()
GUID_BYTES = 17


def avro(data: bytes) -> None:
    """Read a message as any event, in every framing; what is read is written and read again, and stays the same.

    First byte: the event, and whether the next 17 are the schema's header; then the message.
    """
    kind, headers, message = _message(data)
    with suppress(WireError):
        event: Event = FRAMING.decode("t", message, headers, kind)
        written = encode(event)
        assert encode(decode(written, kind)) == written


def _message(data: bytes) -> tuple[type[Event], list[tuple[str, bytes | None]], bytes]:
    choice, rest = data[:1] or b"\0", data[1:]
    kind = EVENTS[choice[0] % len(EVENTS)]
    if choice[0] < len(EVENTS):
        return kind, [], rest
    return kind, [(SCHEMA_ID_HEADER, rest[:GUID_BYTES])], rest[GUID_BYTES:]


def _known(request: httpx.Request) -> httpx.Response:
    """Answer as a registry that knows the newest schema of each event, by id and by GUID, from 1 on."""
    key = request.url.path.rpartition("/")[2]
    number = int(key) if key.isdecimal() else UUID(key).int
    if 1 <= number <= len(EVENTS):
        return httpx.Response(200, json={"schema": newest(EVENTS[number - 1].__name__).text})
    return httpx.Response(404, json={"error_code": 40403})


def _registry(answer: Any) -> Registry:
    return Registry(httpx.Client(base_url="http://registry.test/", transport=httpx.MockTransport(answer)))


FRAMING = ConfluentFraming(_registry(_known), forget_s=0.0)


def events() -> list[Event]:
    """Return one of each kind that the consumer reads or writes."""
    referring = replace(IMAGE, image=Image(uri="https://img.example.com/a"))
    whole = replace(IMAGE, tenant_id="t", request_id="r", attributes={"k": "v"})
    letter = DeadLetter(
        image_id="i",
        verdict_id=UUID(int=1),
        source=Source("images", 0, 7),
        error=DeadLetterError("fetch", "not_found", ""),
        attempts=1,
        first_seen=NOON,
        worker="w",
        produced_at=NOON,
        key=b"k",
        value=b"v",
        headers=(Header("traceparent", b"00"), Header("empty", None)),
    )
    judged = _road(whole).messages
    return [referring, whole, letter, decode(judged[0].value, Verdict), decode(judged[1].value, Quality)]


def avro_seeds() -> list[bytes]:
    """Return every event in every framing."""
    seeds = []
    for event in events():
        index = EVENTS.index(type(event))
        number, guid = struct.pack(">I", index + 1), b"\1" + UUID(int=index + 1).bytes
        seeds += [
            bytes([index]) + encode(event),
            bytes([index]) + encode_body(event, prefix=b"\0" + number),
            bytes([index]) + encode_body(event, prefix=guid),
            bytes([index + len(EVENTS)]) + guid + encode_body(event, prefix=b""),
        ]
    return seeds


def registry(data: bytes) -> None:
    """Take any answer from a registry for a schema; the message behind it is an event, a refusal, or waits."""
    framing = ConfluentFraming(_registry(lambda _: httpx.Response(200, content=data)))
    with suppress(WireError, RegistryDown, RegistryRefused):
        framing.decode("t", b"\0\0\0\0\1" + encode_body(IMAGE, prefix=b""), (), ImageGenerated)


def registry_seeds() -> list[bytes]:
    """Return answers: every schema there is, a few that resolve with it, and some that are none."""
    name = {"type": "record", "name": "ImageGenerated", "namespace": "sluice.v1"}
    loop = name | {"fields": [{"name": "a", "type": ["null", "ImageGenerated"]}]}
    texts = [newest(event.__name__).text for event in EVENTS]
    odd: list[Any] = [loop, name | {"fields": []}, ["null"], "string", {"type": "map"}]
    texts += map(json.dumps, odd)
    return [json.dumps({"schema": json.dumps(json.loads(text))}).encode() for text in texts] + [b"", b"[]", b"{}"]


def event(data: bytes) -> None:
    """Take a record along the whole road: exactly one verdict, which is never ALLOW unless it was judged.

    Value, key and headers, in this order, with FF FE between them.
    """
    record = _record(data)
    [outcome] = PIPELINE.outcomes(Batch((record,), FillReason.COUNT, 0.0))
    verdict, companion = outcome.messages
    assert decode(verdict.value, Verdict) == outcome.verdict
    if isinstance(outcome, Judged):
        assert decode(companion.value, Quality).verdict_id == outcome.verdict.verdict_id
    else:
        assert decode(companion.value, DeadLetter).verdict_id == outcome.verdict.verdict_id
        assert outcome.verdict.status is Status.INDETERMINATE
        assert outcome.verdict.indeterminate_reason not in {None, "", "internal_error"}


def _record(data: bytes) -> Record:
    pieces = data.split(b"\xff\xfe", 6)
    value, *rest = pieces
    names = ("traceparent", "tracestate", "ce_id", "ce_source", "x")
    headers = tuple((name, piece or None) for name, piece in zip(names, rest[1:], strict=False))
    return Record(Partition("images", 0), 7, int.from_bytes(data[-7:]), rest[0] if rest else None, value, headers)


def event_seeds() -> list[bytes]:
    """Return sound events, and every kind of broken one that the simulator knows."""
    sound = [encode(event) for event in events()[:2]]
    spoiled = [fault.spoil(IMAGE) for fault in faults(max_inline_bytes=100)]
    headers = b"\xff\xfekey\xff\xfe00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01\xff\xfea=b\xff\xfeid\xff\xfe/s\xff\xfe"
    return [*sound, *(value[:4096] for value in spoiled if value), *(value + headers for value in sound)]


def dead_letter(data: bytes) -> None:
    """Read a dead letter, show it in every way, and put its record back exactly as it came."""
    with suppress(WireError):
        letter = decode(data, DeadLetter)
        json.dumps(plain_event(letter), allow_nan=False)
        assert all(
            str(cell) is not None for cell in (*_row("0/0", letter), *_fields(letter), LINES[DeadLetter](letter))
        )
        sink = _Sink()
        with suppress(BadSettings):
            requeue(sink, letter, "images", Deadline.after(1.0, lambda: 0.0))  # type: ignore[arg-type]
            assert sink.sent == (letter.value, letter.key, [(header.key, header.value) for header in letter.headers])


class _Sink:
    """A producer that keeps the last record."""

    sent: object = None

    def produce(self, topic: str, value: object, key: object, *, headers: object, on_delivery: object) -> None:
        """Keep it."""
        del topic, on_delivery
        self.sent = (value, key, headers)

    def flush(self, timeout: float) -> int:
        """Leave nothing."""
        del timeout
        return 0


def dead_letter_seeds() -> list[bytes]:
    """Return dead letters as the consumer writes them, of broken events and of no event."""
    values = [fault.spoil(IMAGE) for fault in faults(max_inline_bytes=100)]
    letters = [PIPELINE.outcomes(_batch(value)) for value in (b"", b"garbage", *values)]
    return [outcome.messages[1].value for [outcome] in letters] + [encode(events()[2])]


def _road(event: ImageGenerated) -> Any:
    [outcome] = PIPELINE.outcomes(_batch(encode(event)))
    return outcome


def _batch(value: bytes | None) -> Batch:
    return Batch((Record(Partition("images", 0), 7, 0, b"key", value),), FillReason.COUNT, 0.0)


def _done(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


def _fetch(image: Image) -> Future[bytes]:
    if image.bytes is None:
        if not image.uri:
            raise Refused("no_image")
        references.parse(image.uri, RULES)
    return _done(image.bytes or b"")


def _score(jobs: Sequence[Job], begun: Began) -> Future[list[Scores | Rejection]]:
    begun()
    return _done([Scores((), reference_has_nsfw=False, guard_band_recheck=False, clip=None) for _ in jobs])


TILES = np.zeros((1, 1, 1, 3), np.uint8)
PICTURE = Picture("0" * 64, "image/png", 1, 1, 1, TILES, 1.0, Technical(0.0, 0.0, 0.0, 0.0, 0.0))
CODEC = Codec(SingleObjectFraming(), TOPICS, "/sluice/fuzz", 1 << 20)
PIPELINE = Pipeline(
    Steps(
        decode=CODEC.decode,
        fetch=_fetch,
        picture=lambda _: _done(PICTURE),
        score=_score,
        judge=lambda *_: Decision(Status.ALLOW, ()),
        encode=CODEC.encode,
    ),
    VerdictBuilder(
        PolicyRef("fuzz", 1, "0" * 64),
        Provenance((ModelRef("safety", "m", "r", "d", "float32"),), "p"),
        Mode.ENFORCE,
        "w",
        max_value_bytes=1000,
        include_inline_images=True,
    ),
    Clocks(monotonic=lambda: 1.0, now=lambda: NOON),
    ThreadPoolExecutor(1),
    lambda *_: None,
)

TARGETS = (
    Target("avro", avro, avro_seeds),
    Target("registry", registry, registry_seeds, max_bytes=16_384),
    Target("event", event, event_seeds),
    Target("dead_letter", dead_letter, dead_letter_seeds),
)

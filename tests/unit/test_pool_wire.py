"""A decoder's answer is input like any other: nothing of it is believed unread."""

import json
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import pytest

from sluice.core.errors import Unreadable
from sluice.media.decoding.limits import Limits
from sluice.media.workers import protocol
from sluice.moderation.values import Picture, Thumbnail
from tests.support.decoders import answer

LIMITS = Limits(max_image_bytes=1000, max_tiles=2)
GOOD: dict[str, Any] = {
    "mime": "image/png",
    "size": [3, 2, 1],
    "coverage": 1.0,
    "technical": {"blur": 1.0, "noise_sigma": 1.0, "clipped_dark": 0.0, "clipped_light": 0.0, "flat": 1.0},
}

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    with ours, theirs:
        yield ours, theirs


def receive(pair: Pair, limits: Limits = LIMITS) -> Picture:
    return protocol.receive_picture(pair[0], limits, sha256="aa", deadline_s=time.monotonic() + 60)


def reply(  # noqa: PLR0913 - the fields of a reply
    pair: Pair,
    meta: object,
    *,
    magic: bytes = b"SLA1",
    kind: int = 0,
    tiles: int = 1,
    size: int | None = None,
) -> None:
    body = meta if isinstance(meta, bytes) else json.dumps(meta).encode()
    head = struct.pack("<4sBII", magic, kind, len(body) if size is None else size, tiles)
    pair[1].sendall(head + body + bytes(min(tiles, 2) * 224 * 224 * 3))


def test_a_picture_arrives_as_it_was_sent_but_for_its_hash(pair: Pair) -> None:
    protocol.send_picture(pair[1], answer(7))
    got = receive(pair)
    assert (got.width, got.sha256) == (8, "aa")
    assert np.array_equal(got.tiles, answer(7).tiles)


def test_a_well_formed_reply_is_believed(pair: Pair) -> None:
    reply(pair, GOOD)
    assert receive(pair).width == 3


@pytest.mark.parametrize(
    "change",
    [
        {"mime": "text/html"},
        {"mime": ["image/png"]},
        {"size": [0, 2, 1]},
        {"size": [-3, 2, 1]},
        {"size": [True, 2, 1]},
        {"size": [3.5, 2, 1]},
        {"size": [3, 2]},
        {"size": [10**40, 2, 1]},
        {"size": "321"},
        {"coverage": float("nan")},
        {"coverage": -0.1},
        {"coverage": 10**400},
        {"coverage": "1"},
        {"technical": {}},
        {"technical": [1.0] * 5},
        {"technical": GOOD["technical"] | {"blur": float("inf")}},
    ],
)
def test_numbers_and_names_are_checked(pair: Pair, change: dict[str, Any]) -> None:
    reply(pair, GOOD | change)
    with pytest.raises(protocol.Garbled):
        receive(pair)


@pytest.mark.parametrize("meta", [b"", b"{", b"\xff", b"[1]", b"7", b"null", b"[" * 4000])
def test_a_description_that_is_none_is_garbled(pair: Pair, meta: bytes) -> None:
    reply(pair, meta)
    with pytest.raises(protocol.Garbled):
        receive(pair)


@pytest.mark.parametrize(
    "change",
    [
        {"magic": b"HTTP"},
        {"kind": 2},
        {"tiles": 0},
        {"tiles": 3},
        {"tiles": 1 << 31},
        {"size": 5000},
        {"size": 1 << 31},
    ],
)
def test_lengths_are_checked_before_anything_is_read(pair: Pair, change: dict[str, Any]) -> None:
    reply(pair, GOOD, **change)
    with pytest.raises(protocol.Garbled):
        receive(pair)


def test_a_decoder_that_leaves_a_thumbnail_out_is_not_believed(pair: Pair) -> None:
    reply(pair, GOOD)
    pair[1].close()
    with pytest.raises(protocol.Garbled, match="end"):
        receive(pair, Limits(thumbnails=(Thumbnail("fit", 64),)))


@pytest.mark.parametrize("how", get_args(Thumbnail.__annotations__["how"]))
@pytest.mark.parametrize("size", [(1, 1), (1, 2**31 - 1), (2**31 - 1, 1), (99, 64), (640, 641)])
def test_no_size_that_a_decoder_claims_makes_a_thumbnail_larger_than_was_asked(how: Any, size: tuple[int, int]) -> None:
    assert all(1 <= side <= 64 for side in Thumbnail(how, 64).shape(*size))


@pytest.mark.parametrize(
    "meta", [["because", ""], ["corrupt"], ["corrupt", 1], {"corrupt": ""}, "corrupt", ["corrupt", "\ud800"]]
)
def test_only_known_reasons_are_repeated(pair: Pair, meta: object) -> None:
    reply(pair, meta, kind=1, tiles=0)
    with pytest.raises(protocol.Garbled):
        receive(pair)


def test_a_reason_is_raised(pair: Pair) -> None:
    protocol.send_unreadable(pair[1], Unreadable("corrupt", "x" * 9999))
    with pytest.raises(Unreadable) as refusal:
        receive(pair)
    assert (refusal.value.reason, len(refusal.value.detail)) == ("corrupt", 500)


def test_a_request_that_is_too_large_or_foreign_ends_the_decoder(pair: Pair) -> None:
    for head in (struct.pack("<4sBQ", b"SLQ1", 0, 1001), struct.pack("<4sBQ", b"GET ", 0, 1)):
        pair[0].sendall(head)
        with pytest.raises(protocol.Garbled):
            protocol.receive_request(pair[1], LIMITS)


def test_silence_ends_at_the_deadline(pair: Pair) -> None:
    with pytest.raises(TimeoutError):
        protocol.receive_picture(pair[0], LIMITS, sha256="", deadline_s=time.monotonic() + 0.05)

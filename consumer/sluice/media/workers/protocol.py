"""What travels between the consumer and a decoder process: fixed headers and raw bytes, sizes checked before reading.

A decoder has parsed hostile bytes, so its answer is not trusted: no pickle, every length bounded, every number checked.
"""

import json
import math
import signal
import socket
import struct
import time
from dataclasses import asdict, replace

import numpy as np

from sluice.core.errors import Unreadable
from sluice.media.decoding.limits import REASONS, Limits
from sluice.media.decoding.sniff import MIME
from sluice.media.decoding.tiles import EDGE
from sluice.moderation.values import Picture, Pixels, Thumbnail
from sluice_schemas import Technical

ORDER = struct.Struct("<cQ")  # to the fork server: what to do, with which decoder
FORK, KILL, READY, FAILED = b"F", b"K", b"R", b"X"

MAX_WORDS_BYTES = 500

_REQUEST = struct.Struct("<4s?Q")  # magic, whether it is one of ours, bytes
_REPLY = struct.Struct("<4sBII")  # magic, kind, bytes of JSON, tiles
_ASK, _TELL = b"SLQ1", b"SLA1"
_PICTURE, _UNREADABLE = 0, 1
_PATIENCE_S = 1e6  # of an idle decoder; one that leaves is replaced
_MAX_META_BYTES = 4096
_SPENT = bytes([signal.SIGPROF])  # what Python's own signal handler writes to a file it is given
_MAX_SIZE = (1 << 31) - 1  # what an event's `int` holds
_MEASURES = ("blur", "noise_sigma", "clipped_dark", "clipped_light", "flat")


class Garbled(Exception):
    """The other side ended, or said something that is not of this protocol."""


class Spent(Exception):
    """The decoder has used up the processor time that an image may take."""


def tell_when_spent(channel: socket.socket) -> None:
    """Have a decoder say so the moment its timer of processor time ends, wherever in a library it is then."""
    channel.settimeout(
        _PATIENCE_S
    )  # Python writes there out of a signal handler, and insists on a file that never waits
    signal.signal(signal.SIGPROF, lambda *_: None)
    signal.set_wakeup_fd(channel.fileno())


def send_request(channel: socket.socket, data: bytes, *, ours: bool, deadline_s: float) -> None:
    """Send an image; TimeoutError at the deadline (monotonic clock), OSError when the other end is gone."""
    _until(channel, deadline_s)
    channel.sendall(_REQUEST.pack(_ASK, ours, len(data)))
    channel.sendall(data)


def receive_request(channel: socket.socket, limits: Limits) -> tuple[bytes, Limits] | None:
    """Wait for an image, and what holds for it; None when the other side has closed."""
    try:
        magic, ours, size = _REQUEST.unpack(_exactly(channel, _REQUEST.size))
    except Garbled:
        return None
    holding = limits.of_ours() if ours else limits
    if magic != _ASK or size > holding.max_image_bytes:
        raise Garbled("request")
    return bytes(_exactly(channel, size)), holding


def send_picture(channel: socket.socket, picture: Picture) -> None:
    """Answer with a picture. Its sha256 stays behind: who has the bytes computes it."""
    meta = {
        "mime": picture.mime,
        "size": [picture.width, picture.height, picture.frames],
        "coverage": float(picture.coverage),
        "technical": {name: float(value) for name, value in asdict(picture.technical).items()},
    }
    body = json.dumps(meta).encode()
    channel.sendall(_REPLY.pack(_TELL, _PICTURE, len(body), len(picture.tiles)) + body)
    channel.sendall(np.ascontiguousarray(picture.tiles).data)
    for thumbnail in picture.thumbnails.values():
        channel.sendall(np.ascontiguousarray(thumbnail).data)


def send_unreadable(channel: socket.socket, error: Unreadable) -> None:
    """Answer with the reason why there is no picture."""
    body = json.dumps([error.reason, error.detail[:500]]).encode()
    channel.sendall(_REPLY.pack(_TELL, _UNREADABLE, len(body), 0) + body)


def receive_picture(channel: socket.socket, limits: Limits, *, sha256: str, deadline_s: float) -> Picture:
    """Read an answer: a Picture, or Unreadable raised.

    Raises Spent, Garbled for anything else, TimeoutError at the deadline.
    """
    first = _exactly(channel, 1, deadline_s)
    if first == _SPENT:
        raise Spent
    header = first + _exactly(channel, _REPLY.size - 1, deadline_s)
    magic, kind, meta_bytes, tiles = _REPLY.unpack(header)
    if magic != _TELL or meta_bytes > _MAX_META_BYTES or tiles > limits.max_tiles:
        raise Garbled("header")
    meta = _parsed(_exactly(channel, meta_bytes, deadline_s))
    if kind == _UNREADABLE:
        raise _refusal(meta)
    if kind != _PICTURE or tiles < 1:
        raise Garbled("header")
    pixels = _pixels(channel, (tiles, EDGE, EDGE, 3), deadline_s)
    try:
        picture = _picture(meta, sha256=sha256, tiles=pixels)
    except (KeyError, TypeError, ValueError) as error:
        raise Garbled("description") from error
    return replace(picture, thumbnails=_thumbnails(channel, limits, picture, deadline_s))


def _thumbnails(channel: socket.socket, limits: Limits, picture: Picture, deadline_s: float) -> dict[Thumbnail, Pixels]:
    """Read the thumbnails; how large each is follows from what was asked for, which bounds it, and the frame's size."""
    return {
        wanted: _pixels(channel, (*wanted.shape(picture.height, picture.width), 3), deadline_s)
        for wanted in limits.thumbnails
    }


def _picture(meta: dict[str, object], *, sha256: str, tiles: Pixels) -> Picture:
    size, measures = meta["size"], meta["technical"]
    if not isinstance(size, list) or not isinstance(measures, dict) or meta["mime"] not in MIME.values():
        raise TypeError
    width, height, frames = (_natural(value) for value in size)
    return Picture(
        sha256=sha256,
        mime=str(meta["mime"]),
        width=width,
        height=height,
        frames=frames,
        tiles=tiles,
        coverage=min(1.0, _measure(meta["coverage"])),
        technical=Technical(**{name: _measure(measures[name]) for name in _MEASURES}),
    )


def _refusal(meta: object) -> Unreadable:
    match meta:
        case [str(reason), str(message)] if reason in REASONS and message.isprintable():
            return Unreadable(reason, message)
        case _:
            raise Garbled("reason")


def _natural(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MAX_SIZE:
        raise ValueError
    return value


def _measure(value: object) -> float:
    if not isinstance(value, float) or not math.isfinite(value) or value < 0:
        raise ValueError
    return value


def _parsed(text: bytearray) -> dict[str, object]:
    try:
        parsed: dict[str, object] = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Garbled("JSON") from error
    return parsed


def _pixels(channel: socket.socket, shape: tuple[int, ...], deadline_s: float) -> Pixels:
    array = np.empty(shape, dtype=np.uint8)
    _fill(channel, array.reshape(-1).data, deadline_s)
    return array


def _exactly(channel: socket.socket, size: int, deadline_s: float | None = None) -> bytearray:
    buffer = bytearray(size)
    _fill(channel, memoryview(buffer), deadline_s)
    return buffer


def _fill(channel: socket.socket, view: memoryview, deadline_s: float | None) -> None:
    filled = 0
    while filled < len(view):
        if deadline_s is not None:
            _until(channel, deadline_s)
        got = channel.recv_into(view[filled:])
        if not got:
            raise Garbled("end")
        filled += got


def _until(channel: socket.socket, deadline_s: float) -> None:
    left = deadline_s - time.monotonic()
    if left <= 0:
        raise TimeoutError
    channel.settimeout(left)

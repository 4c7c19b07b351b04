"""What pretends to be an image: our own parsers, the whole decoder, and a decoder process that was taken over."""

import math
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple
from functools import partial
from random import Random

import numpy as np
from PIL import Image

from sluice.core.errors import Unreadable
from sluice.media.decoding import gif, png
from sluice.media.decoding.limits import REASONS, Limits
from sluice.media.decoding.picture import picture
from sluice.media.decoding.tiles import EDGE
from sluice.media.workers.protocol import Garbled, receive_picture, send_picture, send_unreadable
from sluice.moderation.values import Picture, Thumbnail
from sluice_schemas import Technical
from tests.fuzz.target import Target
from tests.support.images import animation, chunk, encode, solid, with_chunk
from tests.support.images import png as write_png

LIMITS = Limits(
    max_image_bytes=1 << 20,
    max_frame_pixels=250_000,
    max_total_pixels=500_000,
    max_frames=4,
    max_tiles=8,
    formats=("PNG", "JPEG", "WEBP", "GIF", "AVIF"),
)
ANSWER_LIMITS = Limits(max_tiles=1, thumbnails=(Thumbnail("fit", 4),))
PIXEL_BYTES = 3 * (EDGE * EDGE + 4 * 4)


def image(data: bytes) -> None:
    """Decode an image: a picture within the limits, or Unreadable for one of the known reasons."""
    with _known_reason():
        found = picture(data, LIMITS)
        assert 1 <= found.frames <= LIMITS.max_frames
        assert found.width * found.height <= LIMITS.max_frame_pixels
        assert found.tiles.shape[1:] == (EDGE, EDGE, 3)
        assert 1 <= len(found.tiles) <= LIMITS.max_tiles
        assert 0 < found.coverage <= 1


@contextmanager
def _known_reason() -> Iterator[None]:
    """Let Unreadable pass if its reason is one that is documented."""
    try:
        yield
    except Unreadable as error:
        if error.reason not in REASONS:
            raise


def image_seeds() -> list[bytes]:
    """Return a small image of every format and mode, and animations."""
    rng = Random(1)
    noise = Image.frombytes("RGB", (12, 9), rng.randbytes(12 * 9 * 3))
    modes = [encode(noise.convert(mode)) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
    formats = [encode(noise, name) for name in ("JPEG", "WEBP", "GIF", "AVIF")]
    moving = [animation([solid(size=(8, 8)), noise.resize((8, 8))], name) for name in ("PNG", "GIF", "WEBP", "AVIF")]
    cmyk = encode(noise.convert("CMYK"), "JPEG")
    return [*modes, *formats, *moving, cmyk, *png_seeds()]


def parse_png(data: bytes) -> None:
    """Walk a PNG: Unreadable, or a structure whose rows can be counted without making them all."""
    with suppress(Unreadable):
        found = png.parse(data)
        if all(layer.width * layer.height <= LIMITS.max_frame_pixels for layer in found.layers):
            found.short()
        assert found.layers


def png_seeds() -> list[bytes]:
    """Return PNG of every depth, with the chunks that matter, interlaced, cut short, animated."""
    grey = [write_png((3, 2), b"\0" + bytes(3) + b"\0" + bytes(3), bits=bits) for bits in (1, 2, 4, 8)]
    plain = grey[-1]
    extras = [
        chunk(b"tRNS", b"\0\1"),
        chunk(b"cICP", b"\1\x0d\0\1"),
        chunk(b"gAMA", bytes(4)),
        chunk(b"acTL", bytes(8)),
    ]
    moving = animation([solid(size=(4, 4)), solid((0, 0, 255), size=(4, 4))], "PNG")
    return [*grey, *(with_chunk(plain, extra) for extra in extras), plain[:-12], moving, plain + b"more"]


def parse_gif(data: bytes) -> None:
    """Take a GIF apart: Unreadable, or frames within the canvas, each of which is a GIF of one frame by itself."""
    with suppress(Unreadable):
        found = gif.parse(data, LIMITS.max_frames)
        assert len(found.frames) <= LIMITS.max_frames
        for frame in found.frames:
            assert frame.left + frame.width <= found.width
            assert frame.top + frame.height <= found.height
            [alone] = gif.parse(frame.file, 1).frames
            assert (alone.width, alone.height, alone.disposal) == (frame.width, frame.height, frame.disposal)


def gif_seeds() -> list[bytes]:
    """Return GIF of one and more frames, with and without tables of their own."""
    frames = [solid((level, 0, 0), size=(6, 5)) for level in (10, 200, 90)]
    ways = [{"disposal": disposal} for disposal in (0, 1, 2, 3)] + [{"transparency": 0}, {"interlace": 0}]
    return [encode(frames[0], "GIF"), *(animation(frames, "GIF", **way) for way in ways)]


def answer(data: bytes) -> None:
    """Hear any answer from a decoder process: a Picture that is as it must be, a known reason, or Garbled.

    The pixels that an answer announces follow by themselves.
    """
    with _pair() as (ours, theirs):
        theirs.sendall(data[: 1 << 13] + bytes(PIXEL_BYTES))
        theirs.shutdown(socket.SHUT_WR)
        with _known_reason(), suppress(Garbled):
            found = receive_picture(ours, ANSWER_LIMITS, sha256="0" * 64, deadline_s=time.monotonic() + 30)
            assert found.tiles.shape == (1, EDGE, EDGE, 3)
            assert min(found.width, found.height, found.frames) >= 1
            assert 0 <= found.coverage <= 1
            assert all(math.isfinite(value) and value >= 0 for value in astuple(found.technical))


@contextmanager
def _pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield two ends with room for a whole answer, as nobody reads while it is said."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            end.settimeout(30)
        yield ours, theirs


def answer_seeds() -> list[bytes]:
    """Return a picture without its pixels, the same with odd numbers, and refusals."""
    tiles, small = np.zeros((1, EDGE, EDGE, 3), np.uint8), np.zeros((2, 3, 3), np.uint8)
    measures = Technical(0.5, 0.5, 0.0, 0.0, 1.0)
    seen = Picture("0" * 64, "image/png", 3, 2, 1, tiles, 1.0, measures, {Thumbnail("fit", 4): small})
    refusals = [Unreadable(reason, "why") for reason in ("corrupt", "no such reason")]
    spoken = _said(partial(send_picture, picture=seen))[: -(tiles.size + small.size)]
    odd = [spoken.replace(b"0.5", number) for number in (b"NaN", b"-1 ", b"1e9")]
    return [spoken, *odd, *(_said(partial(send_unreadable, error=error)) for error in refusals)]


def _said(say: "partial[None]") -> bytes:
    with _pair() as (ours, theirs):
        say(theirs)
        theirs.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: ours.recv(1 << 20), b""))


TARGETS = (
    Target("image", image, image_seeds),
    Target("png", parse_png, png_seeds),
    Target("gif", parse_gif, gif_seeds),
    Target("answer", answer, answer_seeds),
)

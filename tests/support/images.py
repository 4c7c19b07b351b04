"""Small images that are easy or hostile: the bytes a decoder must survive."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from sluice.moderation.values import Pixels

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def scene(height: int, width: int, seed: int = 0) -> Pixels:
    """Draw a smooth random picture with some fine grain, (h, w, 3)."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    grain = rng.integers(-12, 13, smooth.shape, dtype=np.int16)
    picture: Pixels = np.clip(smooth + grain, 0, 255).astype(np.uint8)
    return picture


def encode(image: Image.Image | Pixels, fmt: str = "PNG", **options: Any) -> bytes:
    """Encode a picture with Pillow."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    stream = io.BytesIO()
    picture.save(stream, fmt, **options)
    return stream.getvalue()


def solid(colour: tuple[int, ...] = RED, size: tuple[int, int] = (32, 24), mode: str = "RGB") -> Image.Image:
    """Fill `size` with one colour; size is (width, height)."""
    return Image.new(mode, size, colour)


def animation(frames: list[Image.Image], fmt: str, **options: Any) -> bytes:
    """Frames as one file, the same on every day."""
    return _timeless(encode(frames[0], fmt, save_all=True, append_images=frames[1:], duration=100, **options))


def _timeless(data: bytes) -> bytes:
    """Clear the times that an AVIF sequence was made and changed at (ISO/IEC 14496-12: 4 or 8 bytes each)."""
    still = bytearray(data)
    for box in (b"mvhd", b"tkhd", b"mdhd") if data[4:8] == b"ftyp" else ():
        at = data.index(box) + 8
        size = 16 if data[at - 4] else 8
        still[at : at + size] = bytes(size)
    return bytes(still)


def chunk(kind: bytes, body: bytes) -> bytes:
    """One PNG chunk with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(  # noqa: PLR0913 - the fields of an IHDR
    size: tuple[int, int],
    rows: bytes,
    *,
    bits: int = 8,
    colour_type: int = 0,
    extra: bytes = b"",
    interlaced: bool = False,
) -> bytes:
    """Write a PNG from raw rows, each led by its filter byte; `extra` chunks stand before the data."""
    header = struct.pack(">IIBBBBB", *size, bits, colour_type, 0, 0, interlaced)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def with_chunk(data: bytes, extra: bytes) -> bytes:
    """Insert a chunk right after the header of a PNG."""
    return data[:33] + extra + data[33:]


def grey_rows(samples: Any, bits: int = 8) -> bytes:
    """Rows of a grey PNG with filter 0; 8 or 16 bits."""
    big_endian = np.asarray(samples).astype(">u2" if bits == 16 else "u1")
    return b"".join(b"\0" + row.tobytes() for row in big_endian)

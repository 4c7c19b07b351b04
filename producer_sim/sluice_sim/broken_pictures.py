"""Bytes that claim to be pictures and are not fit to be decoded; each is small and made from code."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Final, TypeAlias
from zipfile import ZipFile, ZipInfo

from PIL import Image

Spoil: TypeAlias = Callable[[], bytes]

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_SIDE_PX: Final = 24


def truncated_jpeg() -> bytes:
    """Give a JPEG that ends in the middle of its scan."""
    data = _saved("JPEG")
    return data[: len(data) * 2 // 3]


def png_bad_crc() -> bytes:
    """Give a PNG whose pixel data fail their checksum, which Pillow's `load` does not look at."""
    data = bytearray(_png(_SIDE_PX, _SIDE_PX, _rows(_SIDE_PX)))
    data[data.index(b"IDAT") + 4 + len(zlib.compress(_rows(_SIDE_PX)))] ^= 0xFF
    return bytes(data)


def png_half_its_rows() -> bytes:
    """Give a well-formed PNG that holds half the rows it announces."""
    return _png(_SIDE_PX, _SIDE_PX, _rows(_SIDE_PX)[: len(_rows(_SIDE_PX)) // 2])


def zip_archive() -> bytes:
    """Give a zip archive."""
    out = BytesIO()
    with ZipFile(out, "w") as archive:
        archive.writestr(ZipInfo("picture.png"), _saved("PNG"))
    return out.getvalue()


def html_page() -> bytes:
    """Give what a broken store answers instead of a picture."""
    return b"<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>"


def svg() -> bytes:
    """Give a picture format that may hold scripts and references."""
    return (
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="8" height="8">'
        b'<image href="file:///etc/hostname"/></svg>'
    )


def pdf() -> bytes:
    """Give the head of a PDF."""
    return b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF\n"


def gif() -> bytes:
    """Give a sound GIF: a format that is not opened unless asked for."""
    return _saved("GIF")


def bomb_png() -> bytes:
    """Give a PNG of a few hundred bytes that announces 30,000 x 30,000 pixels: 2.7 GB once decoded."""
    return _png(30_000, 30_000, bytes(4096))


def too_many_frames() -> bytes:
    """Give an animation of 64 frames, each different."""
    frames = [Image.new("RGB", (_SIDE_PX, _SIDE_PX), (4 * i, 255 - 4 * i, 90)) for i in range(64)]
    out = BytesIO()
    frames[0].save(out, "PNG", save_all=True, append_images=frames[1:], duration=40)
    return out.getvalue()


def empty_picture() -> bytes:
    """Give no bytes at all."""
    return b""


def random_bytes() -> bytes:
    """Give bytes of no format."""
    return bytes((7 * i * i + 3 * i) % 251 for i in range(512))


BROKEN_PICTURES: Final[dict[str, Spoil]] = {
    spoil.__name__: spoil
    for spoil in (
        truncated_jpeg,
        png_bad_crc,
        png_half_its_rows,
        zip_archive,
        html_page,
        svg,
        pdf,
        gif,
        bomb_png,
        too_many_frames,
        empty_picture,
        random_bytes,
    )
}
"""Each kind by its name."""


def _saved(format_: str) -> bytes:
    out = BytesIO()
    Image.radial_gradient("L").resize((64, 64)).convert("RGB").save(out, format_)
    return out.getvalue()


def _rows(side_px: int) -> bytes:
    """Unfiltered RGB rows of a picture with some variation."""
    return b"".join(b"\0" + bytes((x * y) % 256 for x in range(3 * side_px)) for y in range(side_px))


def _png(width: int, height: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = _chunk(b"IDAT", zlib.compress(rows))
    return _SIGNATURE + _chunk(b"IHDR", header) + pixels + _chunk(b"IEND", b"")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

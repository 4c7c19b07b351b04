"""Small files that are huge once opened, or take for ever: each must cost next to nothing."""

import itertools
import struct
import zlib
from collections.abc import Iterator
from random import Random

from PIL import Image

from tests.hostile import scenes
from tests.hostile.colours import SRGB, exif
from tests.hostile.mpo import mpo
from tests.hostile.specimen import Fate, Specimen
from tests.support.images import animation, chunk, encode, png, with_chunk

_PIXELS = frozenset({"too_many_pixels"})
_DOUBT = frozenset({"too_many_pixels", "corrupt", "truncated"})
_SPENT = frozenset({"decode_timeout", "decoder_memory", "too_many_pixels"})
_MIB = 1 << 20


def headers(_rng: Random) -> Iterator[Specimen]:
    """Sizes from 25 MP to what 32 bits can say, announced by files of a few hundred bytes."""
    for width, height in ((5001, 5000), (25_000_001, 1), (9500, 9500), (13_300, 13_300), (13_400, 13_400)):
        yield Specimen(f"headers/PNG-{width}x{height}", png((width, height), b"\0"), Fate.REFUSED, _PIXELS)
    for side in (30_000, 65_535, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 0):
        yield Specimen(f"headers/PNG-{side}", png((side, side), b"\0"), Fate.REFUSED, _DOUBT)
    for fmt, side in itertools.product(("JPEG", "GIF", "WEBP", "AVIF"), (5001, 9500, 13_300, 16_383, 65_535)):
        yield Specimen(f"headers/{fmt}-{side}", _announcing(fmt, side), Fate.REFUSED, _DOUBT)


def inflating(_rng: Random) -> Iterator[Specimen]:
    """Text, profiles and pixel data of many megabytes in a few kilobytes."""
    still, seen = encode(scenes.subject()), (scenes.pixels(scenes.subject()),)
    for size, lead in itertools.product((2, 5, 64), (b"zTXt", b"iTXt", b"iCCP")):
        packed = _zeros(size * _MIB)
        body = {b"zTXt": b"k\0\0" + packed, b"iTXt": b"k\0\1\0\0\0" + packed, b"iCCP": b"k\0\0" + packed}[lead]
        data = with_chunk(still, chunk(lead, body))
        yield Specimen(f"inflating/PNG-{lead.decode()}-{size}MiB", data, Fate.SHOWN, shows=seen)
    for count in (6, 64):
        data = with_chunk(still, chunk(b"zTXt", b"k\0\0" + _zeros(_MIB - 1)) * count)
        yield Specimen(f"inflating/PNG-{count}-texts", data, Fate.SHOWN, shows=seen)
    for side in (100, 4000):  # the stream goes on after the last row
        rows = _zeros(side * (side * 3 + 1) + 128 * _MIB)
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
        yield Specimen(f"inflating/PNG-overlong-{side}", data, Fate.ANSWERED)


def crowds(_rng: Random) -> Iterator[Specimen]:
    """Frames, chunks and segments without end."""
    base = scenes.subject()
    for count in (1000, 16_000, 17_000, 200_000):
        data = with_chunk(encode(base), chunk(b"zzZz", b"") * count)
        yield Specimen(f"crowds/PNG-{count}-chunks", data, Fate.SHOWN, shows=(scenes.pixels(base),))
        segments = encode(base, "JPEG", quality=95)
        data = segments[:2] + b"\xff\xfe\0\x02" * count + segments[2:]
        yield Specimen(f"crowds/JPEG-{count}-comments", data, Fate.SHOWN)
        gif = encode(base, "GIF")
        end = gif.index(b",\0\0\0\0")
        yield Specimen(f"crowds/GIF-{count}-comments", gif[:end] + b"!\xfe\x01x\0" * count + gif[end:], Fate.SHOWN)
    album = [Image.new("L", (16, 16), 15 * i) for i in range(16)]
    for edge in (2600, 4900):
        small = animation(album, "GIF")
        data = small[:6] + struct.pack("<HH", edge, edge) + small[10:]
        yield Specimen(f"crowds/GIF-16-frames-of-{edge}", data, Fate.REFUSED, _PIXELS)
        small = animation(album, "WEBP")
        data = small[:24] + (edge - 1).to_bytes(3, "little") * 2 + small[30:]
        yield Specimen(f"crowds/WEBP-16-frames-of-{edge}", data, Fate.REFUSED, _PIXELS)
    yield Specimen("crowds/GIF-1000-frames", _gif_of(1000), Fate.REFUSED, frozenset({"too_many_frames"}))
    yield Specimen("crowds/GIF-469-kB-to-1.6-GB", _gif_of(64, 5000), Fate.REFUSED, _PIXELS | {"too_many_frames"})
    large = Image.new("L", (4900, 4900))
    data = mpo([base, *[large] * 5])
    yield Specimen("crowds/MPO-growing", data, Fate.REFUSED, _SPENT, costly=True)


def loops(_rng: Random) -> Iterator[Specimen]:
    """Directories that point at themselves, beyond the end, or hold 65,535 entries."""
    base = scenes.subject()
    for fmt, order in itertools.product(("JPEG", "PNG", "WEBP"), ("<", ">")):
        for name, block in _directories(order).items():
            options = {"quality": 95} if fmt != "PNG" else {}
            data = encode(base, fmt, **options, exif=b"Exif\0\0" + block)
            yield Specimen(f"loops/{fmt}-{name}-{'II' if order == '<' else 'MM'}", data, Fate.ANSWERED)
    for order in ("<", ">"):
        for name, block in _directories(order).items():
            why = frozenset({"format_not_allowed"})
            yield Specimen(f"loops/TIFF-{name}-{'II' if order == '<' else 'MM'}", block, Fate.REFUSED, why)


def lasting(_rng: Random) -> Iterator[Specimen]:
    """Files within every limit on size that take as long, or as much memory, as they can."""
    large = Image.linear_gradient("L").resize((4990, 4990))
    for fmt, options in (("PNG", {"compress_level": 1}), ("JPEG", {}), ("WEBP", {"method": 0}), ("GIF", {})):
        for mode in ("L", "RGB") if fmt != "GIF" else ("L",):
            data = encode(large.convert(mode), fmt, **options)
            yield Specimen(f"lasting/{fmt}-25MP-{mode}", data, Fate.ANSWERED, costly=True)
    see_through = Image.merge("RGBA", (large,) * 4)
    data = encode(see_through, compress_level=1)
    yield Specimen("lasting/PNG-25MP-RGBA", data, Fate.ANSWERED, costly=True)
    yield Specimen(
        "lasting/PNG-25MP-RGBA-profile",
        encode(see_through, compress_level=1, icc_profile=SRGB, exif=exif(6)),
        Fate.ANSWERED,
        costly=True,
    )
    yield Specimen("lasting/JPEG-2000-scans", _scans(2000), Fate.REFUSED, frozenset({"too_many_scans"}))


def _announcing(fmt: str, side: int) -> bytes:
    """Take a small file and overwrite the size in its header."""
    if fmt == "JPEG":
        data = bytearray(encode(scenes.subject(), "JPEG"))
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", side, side)
        return bytes(data)
    if fmt == "GIF":
        data = bytearray(encode(scenes.subject(), "GIF"))
        data[6:10] = struct.pack("<HH", side, side)
        at = data.index(b",\0\0\0\0") + 5
        data[at : at + 4] = struct.pack("<HH", side, side)
        return bytes(data)
    if fmt == "WEBP":
        header = b"WEBPVP8X\x0a\0\0\0\x10\0\0\0" + (side - 1).to_bytes(3, "little") * 2
        alpha = (
            b"VP8L\x08\0\0\0\x2f" + ((side - 1) % 16_384 | (side - 1) % 16_384 << 14).to_bytes(4, "little") + bytes(3)
        )
        return b"RIFF" + (len(header) + len(alpha)).to_bytes(4, "little") + header + alpha
    data = bytearray(encode(scenes.subject(), "AVIF", speed=10))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", side, side)
    return bytes(data)


def _zeros(count: int) -> bytes:
    squeezer = zlib.compressobj(1)
    whole, rest = divmod(count, _MIB)
    return (
        b"".join(squeezer.compress(bytes(_MIB)) for _ in range(whole))
        + squeezer.compress(bytes(rest))
        + squeezer.flush()
    )


def _gif_of(count: int, side: int = 0) -> bytes:
    """Repeat one frame; a `side` enlarges the canvas and every frame to it."""
    small = encode(Image.new("P", (side or 16, side or 16)), "GIF")
    start = small.index(b",\0\0\0\0")
    return small[:start] + small[start:-1] * count + b";"


def _directories(order: str) -> dict[str, bytes]:
    """TIFF structures that lead a careless reader round in circles."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    turn = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, 6, 0)
    within = struct.pack(f"{order}HHII", 0x8769, 4, 1, 8)
    far = struct.pack(f"{order}HHII", 0x010E, 2, 0xFFFFFFF0, 0xFFFFFF00)
    return {
        "next-is-itself": head + struct.pack(f"{order}H", 1) + turn + struct.pack(f"{order}I", 8),
        "child-is-itself": head + struct.pack(f"{order}H", 2) + turn + within + struct.pack(f"{order}I", 0),
        "value-beyond-the-end": head + struct.pack(f"{order}H", 2) + far + turn + struct.pack(f"{order}I", 0),
        "65535-entries": head + struct.pack(f"{order}H", 65_535) + turn * 3000,
        "no-entries": head + struct.pack(f"{order}H", 0) + bytes(4),
        "starts-beyond-the-end": head[:4] + struct.pack(f"{order}I", 0xFFFFFFF0),
    }


def _scans(count: int) -> bytes:
    """Repeat the last refinement scan of a large progressive JPEG: each costs a pass over all its blocks."""
    data = encode(Image.new("L", (4990, 4990), 90), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + b"\xff\xd9"

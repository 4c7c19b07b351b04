"""Metadata of every kind around sound pictures: too large, broken, contradicting itself, in the wrong place."""

import struct
import zlib
from collections.abc import Iterator

from PIL import Image, ImageCms

from sluice.moderation.values import Pixels
from tests.support.images import chunk, encode, scene, with_chunk

PICTURE = scene(40, 60)
LOSSLESS: dict[str, dict[str, object]] = {
    "PNG": {},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True},
    "GIF": {},
    "AVIF": {"quality": 95, "speed": 10},
}
_MIB = 1 << 20
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SRGB = _SRGB[:24] + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + _SRGB[36:]
"""A profile that does not tell when it was made (ICC.1, 7.2.10)."""
GREY = SRGB[:16] + b"GRAY" + SRGB[20:]
UNUSABLE = {
    "empty": b"",
    "garbage": b"garbage",
    "zeros": bytes(4000),
    "cut": SRGB[:200],
    "head-only": SRGB[:128] + bytes(400),
    "of-grey": GREY,
    "of-lab": SRGB[:16] + b"Lab " + SRGB[20:],
    "link": SRGB[:12] + b"link" + SRGB[16:],
}
"""Profiles that cannot be applied to a colour picture."""


def plain(fmt: str, picture: Pixels | Image.Image = PICTURE) -> bytes:
    """Write a picture without any metadata."""
    return encode(picture, fmt, **LOSSLESS[fmt])


def catalogue() -> Iterator[tuple[str, bytes, bytes]]:
    """Yield a name, a sound picture, and the same picture with metadata that must not matter."""
    for fmt, dressed in (("PNG", _pngs), ("JPEG", _jpegs), ("WEBP", _webps), ("GIF", _gifs), ("AVIF", _avifs)):
        base = plain(fmt)
        yield from ((f"{fmt}-{name}", base, data) for name, data in dressed(base))


def bad_chunk(kind: bytes, body: bytes) -> bytes:
    """One PNG chunk with a wrong checksum."""
    sound = chunk(kind, body)
    return sound[:-1] + bytes([sound[-1] ^ 1])


def segment(marker: int, body: bytes) -> bytes:
    """One segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def in_jpeg(data: bytes, extra: bytes) -> bytes:
    """Put segments before all others."""
    return data[:2] + extra + data[2:]


def riff(kind: bytes, body: bytes) -> bytes:
    """One chunk of a WebP."""
    return kind + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)


def in_webp(data: bytes, before: bytes, after: bytes = b"", *, flags: int = 0) -> bytes:
    """Make a lossless WebP an extended one, with chunks around its picture."""
    height, width = PICTURE.shape[:2]
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBP" + riff(b"VP8X", bytes([flags, 0, 0, 0]) + size) + before + data[12:] + after
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def in_gif(data: bytes, extra: bytes) -> bytes:
    """Put extensions before the first frame."""
    at = 13 + (6 << (data[10] & 7))
    return data[:at] + extra + data[at:]


def tiff(value: int, order: str = "<", *, kind: int = 3, number: int = 1, mark: bytes = b"") -> bytes:
    """Write an EXIF block, without prefix, that holds an orientation."""
    entry = struct.pack(f"{order}HIHHHI", 42, 8, 1, 0x0112, kind, number)
    packed = struct.pack(f"{order}I", value) if kind == 4 else struct.pack(f"{order}HH", value, 0)
    return (mark or (b"II" if order == "<" else b"MM")) + entry + packed + bytes(4)


def exifs() -> dict[str, bytes]:
    """EXIF blocks that turn nothing, broken in every way."""
    upright = tiff(1)
    head = b"II*\0\x08\0\0\0"
    far = struct.pack("<HHII", 0x010E, 2, 0xFFFFFFF0, 0xFFFFFF00)
    itself = struct.pack("<HHII", 0x8769, 4, 1, 8)
    return {
        "empty": b"",
        "cut": upright[:13],
        "cut-in-head": upright[:5],
        "no-order": b"XX" + upright[2:],
        "other-order": b"MM" + upright[2:],
        "other-magic": upright[:2] + b"\x2b\0" + upright[4:],
        "far-directory": head[:4] + b"\xf0\xff\xff\xff",
        "huge-count": head + b"\xff\xff" + far,
        "far-value": head + b"\1\0" + far + bytes(4),
        "child-is-itself": head + b"\1\0" + itself + bytes(4),
        "next-is-itself": head + b"\0\0" + head[4:],
        "zero": tiff(0),
        "nine": tiff(9, ">"),
        "beyond": tiff(65_535),
        "text": b"not a directory at all" * 10,
    }


def turning() -> dict[str, bytes]:
    """EXIF blocks that ask for a quarter turn in a way that not every reader follows."""
    return {
        "long": tiff(6, kind=4),
        "two": tiff(6, number=2),
        "other-magic": tiff(6)[:2] + b"\x2b\0" + tiff(6)[4:],
        "no-order": tiff(6, mark=b"XX"),
        "huge-count": tiff(6)[:8] + b"\xff\xff" + tiff(6)[10:],
        "twice": tiff(6)[:8] + b"\2\0" + tiff(1)[10:22] + tiff(6)[10:],
    }


def turned(block: bytes) -> dict[str, bytes]:
    """Put an EXIF block into a picture of each format that holds one as it is."""
    return {
        "JPEG": in_jpeg(plain("JPEG"), segment(0xE1, b"Exif\0\0" + block)),
        "PNG": with_chunk(plain("PNG"), chunk(b"eXIf", block)),
        "WEBP": in_webp(plain("WEBP"), b"", riff(b"EXIF", block), flags=0x08),
    }


def _pngs(base: bytes) -> Iterator[tuple[str, bytes]]:
    text = b"k\0" + b"workflow " * (2 * _MIB // 9)
    packed, long = zlib.compress(bytes(8 * _MIB)), b"k\0\1\0\0\0"
    for name, extra in {
        "tEXt-of-2-MiB": chunk(b"tEXt", text),
        "tEXt-of-8-MiB": chunk(b"tEXt", text * 4),
        "tEXt-without-key": chunk(b"tEXt", b""),
        "tEXt-many": chunk(b"tEXt", text[: 1 << 16]) * 100,
        "zTXt-bomb": chunk(b"zTXt", b"k\0\0" + packed),
        "zTXt-garbage": chunk(b"zTXt", b"k\0\0garbage") + chunk(b"zTXt", b"k\0\7") + chunk(b"zTXt", b""),
        "zTXt-many-bombs": chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(_MIB - 1))) * 64,
        "iTXt-of-2-MiB": chunk(b"iTXt", b"k\0\0\0\0\0" + text),
        "iTXt-bomb": chunk(b"iTXt", long + packed),
        "iTXt-not-utf8": chunk(b"iTXt", b"k\0\0\0\xff\xfe\0\0\xff") + chunk(b"iTXt", b"k"),
        "iCCP-bomb": chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(64 * _MIB))),
        "iCCP-cut": chunk(b"iCCP", b"k\0\0" + zlib.compress(SRGB)[:-300]),
        "iCCP-not-packed": chunk(b"iCCP", b"k\0\0" + SRGB) + chunk(b"gAMA", (45_455).to_bytes(4, "big")),
        "iCCP-packed-otherwise": chunk(b"iCCP", b"k\0\1" + zlib.compress(SRGB)) + chunk(b"iCCP", b""),
        "unknown": chunk(b"zzZz", b"?" * 999) + chunk(b"prVt", b"") + chunk(b"aaaa", bytes(70_000)),
        "unknown-17000": chunk(b"zzZz", b"") * 17_000,
        "wrong-lengths": b"".join(
            chunk(kind, b"\1\2\3") for kind in (b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"tIME", b"sBIT", b"bKGD", b"hIST")
        )
        + chunk(b"cICP", b"\1\15"),
        "wrong-checksums": b"".join(
            bad_chunk(kind, body)
            for kind, body in {
                b"tEXt": b"k\0v",
                b"gAMA": (200_000).to_bytes(4, "big"),
                b"cHRM": bytes(32),
                b"cICP": bytes([9, 16, 0, 1]),
                b"pHYs": bytes(9),
                b"tIME": bytes(7),
                b"sRGB": b"\3",
                b"iCCP": b"k\0\0" + zlib.compress(b"x"),
                b"zzZz": b"",
            }.items()
        ),
        "twice": chunk(b"gAMA", (45_455).to_bytes(4, "big")) + chunk(b"gAMA", (200_000).to_bytes(4, "big")),
        "length-too-small": struct.pack(">I", 2) + chunk(b"tEXt", b"k\0value")[4:],
        "length-too-large": struct.pack(">I", 20) + chunk(b"tEXt", b"k\0value")[4:],
        "length-beyond-the-end": struct.pack(">I", 1 << 30) + chunk(b"tEXt", b"k\0value")[4:],
        **{f"iCCP-{name}": chunk(b"iCCP", b"k\0\0" + zlib.compress(body)) for name, body in UNUSABLE.items()},
        **{f"eXIf-{name}": chunk(b"eXIf", block) for name, block in exifs().items()},
    }.items():
        yield name, with_chunk(base, extra)
    late = chunk(b"gAMA", (200_000).to_bytes(4, "big")) + chunk(b"tEXt", text) + chunk(b"cICP", bytes(4))
    late += chunk(b"tRNS", struct.pack(">3H", *PICTURE[0, 0].tolist())) + chunk(b"iCCP", b"k\0\0x")
    yield "late", base[:-12] + late + base[-12:]
    yield "behind-the-end", base + chunk(b"tEXt", text) + chunk(b"IDAT", b"x")
    yield "cut-in-text", base[:-12] + chunk(b"tEXt", text)[:-100]


def _jpegs(base: bytes) -> Iterator[tuple[str, bytes]]:
    xmp, more = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
    thumbnail = plain("JPEG")[:60_000]
    parts = [b"ICC_PROFILE\0" + bytes([number, 2]) + SRGB[:200] for number in (1, 2)]
    for name, extra in {
        "xmp": segment(0xE1, xmp + b"x" * 60_000),
        "xmp-extended": segment(0xE1, more + b"x" * 60_000) * 150,
        "photoshop": segment(0xED, b"Photoshop 3.0\x008BIM\x04\x25" + b"\xff" * 200),
        "photoshop-cut": segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\xff\xff"),
        "thumbnail": segment(0xE0, b"JFXX\0\x10" + thumbnail) + segment(0xE0, b"JFXX\0\x13\xff\xff"),
        "thumbnail-in-exif": segment(0xE1, b"Exif\0\0" + tiff(1) + thumbnail),
        "comments": segment(0xFE, b"c" * 65_533) * 40 + segment(0xFE, b"") * 20_000,
        "all-segments": b"".join(segment(0xE0 + number, bytes(range(256)) * 9) for number in range(16)),
        "short-segments": segment(0xEE, b"Adobe")
        + segment(0xE0, b"JFIF\0")
        + segment(0xE1, b"Exif")
        + segment(0xE2, b""),
        "length-of-zero": b"\xff\xe3\0\0\xff\xe3\0\1",
        "bytes-between": segment(0xE3, b"x") + b"\0\1\2stray",
        "fill": b"\xff" * 50 + segment(0xE3, b"x"),
        "profile-parts-missing": segment(0xE2, parts[1]),
        "profile-parts-twice": segment(0xE2, parts[0]) * 2,
        "profile-parts-too-many": segment(0xE2, parts[0][:13] + b"\x09" + parts[0][14:]),
        "profile-parts-empty": segment(0xE2, b"ICC_PROFILE\0") + segment(0xE2, b"ICC_PROFILE\0\0\0"),
        "index-garbage": segment(0xE2, b"MPF\0II*\0" + b"\xff" * 60),
        "index-empty": segment(0xE2, b"MPF\0"),
        "index-to-nowhere": segment(0xE2, _index(2, 2, b"II*\0", 1 << 30)),
        "index-big-endian": segment(0xE2, _index(2, 2, b"MM\0*", 8)),
        "index-of-too-few": segment(0xE2, _index(3, 2, b"II*\0", 8)),
        **{f"profile-{n}": segment(0xE2, b"ICC_PROFILE\0\1\1" + body) for n, body in UNUSABLE.items() if body},
        **{f"exif-{name}": segment(0xE1, b"Exif\0\0" + block) for name, block in exifs().items()},
    }.items():
        yield name, in_jpeg(base, extra)
    yield "behind-the-end", base + segment(0xE1, b"Exif\0\0" + tiff(6)) + base[:40] + b"\xff\xda" * 200


def _index(count: int, entries: int, mark: bytes, origin: int) -> bytes:
    """Write a multi-picture index whose second picture is not where it says."""
    order = "<" if mark == b"II*\0" else ">"
    fields = struct.pack(f"{order}IH", 8, 2) + struct.pack(f"{order}HHII", 0xB001, 4, 1, count)
    fields += struct.pack(f"{order}HHII", 0xB002, 7, 16 * entries, 38) + bytes(4)
    table = b"".join(struct.pack(f"{order}IIIHH", 0, 900, origin * number, 0, 0) for number in range(entries))
    return b"MPF\0" + mark + fields + table


def _webps(base: bytes) -> Iterator[tuple[str, bytes]]:
    noise = bytes(range(256)) * 8192
    yield "xmp", in_webp(base, b"", riff(b"XMP ", noise), flags=0x04)
    yield "xmp-cut", in_webp(base, b"", riff(b"XMP ", noise), flags=0x04)[:-1000]
    yield "unknown", in_webp(base, riff(b"ABCD", b"x"), riff(b"\0\1\2\3", noise) + riff(b"ABCD", b""))
    yield "flags-alone", in_webp(base, b"", flags=0x2C)
    yield "no-flags", in_webp(base, riff(b"ICCP", b"garbage"), riff(b"EXIF", tiff(1)) + riff(b"XMP ", b"x"))
    yield "profile-behind", in_webp(base, b"", riff(b"ICCP", b"garbage"), flags=0x20)
    for name, body in UNUSABLE.items():
        yield f"profile-{name}", in_webp(base, riff(b"ICCP", body), flags=0x20)
    for name, block in exifs().items():
        yield f"exif-{name}", in_webp(base, b"", riff(b"EXIF", block), flags=0x08)


def _gifs(base: bytes) -> Iterator[tuple[str, bytes]]:
    block = b"\xff" + b"c" * 255
    for name, extra in {
        "comment": b"!\xfe" + block * 8000 + b"\0",
        "comments": b"!\xfe\1x\0" * 20_000,
        "application": b"!\xff\x0bNETSCAPE2.0\1\1\0" + b"!\xff\3abc\0" + b"!\xff\0",
        "xmp": b"!\xff\x0bXMP DataXMP" + b"\1x" * 9000 + b"\0",
        "unknown": b"!\x42" + block * 3 + b"\0",
        **{f"profile-{n}": b"!\xff\x0bICCRGBG1" + b"012" + blocks(body) for n, body in UNUSABLE.items()},
    }.items():
        yield name, in_gif(base, extra)
    yield "cut-in-comment", base[:-1] + b"!\xfe" + block[:100]
    yield "behind-the-end", base + b"!\xfe" + block


def blocks(body: bytes) -> bytes:
    """Cut a body into the sub-blocks of a GIF."""
    parts = (body[at : at + 255] for at in range(0, len(body), 255))
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def _avifs(_: bytes) -> Iterator[tuple[str, bytes]]:
    options = LOSSLESS["AVIF"]
    described = Image.Exif()
    described[0x0131] = "a program" * 40
    written = encode(PICTURE, "AVIF", **options, exif=described.tobytes())
    at = written.index(described.tobytes()[6:])
    for name, block in exifs().items():
        yield f"exif-{name}", written[:at] + block + b"\xff" * (300 - len(block)) + written[at + max(300, len(block)) :]
    yield "exif-far-header", written[: at - 10] + b"\xff\xff\xff\xff" + written[at - 6 :]
    yield "xmp", encode(PICTURE, "AVIF", **options, xmp=b"\xff" * 2 * _MIB)
    for name, body in UNUSABLE.items():
        if body:
            yield f"profile-{name}", encode(PICTURE, "AVIF", **options, icc_profile=body)

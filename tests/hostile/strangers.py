"""What is no picture, what is two things at once, and what carries far more than a picture."""

import io
import itertools
import zipfile
from collections.abc import Iterator
from random import Random

from PIL import Image, PngImagePlugin

from sluice_sim.broken_pictures import BROKEN_PICTURES
from tests.hostile import scenes
from tests.hostile.colours import SRGB, exif
from tests.hostile.specimen import Fate, Specimen
from tests.support.images import chunk, encode, with_chunk

_STRANGE = frozenset({"not_an_image", "format_not_allowed", "empty"})
_OTHER_FORMATS = ("BMP", "DIB", "DDS", "EPS", "ICNS", "ICO", "JPEG2000", "MSP", "PCX", "PPM", "SGI")
_MORE_FORMATS = ("SPIDER", "TGA", "TIFF", "XBM", "BLP", "GBR")
_HEADS = {
    "empty": b"",
    "zeros": bytes(4096),
    "text": b"a picture of a cat\n" * 40,
    "html": b"<!doctype html><title>502</title>",
    "html-upper": b"<HTML><BODY>",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
    "svg-xml": b"<?xml version='1.0'?><svg/>",
    "svg-bom": b"\xef\xbb\xbf<svg/>",
    "svgz": b"\x1f\x8b\x08\0\0\0\0\0\0\3" + bytes(64),
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n(%pipe%id) (r) file",
    "eps-dos": b"\xc5\xd0\xd3\xc6" + bytes(60),
    "pdf": b"%PDF-1.7\n",
    "psd": b"8BPS\0\1" + bytes(60),
    "psb": b"8BPS\0\2" + bytes(60),
    "fits": b"SIMPLE  =                    T",
    "wmf": b"\xd7\xcd\xc6\x9a" + bytes(60),
    "emf": b"\1\0\0\0" + bytes(36) + b" EMF",
    "heic": b"\0\0\0\x18ftypheic" + bytes(60),
    "mif1": b"\0\0\0\x18ftypmif1" + bytes(60),
    "jxl": b"\xff\x0a" + bytes(60),
    "jxl-box": b"\0\0\0\x0cJXL \r\n\x87\n",
    "jp2": b"\0\0\0\x0cjP  \r\n\x87\n",
    "tiff-big": b"II+\0\x08\0\0\0" + bytes(60),
    "riff-wave": b"RIFF\x24\0\0\0WAVEfmt ",
    "riff-avi": b"RIFF\x24\0\0\0AVI LIST",
    "mp4": b"\0\0\0\x18ftypisom" + bytes(60),
    "webm": b"\x1a\x45\xdf\xa3" + bytes(60),
    "elf": b"\x7fELF" + bytes(60),
    "class": b"\xca\xfe\xba\xbe" + bytes(60),
    "gzip": b"\x1f\x8b" + bytes(60),
    "pickle": b"\x80\x04\x95" + bytes(60),
    "half-signature": b"\x89PNG\r\n",
    "png-as-text": b"\x89PNG\n\x1a\n" + bytes(60),
    "space-before-png": b" \x89PNG\r\n\x1a\n" + bytes(60),
    "jpeg-end": b"\xff\xd9" * 40,
    "base64": b"iVBORw0KGgoAAAANSUhEUgAA",
    "data-url": b"data:image/png;base64,iVBORw0KGgo",
    "utf-16": "picture".encode("utf-16"),
    "json": b'{"image": "picture.png"}',
    "mng": b"\x8aMNG\r\n\x1a\n" + bytes(60),
    "jng": b"\x8bJNG\r\n\x1a\n" + bytes(60),
}


def foreign(rng: Random) -> Iterator[Specimen]:
    """Bytes of another kind, and pictures in formats that are never opened."""
    for name, data in _HEADS.items():
        yield Specimen(f"foreign/{name}", data, Fate.REFUSED, _STRANGE)
    for fmt in (*_OTHER_FORMATS, *_MORE_FORMATS):
        if saved := _saved(fmt):
            yield Specimen(f"foreign/{fmt}", saved, Fate.REFUSED, _STRANGE)
    for number in range(10):
        yield Specimen(f"foreign/noise-{number}", b"~" + rng.randbytes(100 * number), Fate.REFUSED, _STRANGE)
    for name, spoil in BROKEN_PICTURES.items():
        fate = Fate.SHOWN if name == "gif" else Fate.REFUSED
        yield Specimen(f"foreign/simulator-{name}", spoil(), fate)


def polyglots(_rng: Random) -> Iterator[Specimen]:
    """Put something else behind, before or inside a sound picture; what is judged is what the picture shows."""
    archive = _archive()
    for (fmt, options), (name, tail) in itertools.product(_PICTURES.items(), _tails(archive).items()):
        data = encode(scenes.safe(0), fmt, **options)
        shows = (scenes.pixels(scenes.safe(0)),)
        yield Specimen(f"polyglots/{fmt}-{name}", data + tail, Fate.ANSWERED, shows=shows, tolerance=8.0)
        hazard = encode(scenes.unsafe(0), fmt, **options)
        yield Specimen(f"polyglots/{fmt}-hazard-{name}", hazard + tail, Fate.NEVER_ALLOWED)
        yield Specimen(f"polyglots/{name}-{fmt}", tail + data, Fate.REFUSED if _leads(tail) else Fate.ANSWERED)
    script = b"GIF89a/*" + encode(scenes.safe(0), "GIF")[8:] + b"*/=1;alert(1)"
    yield Specimen("polyglots/GIF-script", script, Fate.ANSWERED)
    page = encode(scenes.safe(0), "JPEG", comment=b"<html><script>alert(1)</script>")
    yield Specimen("polyglots/JPEG-page", page, Fate.SHOWN, shows=(scenes.pixels(scenes.safe(0)),), tolerance=8.0)
    page = with_chunk(encode(scenes.safe(0)), chunk(b"tEXt", b"k\0<?php system('id'); ?>"))
    yield Specimen("polyglots/PNG-page", page, Fate.SHOWN, shows=(scenes.pixels(scenes.safe(0)),))


def burdens(rng: Random) -> Iterator[Specimen]:
    """Metadata that outweighs the picture a thousand times."""
    still, noise = scenes.safe(1), rng.randbytes(1 << 20)
    seen = (scenes.pixels(still),)
    for size in (1 << 10, 1 << 16, 1 << 20, 8 << 20):
        more = (noise * 8)[:size]
        for fmt in ("PNG", "WEBP", "AVIF"):
            data = encode(still, fmt, exif=exif(1, more=more), **_PICTURES.get(fmt, {"speed": 10}))
            yield Specimen(f"burdens/{fmt}-exif-{size}", data, Fate.SHOWN, shows=seen, tolerance=6.0)
            data = encode(still, fmt, icc_profile=SRGB + more, **_PICTURES.get(fmt, {"speed": 10}))
            yield Specimen(f"burdens/{fmt}-profile-{size}", data, Fate.ANSWERED, shows=seen, tolerance=6.0)
        for fmt in ("WEBP", "AVIF"):
            data = encode(still, fmt, xmp=more, **_PICTURES.get(fmt, {"speed": 10}))
            yield Specimen(f"burdens/{fmt}-xmp-{size}", data, Fate.SHOWN, shows=seen, tolerance=6.0)
        text = PngImagePlugin.PngInfo()
        text.add_text("k", more.decode("latin-1"))
        yield Specimen(f"burdens/PNG-text-{size}", encode(still, pnginfo=text), Fate.SHOWN, shows=seen)
        data = with_chunk(encode(still), chunk(b"prVt", more))
        yield Specimen(f"burdens/PNG-private-{size}", data, Fate.SHOWN, shows=seen)
        jpeg = encode(still, "JPEG", quality=95)
        parts = b"".join(b"\xff\xe3\xff\xff" + more[at : at + 65_533].ljust(65_533) for at in range(0, size, 65_533))
        data = jpeg[:2] + parts + jpeg[2:]
        yield Specimen(f"burdens/JPEG-segments-{size}", data, Fate.SHOWN, shows=seen, tolerance=6.0)
    yield Specimen(
        "burdens/PNG-over-16-MiB", encode(still) + bytes(16 << 20), Fate.REFUSED, frozenset({"too_many_bytes"})
    )


_PICTURES: dict[str, dict[str, object]] = {
    "PNG": {"compress_level": 1},
    "JPEG": {"quality": 90},
    "WEBP": {"quality": 90, "method": 0},
    "GIF": {},
}


def _tails(archive: bytes) -> dict[str, bytes]:
    return {
        "zip": archive,
        "html": b"<html><body onload=alert(1)>",
        "hazard-png": encode(scenes.unsafe(0), compress_level=1),
        "hazard-jpeg": encode(scenes.unsafe(0), "JPEG"),
        "zeros": bytes(70_000),
        "newline": b"\r\n",
        "pdf": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
    }


def _leads(tail: bytes) -> bool:
    return not tail.startswith((b"\x89PNG", b"\xff\xd8"))


def _archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("payload.js"), "alert(1)")
    return out.getvalue()


def _saved(fmt: str) -> bytes:
    mode = {"MSP": "1", "XBM": "1", "SPIDER": "F", "BLP": "P"}.get(fmt, "RGB")
    try:
        return encode(Image.new(mode, (64, 64)), fmt)
    except (KeyError, OSError, ValueError):
        return b""  # Pillow reads this format and does not write it

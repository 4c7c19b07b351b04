"""Everything that stands between stored samples and what a screen shows: modes, profiles, gamma, orientation."""

import itertools
import struct
from collections.abc import Iterator
from random import Random
from typing import Literal

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from sluice.moderation.values import Pixels
from tests.hostile import scenes
from tests.hostile.specimen import Fate, Specimen
from tests.support.images import chunk, encode, with_chunk


def _profile(space: Literal["sRGB", "XYZ"]) -> bytes:
    """Make a profile that does not tell when it was made (ICC.1, 7.2.10)."""
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()
    return made[:24] + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + made[36:]


SRGB = _profile("sRGB")
XYZ = _profile("XYZ")
_LOSSY = 5.0
_LOSSLESS: dict[str, dict[str, object]] = {"PNG": {}, "WEBP": {"lossless": True, "exact": True}, "GIF": {}}
_NEARLY: dict[str, dict[str, object]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "AVIF": {"quality": 95, "speed": 10},
}
_WRITERS: dict[str, dict[str, object]] = {**_LOSSLESS, **_NEARLY}
_MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
    "WEBP": ("L", "LA", "P", "RGB", "RGBA"),
    "GIF": ("1", "L", "P", "RGB"),
    "JPEG": ("1", "L", "RGB", "CMYK", "YCbCr"),
    "AVIF": ("L", "LA", "RGB", "RGBA"),
}
_PRIMARIES = {
    "srgb": (31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000),
    "swapped": (31_270, 32_900, 15_000, 6_000, 30_000, 60_000, 64_000, 33_000),
    "wide": (31_270, 32_900, 70_800, 29_200, 17_000, 79_700, 13_100, 4_600),
    "white": (44_757, 40_745, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000),
    "zero": (0,) * 8,
}
_TURNS = (None, 0, 3, 1, 5, 2, 6, 4)
"""What Pillow's `transpose` needs to store a picture so that EXIF orientation 1 to 8 turns it back."""


def modes(_rng: Random) -> Iterator[Specimen]:
    """Every mode a format can hold, at several sizes, with and without an sRGB profile."""
    for (fmt, held), size in itertools.product(_MODES.items(), ((112, 80), (80, 112), (33, 31), (1, 1), (224, 224))):
        for mode, profile in itertools.product(held, (b"", SRGB)):
            image = scenes.subject(*size).convert(mode)
            if fmt == "GIF" and profile:
                continue
            options = _WRITERS[fmt] | ({"icc_profile": profile} if profile else {})
            yield Specimen(
                f"modes/{fmt}-{mode}-{size[0]}x{size[1]}{'-srgb' if profile else ''}",
                encode(image, fmt, **options),
                Fate.SHOWN,
                shows=(scenes.pixels(image),),
                tolerance=1.0 if fmt in _LOSSLESS and (fmt != "GIF" or mode != "RGB") else _LOSSY,
            )


def profiles(_rng: Random) -> Iterator[Specimen]:
    """Profiles that change the colours, and profiles that cannot be used."""
    image = scenes.subject()
    seen = scenes.pixels(image)
    for fmt, options in _WRITERS.items():
        if fmt == "GIF":
            continue
        tolerance = 2.0 if fmt in _LOSSLESS else _LOSSY
        swapped = encode(image, fmt, **options, icc_profile=_swapped())
        yield Specimen(f"profiles/{fmt}-swapped", swapped, Fate.SHOWN, shows=(seen[..., ::-1],), tolerance=tolerance)
        for number, profile in enumerate((b"garbage", SRGB[:200], bytes(4000), SRGB[:128] + bytes(400))):
            data = encode(image, fmt, **options, icc_profile=profile)
            yield Specimen(f"profiles/{fmt}-broken-{number}", data, Fate.SHOWN, shows=(seen,), tolerance=tolerance)
        other = encode(image, fmt, **options, icc_profile=XYZ)
        yield Specimen(f"profiles/{fmt}-of-another-space", other, Fate.REFUSED, frozenset({"bad_colour_profile"}))
    yield from _jpeg_cmyk()
    for primaries, transfer, full in itertools.product((1, 9, 12), (1, 6, 8, 13, 16, 18), (0, 1)):
        usual = (primaries, transfer, full) == (1, 13, 1)
        data = with_chunk(encode(image), chunk(b"cICP", bytes([primaries, transfer, 0, full])))
        yield _coded(f"profiles/PNG-cicp-{primaries}-{transfer}-{full}", data, seen, usual=usual)
    avif = encode(image, "AVIF", speed=10, quality=95)
    at = avif.index(b"colrnclx") + 8
    for primaries, transfer in itertools.product((1, 2, 9, 12), (1, 2, 8, 13, 16, 18)):
        data = avif[:at] + struct.pack(">HH", primaries, transfer) + avif[at + 4 :]
        usual = primaries in {1, 2} and transfer in {1, 2, 13}
        yield _coded(f"profiles/AVIF-nclx-{primaries}-{transfer}", data, seen, usual=usual)
    bare = avif.replace(b"colrnclx", b"freenclx")
    yield _coded("profiles/AVIF-no-nclx", bare, seen, usual=False)
    for gamma, (name, points) in itertools.product((0, 45_455), _PRIMARIES.items()):
        extra = chunk(b"gAMA", gamma.to_bytes(4, "big")) if gamma else b""
        data = with_chunk(encode(image), extra + chunk(b"cHRM", struct.pack(">8I", *points)))
        yield _coded(f"profiles/PNG-chrm-{name}-{gamma}", data, seen, usual=name == "srgb")


def _coded(name: str, data: bytes, seen: Pixels, *, usual: bool) -> Specimen:
    """Give a file whose colours are coded by number; only sRGB's may be taken for what they are."""
    if usual:
        return Specimen(name, data, Fate.SHOWN, shows=(seen,), tolerance=_LOSSY)
    return Specimen(name, data, Fate.REFUSED, frozenset({"bad_colour_profile"}))


def _jpeg_cmyk() -> Iterator[Specimen]:
    """Inverted CMYK as Adobe writes it, and the same without the marker that says so."""
    for number, colour in enumerate(((0, 255, 255, 0), (255, 0, 0, 0), (0, 0, 0, 128), (20, 40, 60, 80))):
        image = Image.new("CMYK", (64, 48), colour)
        data = encode(image, "JPEG", quality=95)
        yield Specimen(f"profiles/CMYK-{number}", data, Fate.SHOWN, shows=(scenes.pixels(image),), tolerance=_LOSSY)
        at = data.index(b"\xff\xee")
        bare = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
        yield Specimen(f"profiles/CMYK-bare-{number}", bare, Fate.REFUSED, frozenset({"bad_colour_profile"}))


def orientations(_rng: Random) -> Iterator[Specimen]:
    """EXIF orientation in every format, byte order and value; values outside 1 to 8, and XMP's, turn nothing."""
    upright = scenes.subject()
    for fmt, order, value in itertools.product(("JPEG", "PNG", "WEBP", "AVIF"), ("<", ">"), (*range(10), 65535)):
        turn = _TURNS[value - 1] if 1 <= value <= 8 else None
        stored = upright if turn is None else upright.transpose(Image.Transpose(turn))
        data = encode(stored, fmt, **_WRITERS[fmt], exif=exif(value, order))
        name = f"orientations/{fmt}-{'II' if order == '<' else 'MM'}-{value}"
        fate = Fate.ANSWERED if fmt == "AVIF" and turn is None and value != 1 else Fate.SHOWN
        yield Specimen(name, data, fate, shows=(scenes.pixels(upright),), tolerance=_LOSSY)
    for value in range(1, 9):
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", f'<x tiff:Orientation="{value}"/>')
        data = encode(upright, pnginfo=text)
        yield Specimen(f"orientations/PNG-xmp-{value}", data, Fate.SHOWN, shows=(scenes.pixels(upright),))


def exif(orientation: int, order: str = "<", more: bytes = b"") -> bytes:
    """Write the smallest EXIF block that holds an orientation."""
    entry = struct.pack(f"{order}HIHHHIHHI", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    return b"Exif\0\0" + (b"II" if order == "<" else b"MM") + entry + more


def _swapped() -> bytes:
    """Give an sRGB profile whose red and blue are exchanged."""
    profile = bytearray(SRGB)
    places: dict[bytes, int] = {}
    for index in range(int.from_bytes(profile[128:132], "big")):
        at = 132 + 12 * index
        places[bytes(profile[at : at + 4])] = at
    red, blue = places[b"rXYZ"], places[b"bXYZ"]
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


def on_page(colours: Pixels, alpha: np.ndarray, page: int) -> Pixels:
    """Put colours (h, w, 3) with alpha (h, w), 0 to 1, on a grey page."""
    mixed = colours * alpha[..., None] + page * (1 - alpha[..., None])
    result: Pixels = np.rint(mixed).astype(np.uint8)
    return result

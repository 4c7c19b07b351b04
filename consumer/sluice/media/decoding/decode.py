"""Bytes to upright, opaque, 8-bit sRGB frames: limits first, doubt is Unreadable.

Pillow opens 43 formats, loads half a PNG in silence, ignores orientation, profiles and transparency, shows the first
frame only, and refuses a sound picture for the metadata around it; what each of that becomes here has a test.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from PIL import AvifImagePlugin, Image, ImageFile

from sluice.core.errors import Unreadable
from sluice.media.decoding import avif, colour, exif, gif, jpeg, png, webp
from sluice.media.decoding.bare import Bare
from sluice.media.decoding.limits import Limits
from sluice.media.decoding.sniff import sniff
from sluice.moderation.values import Pixels

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # a decoder process is one of many

_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow's parsers raise on hostile bytes; seen or documented, and all of them mean the same: not a clean image.
_PARSER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    RuntimeError,
    EOFError,
    struct.error,
    zlib.error,
    Warning,
)


_Looks = tuple[Image.Image, ...]
_BROKEN = {"corrupt", "truncated"}
_SCAN_PIXELS = 4  # of all pixels allowed: a progressive JPEG of the largest size in 16 passes, where encoders write ten


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame and every way it may look, each (h, w, 3) uint8; `views[0]` is on white."""

    views: tuple[Pixels, ...]


def frames(data: bytes, limits: Limits) -> Iterator[Frame]:
    """Yield every frame of an image; raise Unreadable before a limit is crossed.

    Not safe in two threads at once: Pillow's size check and Python's warning filter are process-wide.
    """
    if len(data) > limits.max_image_bytes:
        raise Unreadable("too_many_bytes", f"{len(data)} bytes, {limits.max_image_bytes} allowed")
    kind = sniff(data, limits.formats)
    for looks, bare in _composed(data, limits) if kind == "GIF" else _opened(data, kind, limits):
        with _strict(limits):
            frame = Frame(tuple(view for image in looks for view in colour.views(image, bare)))
        yield frame


@contextmanager
def _strict(limits: Limits) -> Iterator[None]:
    """Make warnings errors, hold Pillow to our limit, and translate what it raises."""
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise Unreadable("corrupt", "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set: half an image would pass")
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, limits.max_frame_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    except MemoryError as error:
        raise Unreadable("decoder_memory", "decoding needs more memory than a decoder may take") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise Unreadable("too_many_pixels", f"a frame over {limits.max_frame_pixels}") from error
    except _PARSER_ERRORS as error:
        cut = isinstance(error, EOFError) or "truncated" in str(error).lower()
        raise Unreadable("truncated" if cut else "corrupt", type(error).__name__) from error
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _bare(data: bytes, kind: str, limits: Limits) -> Bare:
    """Reduce a file to what decides its pixels. Raises Unreadable when it does not add up."""
    if kind == "PNG":
        structure = png.parse(data)
        return Bare(structure.file, structure.turns, structure.profile, structure)
    if kind == "JPEG":
        return jpeg.bare(data, _SCAN_PIXELS * limits.max_total_pixels)
    if kind == "WEBP":
        if animation := webp.announced(data):
            _affordable(*animation, limits)
        return webp.bare(data)
    avif.check_colours(data)
    return Bare(avif.stripped(data))


def _opened(data: bytes, kind: str, limits: Limits) -> Iterator[tuple[_Looks, Bare]]:
    """Yield every frame as Pillow composes it, in each orientation that a reader may give it.

    Of a multi-picture JPEG the first picture is the one that browsers show; a broken one behind it is left out.
    """
    first = _bare(data, kind, limits)
    spent = 0
    for start in (0, *first.more):
        try:
            bare = _bare(data[start:], kind, limits) if start else first
            for looks, told in _played(bare, kind, limits, spent):
                spent += looks[0].width * looks[0].height
                yield looks, told
        except Unreadable as error:
            if not start or error.reason not in _BROKEN:
                raise


def _played(bare: Bare, kind: str, limits: Limits, spent: int) -> Iterator[tuple[_Looks, Bare]]:
    """Yield the frames of one picture; `spent` are the pixels of those before it."""
    with _strict(limits):
        image = _verified(bare.data, kind, limits)
        count = getattr(image, "n_frames", 1)
    _affordable(image.size, count + len(bare.more), limits)
    if kind == "AVIF":  # it tells its own orientation as if it were EXIF's
        blocks = [exif.Block.of(image.info["exif"], prefixed=True)] if "exif" in image.info else []
        bare = replace(bare, turns=exif.turns(blocks), profile=image.info.get("icc_profile"))
    for index in range(count):
        with _strict(limits):
            image.seek(index)
            _fits(image.size, limits)
            spent += image.width * image.height
            if spent > limits.max_total_pixels:
                raise Unreadable("too_many_pixels", f"over {limits.max_total_pixels} in all frames")
            looks = _turned(_loaded(image, bare.png if index == 0 else None), bare.turns)
        yield looks, bare


def _composed(data: bytes, limits: Limits) -> Iterator[tuple[_Looks, Bare]]:
    """Yield every frame of a GIF, composed as a browser does: what nothing covers stays transparent."""
    whole, bare = gif.parse(data, limits.max_frames), Bare(data)
    _affordable((whole.width, whole.height), len(whole.frames), limits)
    with _strict(limits):
        canvas = Image.new("RGBA", (whole.width, whole.height))
    for part in whole.frames:
        with _strict(limits):
            drawn = canvas.copy()
            image = _verified(part.file, "GIF", limits)
            image.load()
            if int(np.asarray(image).max()) >= part.colours:
                raise Unreadable("corrupt", "a colour beyond the table")
            drawn.alpha_composite(image.convert("RGBA"), (part.left, part.top))
        yield (drawn,), bare
        if part.disposal is not gif.Disposal.RESTORE:
            canvas = drawn
        if part.disposal is gif.Disposal.CLEAR:
            canvas = drawn.copy()
            canvas.paste((0, 0, 0, 0), (part.left, part.top, part.left + part.width, part.top + part.height))


def _verified(data: bytes, kind: str, limits: Limits) -> Image.Image:
    """Open twice: once to check the checksums, which uses an image up, once to decode."""
    with Image.open(BytesIO(data), formats=(kind,)) as image:
        _fits(image.size, limits)
        image.verify()
    return Image.open(BytesIO(data), formats=(kind,))


def _affordable(size: tuple[int, int], count: int, limits: Limits) -> None:
    """Refuse too many or too large frames before the first is decoded."""
    _fits(size, limits)
    if count < 1:
        raise Unreadable("corrupt", "an image without frames")
    if count > limits.max_frames:
        raise Unreadable("too_many_frames", f"over {limits.max_frames}")
    if count * size[0] * size[1] > limits.max_total_pixels:
        raise Unreadable("too_many_pixels", f"over {limits.max_total_pixels} in all frames")


def _fits(size: tuple[int, int], limits: Limits) -> None:
    pixels = size[0] * size[1]
    if pixels > limits.max_frame_pixels:
        raise Unreadable("too_many_pixels", f"{pixels} in a frame, {limits.max_frame_pixels} allowed")
    if pixels < 1:
        raise Unreadable("corrupt", "an image without pixels")


def _loaded(image: Image.Image, structure: png.Png | None) -> Image.Image:
    """Return a frame with its pixels, all of them."""
    if structure is not None and (pixels := structure.pixels()) is not None:
        plain = Image.fromarray(pixels)
        plain.info = image.info
        return plain
    image.load()
    if structure is not None:
        _complete(image, structure)
    return image


def _complete(image: Image.Image, structure: png.Png) -> None:
    """Refuse a PNG whose stream ends early: Pillow leaves the rows that are missing at zero and says nothing.

    Rows come top down (the last pass of an interlaced image too), so one of the last two is all zero then; only in
    that case, and for animations, is the stream inflated a second time to count it.
    """
    tail = [image.crop((0, row, image.width, row + 1)).getbbox(alpha_only=False) for row in _last_rows(image)]
    doubtful = image.height < 3 or None in tail or len(structure.layers) > 1  # noqa: PLR2004 - Adam7 skips row 0
    if doubtful and structure.short():
        raise Unreadable("truncated", "rows are missing")


def _last_rows(image: Image.Image) -> range:
    return range(max(0, image.height - 2), image.height)


def _turned(image: Image.Image, turns: tuple[int, ...]) -> _Looks:
    """Give an image each of its orientations; XMP's, which Pillow honours and browsers do not, is not asked."""
    return tuple(image if turn == exif.UPRIGHT else image.transpose(_TURN[turn]) for turn in turns)

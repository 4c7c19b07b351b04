"""Bytes to upright, opaque, 8-bit sRGB frames: limits first, doubt is Unreadable.

Pillow opens 43 formats, loads half a PNG in silence, ignores orientation, profiles and transparency, and shows the
first frame only; what each of that becomes here has a test.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

from PIL import AvifImagePlugin, ExifTags, Image, ImageFile, PngImagePlugin

from sluice.core.domain import Pixels
from sluice.core.errors import Unreadable
from sluice.media import colour, png
from sluice.media.limits import Limits
from sluice.media.sniff import sniff

PngImagePlugin.MAX_TEXT_MEMORY = 4 * PngImagePlugin.MAX_TEXT_CHUNK  # 64 by default: 64 MiB of text nobody reads
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
    structure = _structure(data, kind)
    image, count = _open(data, kind, limits)
    pixels = 0
    for index in range(count):
        yield _frame(image, index, structure, limits)
        pixels += image.width * image.height
        if pixels > limits.max_total_pixels:
            raise Unreadable("too_many_pixels", f"over {limits.max_total_pixels} in all frames")


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


def _structure(data: bytes, kind: str) -> png.Png | None:
    if kind != "PNG":
        return None
    structure = png.parse(data)
    if structure.foreign_colours:
        raise Unreadable("bad_colour_profile", "a cICP chunk that is not sRGB")
    return structure


def _open(data: bytes, kind: str, limits: Limits) -> tuple[Image.Image, int]:
    """Open twice: once to check the checksums, which uses an image up, once to decode; and count the frames."""
    with _strict(limits):
        for checking in (True, False):
            image = Image.open(BytesIO(data), formats=(kind,))
            _fits(image, limits)
            if checking:
                image.verify()
        count = getattr(image, "n_frames", 1)
    if count > limits.max_frames:
        raise Unreadable("too_many_frames", f"over {limits.max_frames}")
    if count * image.width * image.height > limits.max_total_pixels:
        raise Unreadable("too_many_pixels", f"over {limits.max_total_pixels} in all frames")
    return image, count


def _fits(image: Image.Image, limits: Limits) -> None:
    pixels = image.width * image.height
    if pixels > limits.max_frame_pixels:
        raise Unreadable("too_many_pixels", f"{pixels} in a frame, {limits.max_frame_pixels} allowed")
    if pixels < 1:
        raise Unreadable("corrupt", "an image without pixels")


def _frame(image: Image.Image, index: int, structure: png.Png | None, limits: Limits) -> Frame:
    with _strict(limits):
        image.seek(index)
        _fits(image, limits)
        image.load()
        if structure is not None and index == 0:
            _complete(image, structure)
        return Frame(colour.views(_upright(image), structure))


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


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation as browsers do; the one in XMP, which Pillow honours and they do not, is left."""
    raw = image.info.get("exif")
    if not raw:
        return image
    tags = Image.Exif()
    tags.load(raw)
    turn = _TURN.get(tags.get(ExifTags.Base.Orientation, 1))
    if turn is None:
        return image
    turned = image.transpose(turn)
    turned.format = image.format
    return turned

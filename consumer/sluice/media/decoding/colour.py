"""From whatever a file stores to 8-bit sRGB and alpha, as a browser would; Unreadable where that is a guess."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

from sluice.core.errors import Unreadable
from sluice.media.decoding.bare import Bare
from sluice.moderation.values import Pixels

_SRGB = ImageCms.createProfile("sRGB")
_TAKEN_FOR_SRGB = {"RGB ", "GRAY", "CMYK", "Lab "}
_SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_WITHOUT_ALPHA = {"LA": "L", "PA": "RGB", "P": "RGB", "RGBA": "RGB", "1": "L", "L": "L", "RGB": "RGB", "CMYK": "CMYK"}
_SCREEN_GAMMA = 1 / 2.2
_GAMMA_SLACK = 0.05  # libpng's own threshold for "the same gamma" (PNG_GAMMA_THRESHOLD_FIXED)
_OPAQUE = 255
_BITS = 8
_BAND = 512


def views(image: Image.Image, bare: Bare) -> tuple[Pixels, ...]:
    """Return every way a loaded frame may look on a screen, each (h, w, 3) uint8, the reference first.

    Transparency gives one view on white and one on black; a gAMA far from sRGB's gives the view of a reader that
    applies it besides that of one that does not. A profile that cannot be applied is not there.
    """
    alpha = _alpha(image, bare.png.bits if bare.png else _BITS)
    colour, profiled = _converted(image, bare.profile)
    if bare.png and bare.png.foreign_colours(profiled=profiled):
        raise Unreadable("bad_colour_profile", "a cICP or cHRM chunk that is not sRGB")
    looks = [colour]
    if (curve := _gamma_curve(bare.png.gamma(profiled=profiled) if bare.png else None)) is not None:
        looks.append(colour.point(curve * 3))
    pages = ("white", "black") if alpha is not None else ("white",)
    return tuple(_on(look, alpha, page) for look in looks for page in pages)


def _on(look: Image.Image, alpha: Image.Image | None, page: str) -> Pixels:
    """Put a look on a page, band by band: the largest picture would not fit a decoder's memory several times over."""
    width, height = look.size
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    for top in range(0, height, _BAND):
        box = (0, top, width, min(height, top + _BAND))
        band = look.crop(box)
        if alpha is not None:
            canvas = Image.new("RGB", band.size, page)
            canvas.paste(band, mask=alpha.crop(box))
            band = canvas
        pixels[box[1] : box[3]] = np.asarray(band)
    return pixels


def _alpha(image: Image.Image, bits: int) -> Image.Image | None:
    """Return the alpha channel, None when all is opaque."""
    key = image.info.get("transparency")
    if image.mode in ("LA", "PA", "RGBA"):
        alpha = image.getchannel("A")
    elif isinstance(key, int) and image.mode in ("I;16", "L"):
        alpha = _keyed(np.asarray(image), key, bits)
    elif image.has_transparency_data:
        alpha = image.convert("RGBA").getchannel("A")
    else:
        return None
    return None if alpha.getextrema() == (_OPAQUE, _OPAQUE) else alpha


def _keyed(samples: np.ndarray, key: int, bits: int) -> Image.Image:
    """Alpha of a grey image with one transparent sample; Pillow scales samples below 8 bits but not the key."""
    if bits < 8:  # noqa: PLR2004 - bits of a sample
        key = key * 255 // ((1 << bits) - 1)
    return Image.fromarray(np.where(samples == key, 0, _OPAQUE).astype(np.uint8))


def _converted(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bool]:
    """Return the colours and whether the profile gave them; what they were made from is not kept."""
    opaque = _opaque(image)
    if profile and (converted := _by_profile(opaque, profile)):
        return converted, True
    return _srgb(opaque), False


def _srgb(opaque: Image.Image) -> Image.Image:
    if opaque.mode == "CMYK" and "adobe" not in opaque.info:
        raise Unreadable("bad_colour_profile", "CMYK of unknown polarity")
    return opaque if opaque.mode == "RGB" else opaque.convert("RGB")


def _opaque(image: Image.Image) -> Image.Image:
    """Return the colours alone, in 8 bits: mode L, RGB or CMYK."""
    if image.mode in ("I;16", "I;16L", "I;16B", "I;16N", "I"):
        samples = np.asarray(image).astype(np.int64)
        if samples.min() < 0 or samples.max() > 0xFFFF:  # noqa: PLR2004 - the range of 16 bits
            raise Unreadable("unsupported_pixels", "grey samples beyond 16 bits")
        return Image.fromarray(((samples * 2 + 257) // 514).astype(np.uint8))  # v / 257, rounded
    mode = _WITHOUT_ALPHA.get(image.mode)
    if mode is None:
        raise Unreadable("unsupported_pixels", f"pixel mode {image.mode}")
    return image if image.mode == mode else image.convert(mode)


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Apply a profile; None where it is none, or one of other pixels, which browsers take for sRGB, too."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if source.profile.xcolor_space not in _TAKEN_FOR_SRGB:  # Chromium shows other colours then
            raise Unreadable("bad_colour_profile", "a profile of a space that no picture is in")
        space = _SPACES.get(source.profile.xcolor_space)
        if space == "RGB" and image.mode == "L":
            image = image.convert("RGB")
        return ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB") if space == image.mode else None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _gamma_curve(gamma: float | None) -> list[int] | None:
    """Return the table a gAMA asks for on a 2.2 screen, None when it is sRGB's (PNG 13.13)."""
    if gamma is None or abs(gamma - _SCREEN_GAMMA) <= _GAMMA_SLACK:
        return None
    return [round(255 * (value / 255) ** (_SCREEN_GAMMA / gamma)) for value in range(256)]

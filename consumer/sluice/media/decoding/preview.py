"""Pixels to a small JPEG for people: made anew from what was decoded, so nothing of the original file is in it."""

from io import BytesIO

from PIL import Image

from sluice.moderation.values import Pixels

QUALITY = 82  # a page of fifty previews stays around a megabyte


def jpeg(pixels: Pixels) -> bytes:
    """Encode (h, w, 3) uint8 pixels."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY, optimize=True)
    return file.getvalue()

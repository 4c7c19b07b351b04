"""What one image may cost, and the stable names of why it was turned away."""

from dataclasses import dataclass, fields, replace
from typing import Self

from sluice.media.decoding.sniff import MIME
from sluice.moderation.values import Thumbnail
from sluice.settings import MIB, Media

REASONS = frozenset(
    {
        "bad_colour_profile",
        "corrupt",
        "decode_stalled",
        "decode_timeout",
        "decoder_crash",
        "decoder_memory",
        "empty",
        "format_not_allowed",
        "not_an_image",
        "too_many_bytes",
        "too_many_frames",
        "too_many_pixels",
        "too_many_scans",
        "too_many_tiles",
        "truncated",
        "unsupported_pixels",
    }
)
"""Every `reason` an Unreadable of this package carries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds checked before the work they bound. `thumbnails` are the kinds to make."""

    max_image_bytes: int = 16 * MIB
    max_frame_pixels: int = 25_000_000
    max_total_pixels: int = 100_000_000
    max_frames: int = 16
    max_tiles: int = 32
    tile_above_aspect: float = 1.15
    formats: tuple[str, ...] = ("PNG", "JPEG", "WEBP")
    thumbnails: tuple[Thumbnail, ...] = ()

    @classmethod
    def of(cls, media: Media, *, thumbnails: tuple[Thumbnail, ...] = ()) -> Self:
        """Take the bounds from the settings."""
        return cls(
            max_image_bytes=media.max_image_bytes,
            max_frame_pixels=media.max_frame_pixels,
            max_total_pixels=media.max_total_pixels,
            max_frames=media.max_frames,
            max_tiles=media.max_tiles,
            tile_above_aspect=media.tile_above_aspect,
            formats=tuple(media.formats),
            thumbnails=thumbnails,
        )

    def of_ours(self) -> Self:
        """Return what holds for pictures of our own, warm-up and self-test: any format, and no bound below its default.

        They are cut into tiles by the default, so that their answers do not depend on settings.
        """
        usual = type(self)()
        bounds = (one.name for one in fields(self) if one.name.startswith("max_"))
        wide = {name: max(getattr(self, name), getattr(usual, name)) for name in bounds}
        return replace(self, formats=tuple(MIME), tile_above_aspect=usual.tile_above_aspect, **wide)

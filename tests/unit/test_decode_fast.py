"""The short ways of decoding and resizing give what the plain ones give: the same pixels, the same refusals."""

import io
import struct
import tracemalloc
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

from sluice.core.errors import Unreadable
from sluice.media.decoding import png, tiles
from sluice.media.decoding.decode import frames
from sluice.media.decoding.limits import Limits
from sluice.media.decoding.picture import picture
from sluice.moderation.values import Pixels
from tests.support.images import chunk, encode, scene

LIMITS = Limits()
SIZES = ((224, 224), (31, 17), (97, 131), (230, 224), (260, 512), (401, 300))
JPEGS = tuple(
    (mode, {"quality": quality, "subsampling": subsampling, "progressive": progressive})
    for mode in ("L", "RGB", "CMYK")
    for quality in (40, 88)
    for subsampling in ("4:4:4", "4:2:2", "4:2:0")
    for progressive in (False, True)
)
PNGS = tuple(
    (mode, {"compress_level": level}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA") for level in (0, 1, 6, 9)
)
WEBPS = tuple(
    (mode, {"quality": quality, "lossless": lossless})
    for mode in ("RGB", "RGBA")
    for quality in (40, 88)
    for lossless in (False, True)
)
FILES = (
    tuple(("JPEG", *how) for how in JPEGS)
    + tuple(("PNG", *how) for how in PNGS)
    + tuple(("WEBP", *how) for how in WEBPS)
)


def drawn(height: int, width: int, mode: str, seed: int = 0) -> Image.Image:
    """Draw a scene in a mode; where there is alpha, every second one is opaque."""
    image = Image.fromarray(scene(height, width, seed))
    if mode in {"LA", "RGBA"} and seed % 2:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image.convert(mode)


def looked_at(image: Image.Image) -> list[Pixels]:
    """Put a picture on white and on black, in one piece each."""
    if not image.has_transparency_data or image.convert("RGBA").getchannel("A").getextrema() == (255, 255):
        return [np.array(image.convert("RGB"))]
    colours, alpha = image.convert("RGBA").convert("RGB"), image.convert("RGBA").getchannel("A")
    return [
        np.array(Image.composite(colours, Image.new("RGB", image.size, page), alpha)) for page in ("white", "black")
    ]


def cut(view: Pixels) -> list[Pixels]:
    """Cut tiles from a resize of planes: the channels first in memory, as torch has them by default."""
    height, width = view.shape[:2]
    layout = tiles.plan(height, width, tile_above_aspect=LIMITS.tile_above_aspect, max_tiles=LIMITS.max_tiles)
    planes = torch.from_numpy(view).permute(2, 0, 1).contiguous()[None]
    if (height, width) != (layout.height, layout.width):
        size = (layout.height, layout.width)
        planes = torch.nn.functional.interpolate(planes, size=size, mode="bicubic", antialias=True)
    whole = planes[0].permute(1, 2, 0).numpy()
    return [whole[top : top + 224, left : left + 224] for top, left in layout.corners]


@pytest.mark.parametrize("size", SIZES)
def test_tiles_are_those_of_pillow_and_of_a_resize_of_planes(size: tuple[int, int]) -> None:
    """Over formats, modes, qualities, subsampling, progressive and not: 408 files in all."""
    for seed, (kind, mode, how) in enumerate(FILES):
        data = encode(drawn(*size, mode, seed), kind, **how)
        with Image.open(io.BytesIO(data)) as image:
            expected = [tile for view in looked_at(image) for tile in cut(view)]
        distinct = list({tile.tobytes(): tile for tile in expected}.values())
        assert np.array_equal(picture(data, LIMITS).tiles, np.stack(distinct)), (kind, mode, how)


def outcome(data: bytes) -> list[bytes] | str:
    """Return the views of the only frame, or why there are none."""
    try:
        (frame,) = frames(data, LIMITS)
    except Unreadable as error:
        return error.reason
    return [view.tobytes() for view in frame.views]


def plain_png(header: bytes, stream: bytes, piece: int) -> bytes:
    pieces = (stream[start : start + piece] for start in range(0, len(stream), piece))
    data = b"".join(chunk(b"IDAT", part) for part in pieces)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def flipped(data: bytes, rng: np.random.Generator, count: int = 1) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(0, len(data), count):
        changed[place] ^= 1 << rng.integers(0, 8)
    return bytes(changed)


def hostile_pngs(count: int) -> Iterator[bytes]:
    """Write small plain PNGs whose chunks are sound and whose header, stream or rows mostly are not."""
    rng = np.random.default_rng(1)
    for number in range(count):
        height, width = (int(edge) for edge in rng.integers(1, 24, 2))
        mode = ("RGB", "RGBA")[number % 2]
        rows = np.array(drawn(height, width, mode, number)).reshape(height, -1)
        filtered = np.concatenate([rng.integers(0, 5, (height, 1), np.uint8), rows], axis=1).tobytes()
        header, stream = (
            struct.pack(">IIBBBBB", width, height, 8, 2 + 4 * (number % 2), 0, 0, 0),
            zlib.compress(filtered),
        )
        match number % 6:
            case 1:
                stream = flipped(stream, rng, 2)
            case 2:
                stream = zlib.compress(flipped(filtered, rng))
            case 3:
                stream = stream[: rng.integers(1, len(stream))] + rng.bytes(int(rng.integers(0, 6)))
            case 4:
                header = flipped(header, rng)
            case 5:
                stream = zlib.compress(filtered[:-1] if number % 4 == 1 else filtered + rng.bytes(width))
        yield plain_png(header, stream, int(rng.choice([1, 7, 1000])))


def test_a_plain_png_is_decoded_and_refused_as_by_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bits of the stream, of the rows and of the header are flipped, ends cut off and prolonged."""
    files = list(hostile_pngs(600))
    ours = [outcome(data) for data in files]
    monkeypatch.setattr(png.Png, "pixels", lambda _: None)
    assert ours == [outcome(data) for data in files]
    assert {"corrupt", "truncated"} <= {found for found in ours if isinstance(found, str)}
    assert sum(isinstance(found, list) for found in ours) > 200


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_plain_png_does_not_need_pillow(mode: str) -> None:
    image = drawn(30, 40, mode, 1)
    decoded = png.parse(encode(image)).pixels()
    assert decoded is not None
    assert np.array_equal(decoded, np.asarray(image))


@pytest.mark.parametrize(
    "other",
    [
        encode(drawn(9, 9, "L")),
        encode(drawn(9, 9, "P")),
        encode(drawn(9, 9, "RGB"), transparency=(1, 2, 3)),
        encode(drawn(9, 9, "RGB"), save_all=True, append_images=[drawn(9, 9, "RGB", 1)]),
        encode(drawn(9, 9, "RGB")).replace(chunk(b"IEND", b""), chunk(b"IHDR", bytes(13)) + chunk(b"IEND", b"")),
    ],
    ids=["grey", "palette", "key", "animation", "headers"],
)
def test_anything_else_is_left_to_pillow(other: bytes) -> None:
    assert png.parse(other).pixels() is None


def test_no_more_is_inflated_than_the_header_announces() -> None:
    """A bomb: 30 MB behind a header of one pixel."""
    bomb = plain_png(struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0), zlib.compress(bytes(30_000_000)), 1 << 20)
    structure = png.parse(bomb)
    tracemalloc.start()
    try:
        assert structure.pixels() is None
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()

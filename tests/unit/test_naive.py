"""What `diffusers-exact` looks at, beside `checker(images=[Image.open(file)])`: the table of docs/policy.md."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from sluice.media.decoding.limits import Limits
from sluice.media.decoding.picture import picture
from sluice.moderation.values import Pixels
from tests.support.images import BLUE, RED, animation, chunk, encode, grey_rows, png, scene, with_chunk

PAGE = (Path(__file__).parents[2] / "docs/policy.md").read_text("utf-8")
PROCESSOR = CLIPImageProcessorPil(do_rescale=False, do_normalize=False)
LEVELS = 2
"""Pillow's resize and torch's differ by so many grey levels, and by two in few places."""


def looked_at(data: bytes) -> Pixels:
    """Return what the reference checker's rule is given: the centre crop of the first frame on white."""
    tile: Pixels = picture(data, Limits(formats=("PNG", "JPEG", "WEBP", "GIF"))).tiles[0]
    return tile


def cropped(image: Image.Image) -> Pixels:
    """Return what diffusers' feature extractor makes of an image."""
    found: Pixels = PROCESSOR(image, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    return found


def naive(data: bytes) -> Pixels:
    return cropped(Image.open(io.BytesIO(data)))


def apart(one: Pixels, other: Pixels) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def turned() -> tuple[bytes, Image.Image]:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(scene(230, 300))
    return encode(stored, "PNG", exif=exif.tobytes()), stored.transpose(Image.Transpose.ROTATE_270)


def profiled() -> tuple[bytes, Image.Image]:
    lab = ImageCms.createProfile("sRGB")
    wide = bytearray(ImageCms.ImageCmsProfile(lab).tobytes())
    for index in range(int.from_bytes(wide[128:132], "big")):
        at = 132 + 12 * index
        name = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}.get(bytes(wide[at : at + 4]))
        wide[at : at + 4] = name or wide[at : at + 4]
    return encode(Image.new("RGB", (230, 230), RED), icc_profile=bytes(wide)), Image.new("RGB", (230, 230), BLUE)


def transparent() -> bytes:
    alpha = np.tile(np.arange(230, dtype=np.uint8), (230, 1))
    return encode(Image.fromarray(np.dstack([scene(230, 230), alpha])))


def deep() -> tuple[bytes, Image.Image]:
    samples = np.linspace(0, 65535, 230 * 230).astype(int).reshape(230, 230)
    right = Image.fromarray(np.round(samples / 257).astype(np.uint8))
    return png((230, 230), grey_rows(samples, 16), bits=16), right.convert("RGB")


DIFFERENT: dict[str, Callable[[], tuple[bytes, Image.Image]]] = {
    "an Exif orientation": turned,
    "a colour profile": profiled,
    "16 bits a channel, in grey": deep,
}


def plain(fmt: str) -> bytes:
    return encode(scene(300, 450), fmt, **({"lossless": True} if fmt == "WEBP" else {}))


ALIKE: dict[str, Callable[[], bytes]] = {
    **{fmt: partial(plain, fmt) for fmt in ("PNG", "JPEG", "WEBP")},
    "a long picture": lambda: encode(scene(230, 900)),
    "a tall picture": lambda: encode(scene(900, 230)),
    "several frames": lambda: animation(
        [Image.fromarray(scene(230, 230, seed)) for seed in (1, 2)], "WEBP", lossless=True
    ),
    "transparency": transparent,
    "a gAMA chunk": lambda: with_chunk(encode(scene(230, 230)), chunk(b"gAMA", (100_000).to_bytes(4, "big"))),
    "an opaque alpha channel": lambda: encode(Image.fromarray(scene(230, 230)).convert("RGBA")),
    "grey": lambda: encode(Image.fromarray(scene(230, 230)).convert("L")),
    "16 bits a channel, in colour": lambda: png(
        (230, 230),
        b"".join(b"\0" + row.astype(">u2").tobytes() for row in scene(230, 230).astype(int) * 257),
        bits=16,
        colour_type=2,
    ),
}


@pytest.mark.parametrize("kind", DIFFERENT)
def test_where_the_table_says_so_the_naive_call_sees_another_picture(kind: str) -> None:
    data, meant = DIFFERENT[kind]()
    assert apart(looked_at(data), cropped(meant)) <= LEVELS
    assert apart(naive(data), cropped(meant)) > 50


@pytest.mark.parametrize("kind", ALIKE)
def test_elsewhere_both_see_the_same(kind: str) -> None:
    data = ALIKE[kind]()
    assert apart(looked_at(data), naive(data)) <= LEVELS


def test_the_table_names_what_differs() -> None:
    table = PAGE.split("| The file has |")[1].split("\n\n")[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert rows == [*DIFFERENT, "values that are not finite"]

"""Files made to hurt: each is turned away with its reason, before it costs anything."""

import random
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from sluice.core.errors import Unreadable
from sluice.media.decoding.decode import frames
from sluice.media.decoding.jpeg import MAX_SCANS
from sluice.media.decoding.limits import REASONS, Limits
from sluice.media.decoding.picture import picture
from tests.support.images import BLUE, GREEN, RED, animation, chunk, encode, grey_rows, png, scene, solid, with_chunk

ALL = Limits(formats=("PNG", "JPEG", "WEBP", "GIF", "AVIF"))


def reason(data: bytes, limits: Limits = ALL) -> str:
    with pytest.raises(Unreadable) as refusal:
        for _ in frames(data, limits):
            pass
    assert refusal.value.reason in REASONS
    return refusal.value.reason


def test_no_bytes_are_empty() -> None:
    assert reason(b"") == "empty"


@pytest.mark.parametrize("data", [b"hello", b"\0" * 100, b"\xff\xd9" * 20, b"<html>", b"RIFF\0\0\0\0WAVE"])
def test_other_bytes_are_not_an_image(data: bytes) -> None:
    assert reason(data) == "not_an_image"


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\xef\xbb\xbf<?xml version='1.0'?><svg/>",
        b"%!PS-Adobe-3.0 EPSF-3.0",
        b"%PDF-1.7",
        b"8BPS\0\1",
        b"SIMPLE  =                    T",
        b"\xd7\xcd\xc6\x9a",
        b"II*\0\x08\0\0\0",
        b"\0\0\0\x18ftypheic",
        b"\0\0\1\0\1\0",
        encode(solid(), "BMP"),
        encode(solid(), "TIFF"),
        encode(solid(), "GIF"),
        encode(solid(), "AVIF"),
        encode(solid(), "JPEG2000"),
    ],
)
def test_formats_that_were_not_asked_for_are_never_opened(data: bytes) -> None:
    assert reason(data, Limits()) == "format_not_allowed"


@pytest.mark.parametrize("fmt", ["GIF", "AVIF"])
def test_gif_and_avif_are_read_when_asked_for(fmt: str) -> None:
    assert picture(encode(solid(), fmt), ALL).frames == 1


def test_too_many_bytes_are_not_looked_at() -> None:
    assert reason(b"\0" * 101, Limits(max_image_bytes=100)) == "too_many_bytes"


@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "WEBP", "GIF", "AVIF"])
def test_a_frame_over_the_pixel_limit_is_refused(fmt: str) -> None:
    data = encode(solid(size=(110, 100)), fmt)
    assert reason(data, Limits(formats=(fmt,), max_frame_pixels=10_999)) == "too_many_pixels"
    assert list(frames(data, Limits(formats=(fmt,), max_frame_pixels=11_000)))


@pytest.mark.parametrize("side", [6_000, 12_000, 60_000, 1 << 30])
def test_a_bomb_is_refused_by_its_header(side: int) -> None:
    """36 MP, 144 MP, 3.6 GP and more, in under 100 bytes of file."""
    assert reason(png((side, side), b"\0")) in {"too_many_pixels", "corrupt"}


@pytest.mark.parametrize("fmt", ["WEBP", "GIF", "AVIF", "PNG"])
def test_pixels_are_summed_over_frames(fmt: str) -> None:
    data = animation([solid(colour, (100, 100)) for colour in (RED, GREEN, BLUE)], fmt)
    with pytest.raises(Unreadable) as refusal:
        next(frames(data, Limits(formats=(fmt,), max_total_pixels=29_999)))
    assert refusal.value.reason == "too_many_pixels", "before the first frame is decoded"
    assert len(list(frames(data, Limits(formats=(fmt,), max_total_pixels=30_000)))) == 3


@pytest.mark.parametrize("fmt", ["WEBP", "GIF", "AVIF", "PNG"])
def test_more_frames_than_allowed_make_the_whole_image_unreadable(fmt: str) -> None:
    data = animation([solid((9 * i, 0, 255 - 9 * i)) for i in range(5)], fmt)
    assert reason(data, Limits(formats=(fmt,), max_frames=4)) == "too_many_frames"
    assert len(list(frames(data, Limits(formats=(fmt,), max_frames=5)))) == 5


@pytest.mark.parametrize("fmt", ["WEBP", "GIF", "AVIF", "PNG"])
def test_every_frame_is_seen(fmt: str) -> None:
    data = animation([solid(colour, (64, 64)) for colour in (RED, GREEN, BLUE)], fmt)
    seen = [frame.views[0][5, 5].astype(int) for frame in frames(data, ALL)]
    for frame, colour in zip(seen, (RED, GREEN, BLUE), strict=True):
        assert np.abs(frame - np.array(colour)).max() <= 2 or fmt == "GIF"
        assert int(np.argmax(frame)) == int(np.argmax(colour))


def test_the_second_picture_of_a_multi_picture_jpeg_is_seen() -> None:
    data = encode(solid(RED), "MPO", save_all=True, append_images=[solid(BLUE)])
    seen = [frame.views[0][5, 5] for frame in frames(data, Limits())]
    assert [int(np.argmax(pixel)) for pixel in seen] == [0, 2]


@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_cut_off_file_is_refused(fmt: str, share: float) -> None:
    data = encode(scene(64, 64), fmt)
    assert reason(data[: int(len(data) * share)]) in {"truncated", "corrupt"}


@pytest.mark.parametrize("fmt", ["PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_cut_off_animation_is_refused(fmt: str, share: float) -> None:
    data = animation([Image.fromarray(scene(64, 64, seed)) for seed in range(4)], fmt)
    assert reason(data[: int(len(data) * share)]) in {"truncated", "corrupt"}


def test_a_wrong_checksum_in_the_data_is_refused() -> None:
    data = encode(scene(64, 64))
    at = data.index(b"IDAT") + 60
    assert reason(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) == "corrupt"


def test_a_wrong_checksum_that_still_inflates_is_refused() -> None:
    """Pillow loads this one without a word unless it is verified first."""
    data = bytearray(encode(scene(64, 64)))
    start = data.index(b"IDAT")
    length = int.from_bytes(data[start - 4 : start], "big")
    data[start + 4 + length] ^= 1
    assert reason(bytes(data)) == "corrupt"


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_png_with_fewer_rows_than_it_declares_is_refused(kept: float, *, interlaced: bool) -> None:
    """Its checksums are right and its stream ends cleanly; Pillow fills the rest with black."""
    passes = ((8, 8), (8, 8), (8, 16), (16, 16), (16, 32), (32, 32), (32, 64)) if interlaced else ((64, 64),)
    rows = b"".join((b"\0" + bytes([200] * width)) * height for height, width in passes)
    assert list(frames(png((64, 64), rows, interlaced=interlaced), ALL))
    assert reason(png((64, 64), rows[: int(len(rows) * kept)], interlaced=interlaced)) == "truncated"


def test_a_black_picture_is_not_mistaken_for_missing_rows() -> None:
    assert list(frames(encode(solid((0, 0, 0), (64, 64))), ALL))
    assert list(frames(png((3, 1), grey_rows([[0, 0, 0]])), ALL))


def test_a_short_frame_of_an_animated_png_is_refused() -> None:
    data = animation([solid(colour, (64, 64)) for colour in (RED, GREEN)], "PNG")
    at = data.index(b"fdAT")
    length = int.from_bytes(data[at - 4 : at], "big")
    sequence = data[at + 4 : at + 8]
    short = chunk(b"fdAT", sequence + zlib.compress(b"\0" + bytes(64 * 3)))
    assert reason(data[: at - 4] + short + data[at + 8 + length :]) in {"truncated", "corrupt"}


@pytest.mark.parametrize("announced", [0, 1, 2, 4])
def test_an_animated_png_with_another_number_of_frames_than_it_announces_is_refused(announced: int) -> None:
    """Pillow stops at the number, other readers play what is there."""
    data = animation([solid(colour, (64, 64)) for colour in (RED, GREEN, BLUE)], "PNG")
    at = data.index(b"acTL") - 4
    other = chunk(b"acTL", announced.to_bytes(4, "big") + bytes(4)) if announced else b""
    assert reason(data[:at] + other + data[at + 20 :]) == "corrupt"


@pytest.mark.parametrize("length", range(8, 58))
def test_a_png_that_ends_within_its_first_chunks_is_refused(length: int) -> None:
    assert reason(encode(scene(64, 64))[:length]) == "truncated"


def test_many_tiny_chunks_are_refused() -> None:
    assert reason(with_chunk(encode(solid()), chunk(b"IDAT", b"") * 20_000)) == "corrupt"


def test_image_data_in_two_places_are_refused() -> None:
    """A browser shows what the first place holds, and nothing of the rest."""
    data = encode(scene(40, 60))
    start, end = data.index(b"IDAT") + 4, len(data) - 16
    parts = [
        chunk(b"IDAT", data[start : start + 900]),
        chunk(b"tEXt", b"k\0v"),
        chunk(b"IDAT", data[start + 900 : end]),
    ]
    assert reason(data[: start - 8] + b"".join(parts) + data[-12:]) == "corrupt"


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_what_is_packed_in_metadata_is_never_inflated(kind: bytes) -> None:
    """A bomb: 60 MB of text, or of what claims to be a profile."""
    head = {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0", b"iCCP": b"k\0\0"}[kind]
    data = with_chunk(encode(solid()), chunk(kind, head + zlib.compress(bytes(60_000_000))))
    tracemalloc.start()
    try:
        assert picture(data, ALL).frames == 1
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_a_file_after_the_image_changes_nothing() -> None:
    data = encode(solid())
    assert picture(data + b"PK\3\4 a zip follows", ALL).tiles.shape[0] == 1
    assert picture(data + b"x", ALL).sha256 != picture(data, ALL).sha256


def test_half_images_are_refused_even_if_someone_allows_them_globally(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert reason(encode(solid())) == "corrupt"


def test_a_stripe_of_one_pixel_is_refused_for_its_tiles() -> None:
    with pytest.raises(Unreadable) as refusal:
        picture(encode(solid(size=(5_000, 1))), ALL)
    assert refusal.value.reason == "too_many_tiles"


def test_content_at_the_end_of_a_long_picture_is_in_some_tile() -> None:
    image = solid((255, 255, 255), (1_000, 100))
    image.paste(RED, (980, 0, 1_000, 100))
    tiles = picture(encode(image), ALL).tiles
    assert tiles[0].min() == 255
    assert (tiles[..., 1] < 50).any()


def test_process_wide_switches_are_put_back() -> None:
    before = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    reason(png((60_000, 60_000), b"\0"))
    assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before


@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "WEBP", "GIF"])
def test_flipped_bytes_give_a_picture_or_a_reason(fmt: str) -> None:
    """Nothing but a Picture or an Unreadable with a known reason leaves, whatever the bytes."""
    rng = random.Random(fmt)
    clean = encode(scene(24, 24), fmt)
    for _ in range(150):
        data = bytearray(clean)
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            picture(bytes(data), ALL)
        except Unreadable as refusal:
            assert refusal.reason in REASONS  # noqa: PT017 - either outcome is right


def scans(count: int, *, tail: bytes = b"") -> bytes:
    """Repeat the last scan of a progressive JPEG; each costs a pass over the whole picture."""
    data = encode(scene(64, 64), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    usual = data.count(b"\xff\xda")
    return data[:last] + data[last:-2] * (count - usual + 1) + b"\xff\xd9" + tail


def test_a_jpeg_of_too_many_scans_is_refused_whatever_the_machine_does() -> None:
    assert list(frames(scans(MAX_SCANS, tail=scans(MAX_SCANS)), Limits()))
    assert reason(scans(MAX_SCANS + 1), Limits()) == "too_many_scans"
    assert reason(scans(MAX_SCANS + 5000), Limits()) == "too_many_scans"


def test_the_larger_a_jpeg_the_fewer_scans_it_may_have() -> None:
    """Time goes with both: four times all the pixels that are allowed."""
    assert list(frames(scans(40), Limits(max_total_pixels=64 * 64 * 10)))
    assert reason(scans(41), Limits(max_total_pixels=64 * 64 * 10)) == "too_many_scans"


@pytest.mark.parametrize("length", [1, 2**31 - 1])
def test_a_png_whose_metadata_never_ends_is_cut_off(length: int) -> None:
    """The text says a wrong length, and nothing behind it is a chunk."""
    head = encode(solid())[:33]
    with pytest.raises(Unreadable) as refusal:
        picture(head + length.to_bytes(4, "big") + b"tEXt" + b"x" * 100, Limits())
    assert refusal.value.reason == "truncated"

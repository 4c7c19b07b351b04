"""What a file stores and what a screen shows: colours, transparency, orientation."""

import hashlib
import io
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from sluice.core.errors import Unreadable
from sluice.media.decoding.decode import frames
from sluice.media.decoding.limits import Limits
from sluice.media.decoding.picture import picture
from sluice.moderation.values import Pixels, Thumbnail
from tests.support.images import BLUE, RED, animation, chunk, encode, grey_rows, png, scene, solid, with_chunk

ALL = Limits(formats=("PNG", "JPEG", "WEBP", "GIF", "AVIF"))
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def views(data: bytes, limits: Limits = ALL) -> list[tuple[Pixels, ...]]:
    return [frame.views for frame in frames(data, limits)]


def only(data: bytes) -> Pixels:
    """Decode the one view of a one-frame opaque image."""
    ((view,),) = views(data)
    assert view.dtype == np.uint8
    assert view.shape[2] == 3
    return view


def colour_at(view: Pixels, row: int = 0, column: int = 0) -> tuple[int, ...]:
    return tuple(int(value) for value in view[row, column])


def reason(data: bytes, limits: Limits = ALL) -> str:
    with pytest.raises(Unreadable) as refusal:
        views(data, limits)
    return refusal.value.reason


@pytest.mark.parametrize("fmt", ["PNG", "WEBP"])
def test_lossless_pixels_come_out_as_they_went_in(fmt: str) -> None:
    source = scene(40, 60)
    assert np.array_equal(only(encode(source, fmt, lossless=True)), source)


def test_jpeg_decodes_as_pillow_decodes_it() -> None:
    data = encode(scene(40, 60), "JPEG")
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(only(data), np.asarray(image))


def test_sixteen_bit_grey_is_scaled_and_not_saturated() -> None:
    samples = np.array([[0, 257, 0x8080, 0xFFFF, 128, 129]] * 3)
    view = only(png((6, 3), grey_rows(samples, 16), bits=16))
    assert view[0, :, 0].tolist() == [0, 1, 128, 255, 0, 1]


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 77, (77, 77, 77)),
        ("P", 5, None),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("LA", (77, 255), (77, 77, 77)),
        ("RGBA", (1, 2, 3, 255), (1, 2, 3)),
    ],
)
def test_every_pixel_mode_becomes_rgb(mode: str, colour: int, expected: tuple[int, ...] | None) -> None:
    image = Image.new(mode, (5, 4), colour)
    if expected is None:
        image.putpalette([value for index in range(256) for value in (index, 255 - index, 9)])
        expected = (5, 250, 9)
    assert colour_at(only(encode(image))) == expected


def test_transparency_is_judged_on_white_and_on_black() -> None:
    image = solid((255, 0, 0, 0), mode="RGBA")
    ((white, black),) = views(encode(image))
    assert colour_at(white) == (255, 255, 255)
    assert colour_at(black) == (0, 0, 0)


def test_half_transparent_pixels_are_blended() -> None:
    ((white, black),) = views(encode(solid((255, 0, 0, 128), mode="RGBA")))
    assert colour_at(white) == (255, 127, 127)
    assert colour_at(black) == (128, 0, 0)


def test_white_writing_on_nothing_shows_only_on_black() -> None:
    """The content hides in the alpha channel; one of the two views has it."""
    pixels = np.full((20, 20, 4), 255, dtype=np.uint8)
    pixels[..., 3] = np.eye(20, dtype=np.uint8) * 255
    ((white, black),) = views(encode(Image.fromarray(pixels)))
    assert np.ptp(white) == 0
    assert np.ptp(black) == 255


@pytest.mark.parametrize("height", [511, 512, 513, 1300])
def test_large_pictures_are_composed_without_a_seam(height: int) -> None:
    alpha = Image.linear_gradient("L").resize((7, height))
    image = Image.fromarray(scene(height, 7))
    whole = Image.new("RGB", image.size, "white")
    whole.paste(image, mask=alpha)
    image.putalpha(alpha)
    ((white, _),) = views(encode(image))
    assert np.array_equal(white, np.asarray(whole))


@pytest.mark.parametrize("fmt", ["PNG", "WEBP"])
def test_an_opaque_alpha_channel_gives_one_view(fmt: str) -> None:
    assert len(views(encode(solid((1, 2, 3, 255), mode="RGBA"), fmt, lossless=True))[0]) == 1


def test_a_transparent_colour_of_rgb_is_honoured() -> None:
    data = encode(solid(RED), transparency=RED)
    ((white, black),) = views(data)
    assert (colour_at(white), colour_at(black)) == ((255,) * 3, (0,) * 3)


@pytest.mark.parametrize(("bits", "key", "row"), [(8, 98, b"\0abcd"), (2, 1, b"\0\x1b"), (16, 98, b"\0\0a\0b\0c\0d")])
def test_a_transparent_grey_is_honoured_at_every_depth(bits: int, key: int, row: bytes) -> None:
    """Pillow scales 2-bit samples to 8 bits and not the key, and ignores the key of 16-bit ones."""
    data = png((4, 4), row * 4, bits=bits, extra=chunk(b"tRNS", key.to_bytes(2, "big")))
    ((white, black),) = views(data)
    differs = (white != black).any(2)[0].tolist()
    assert differs == [False, True, False, False]


def test_a_transparent_palette_entry_is_honoured() -> None:
    image = solid(BLUE).convert("P")
    ((white, black),) = views(encode(image, transparency=image.getpixel((0, 0))))
    assert colour_at(white) != colour_at(black)


def test_a_key_beyond_the_bit_depth_is_refused() -> None:
    """Readers must mask it (PNG 11.3.2.1) and Pillow does not: the two see different holes."""
    data = png((4, 4), b"\0abcd" * 4, extra=chunk(b"tRNS", b"\x01a"))
    assert reason(data) == "unsupported_pixels"


def test_a_key_among_sixteen_bit_colours_is_refused() -> None:
    data = png((4, 4), (b"\0" + bytes(24)) * 4, bits=16, colour_type=2, extra=chunk(b"tRNS", bytes(6)))
    assert reason(data) == "unsupported_pixels"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_applied(orientation: int, fmt: str) -> None:
    """The picture that is stored turned by the inverse comes out as the upright one."""
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    upright = Image.new("RGB", (48, 32))
    upright.paste(RED, (0, 0, 24, 16))
    stored = upright.transpose(Image.Transpose(inverse[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    ((view, *more),) = views(encode(stored, fmt, exif=exif.tobytes()))
    assert len(more) == (fmt == "WEBP" and orientation > 1)
    assert view.shape == (32, 48, 3)
    assert view[4, 4, 0] > 200
    assert max(view[4, 40, 0], view[28, 4, 0], view[28, 40, 0]) < 60


def test_a_turned_webp_is_judged_as_stored_as_well() -> None:
    """Chromium shows it so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    ((upright, stored),) = views(encode(scene(32, 48), "WEBP", lossless=True, exif=exif.tobytes()))
    assert np.array_equal(stored, scene(32, 48))
    assert np.array_equal(upright, np.rot90(stored, -1))


def test_orientation_in_xmp_is_ignored_as_browsers_ignore_it() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    assert only(encode(solid(size=(48, 32)), pnginfo=text)).shape == (32, 48, 3)


def test_an_srgb_profile_changes_nothing_to_speak_of() -> None:
    source = scene(30, 30)
    difference = only(encode(source, icc_profile=SRGB)).astype(int) - source
    assert np.abs(difference).max() <= 1


def test_a_profile_is_applied() -> None:
    """A profile whose red and blue are swapped turns red into blue."""
    swapped = bytearray(SRGB)
    table: dict[bytes, int] = {}
    count = int.from_bytes(swapped[128:132], "big")
    for index in range(count):
        at = 132 + 12 * index
        table[bytes(swapped[at : at + 4])] = at
    red, blue = table[b"rXYZ"], table[b"bXYZ"]
    swapped[red : red + 4], swapped[blue : blue + 4] = b"bXYZ", b"rXYZ"
    assert colour_at(only(encode(solid(RED), icc_profile=bytes(swapped)))) == (0, 0, 255)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("space", [b"GRAY", b"RGB ", b"CMYK", b"Lab "])
def test_a_profile_of_another_colour_space_is_not_there(mode: str, space: bytes) -> None:
    """An RGB profile may be that of a grey picture; CMYK is of Adobe's polarity, which the marker says."""
    image = Image.fromarray(scene(20, 20)).convert(mode)
    data = encode(image, "JPEG", icc_profile=SRGB[:16] + space + SRGB[20:])
    assert np.abs(only(data).astype(int) - only(encode(image, "JPEG"))).max() <= 1


def test_a_profile_that_is_too_large_to_look_at_is_refused() -> None:
    """Browsers apply it; its length is in its own head, and no more than that is inflated."""
    large = (1 << 30).to_bytes(4, "big") + SRGB[4:]
    assert reason(with_chunk(encode(solid()), chunk(b"iCCP", b"k\0\0" + zlib.compress(large)))) == "bad_colour_profile"


def test_a_broken_profile_leaves_gamma_and_chromaticities_their_say() -> None:
    broken = chunk(b"iCCP", b"k\0\0" + zlib.compress(b"garbage"))
    assert len(views(with_chunk(encode(solid()), broken + gamma(100_000)))[0]) == 2
    swapped = SRGB_CHROMATICITIES[:2] + SRGB_CHROMATICITIES[:1:-1]
    assert reason(with_chunk(encode(solid()), broken + chromaticities(*swapped))) == "bad_colour_profile"


def test_a_grey_image_with_an_rgb_profile_is_read() -> None:
    assert colour_at(only(encode(Image.new("L", (20, 20), 100), icc_profile=SRGB)))[0] == pytest.approx(100, abs=1)


def test_inverted_adobe_cmyk_shows_the_colours_that_were_meant() -> None:
    view = only(encode(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG"))
    assert view[0, 0, 0] > 240
    assert view[0, 0, 1:].max() < 20


def test_cmyk_of_unknown_polarity_is_refused() -> None:
    data = encode(Image.new("CMYK", (32, 32)), "JPEG")
    at = data.index(b"\xff\xee")
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    assert reason(data[:at] + data[at + 2 + length :]) == "bad_colour_profile"


def gamma(value: int) -> bytes:
    return chunk(b"gAMA", value.to_bytes(4, "big"))


def test_a_far_off_gamma_is_judged_both_ways() -> None:
    """A browser shows 128 as 128 ** (1 / 2.2 / gamma), a reader without gAMA as 128."""
    ((plain, applied),) = views(with_chunk(encode(solid((128, 128, 128))), gamma(100_000)))
    assert colour_at(plain)[0] == 128
    assert colour_at(applied)[0] == round(255 * (128 / 255) ** (1 / 2.2))


@pytest.mark.parametrize("extra", [gamma(45_455), gamma(0), gamma(100_000) + chunk(b"sRGB", b"\0")])
def test_the_usual_gamma_no_gamma_and_an_overruled_one_give_one_view(extra: bytes) -> None:
    assert len(views(with_chunk(encode(solid()), extra))[0]) == 1


@pytest.mark.parametrize("code", [(9, 16, 0, 1), (1, 1, 0, 1), (1, 6, 0, 1), (1, 13, 0, 0)])
def test_a_foreign_colour_space_by_cicp_is_refused(code: tuple[int, ...]) -> None:
    assert reason(with_chunk(encode(solid()), chunk(b"cICP", bytes(code)))) == "bad_colour_profile"


def test_srgb_by_cicp_is_read() -> None:
    assert views(with_chunk(encode(solid()), chunk(b"cICP", bytes([1, 13, 0, 1]))))


SRGB_CHROMATICITIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


def chromaticities(*values: int) -> bytes:
    return chunk(b"cHRM", b"".join(value.to_bytes(4, "big") for value in values))


def test_foreign_chromaticities_are_refused() -> None:
    """Browsers convert by cHRM and Pillow does not: red and blue may be exchanged in the difference."""
    swapped = SRGB_CHROMATICITIES[:2] + SRGB_CHROMATICITIES[:1:-1]
    assert reason(with_chunk(encode(solid()), chromaticities(*swapped))) == "bad_colour_profile"


def test_the_chromaticities_of_srgb_are_read_and_others_when_overruled() -> None:
    assert views(with_chunk(encode(solid()), chromaticities(*SRGB_CHROMATICITIES)))
    assert views(with_chunk(encode(solid()), chunk(b"sRGB", b"\0") + chromaticities(*SRGB_CHROMATICITIES[::-1])))


@pytest.mark.parametrize(
    ("primaries", "transfer", "read"), [(1, 13, True), (2, 2, True), (9, 16, False), (1, 8, False)]
)
def test_an_avif_of_foreign_colours_is_refused(primaries: int, transfer: int, *, read: bool) -> None:
    data = encode(solid(), "AVIF")
    at = data.index(b"colrnclx") + 8
    coded = data[:at] + bytes([0, primaries, 0, transfer]) + data[at + 4 :]
    if read:
        assert views(coded)
    else:
        assert reason(coded) == "bad_colour_profile"


def test_an_avif_that_does_not_say_its_colours_is_refused() -> None:
    assert reason(encode(solid(), "AVIF").replace(b"colrnclx", b"freenclx")) == "bad_colour_profile"


def test_a_picture_says_what_was_decoded() -> None:
    data = encode(scene(300, 600), "JPEG")
    seen = picture(data, Limits(thumbnails=(Thumbnail("fit", 100),)))
    assert (seen.mime, seen.width, seen.height, seen.frames, seen.coverage) == ("image/jpeg", 600, 300, 1, 1.0)
    assert seen.sha256 == hashlib.sha256(data).hexdigest()
    assert seen.tiles.shape[1:] == (224, 224, 3)
    assert {wanted: small.shape for wanted, small in seen.thumbnails.items()} == {("fit", 100): (50, 100, 3)}


def test_equal_tiles_are_kept_once() -> None:
    same = [solid(RED) for _ in range(2)] + [solid(BLUE)]
    seen = picture(animation(same, "WEBP", lossless=True, minimize_size=False), ALL)
    assert seen.tiles.shape[0] == 2

"""What is not the picture never decides about the picture: the same tiles with any metadata as without."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.core.errors import Unreadable
from sluice.media.decoding.limits import Limits
from sluice.media.decoding.picture import picture
from tests.support import metadata
from tests.support.images import chunk, encode

LIMITS = Limits(formats=("PNG", "JPEG", "WEBP", "GIF", "AVIF"))
CASES = {name: (base, data) for name, base, data in metadata.catalogue()}
BODIES = st.binary(max_size=80) | st.sampled_from([*metadata.exifs().values(), *metadata.UNUSABLE.values()])


def same(base: bytes, data: bytes) -> None:
    plain, dressed = picture(base, LIMITS), picture(data, LIMITS)
    assert np.array_equal(dressed.tiles, plain.tiles)
    assert (dressed.frames, dressed.width, dressed.height) == (plain.frames, plain.width, plain.height)
    assert (dressed.technical, dressed.coverage) == (plain.technical, plain.coverage)
    assert dressed.sha256 != plain.sha256, "it is of the exact bytes"


@pytest.mark.parametrize("name", CASES)
def test_metadata_changes_nothing(name: str) -> None:
    same(*CASES[name])


@pytest.mark.parametrize("name", metadata.turning())
@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP"])
def test_an_orientation_that_not_every_reader_follows_is_judged_both_ways(fmt: str, name: str) -> None:
    data, base = metadata.turned(metadata.turning()[name])[fmt], metadata.plain(fmt)
    assert len(picture(data, LIMITS).tiles) == 2 * len(picture(base, LIMITS).tiles)


_LETTERS = st.sampled_from(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_MEANT = {b"tRNS", b"acTL", b"fcTL", b"fdAT", b"eXIf", b"gAMA", b"cHRM", b"cICP"}
_OPTIONAL = st.tuples(_LETTERS.filter(lambda letter: letter > ord("Z")), _LETTERS, _LETTERS, _LETTERS).map(bytes)
_KINDS = st.sampled_from(
    [b"tEXt", b"zTXt", b"iTXt", b"pHYs", b"tIME", b"sBIT", b"bKGD", b"iCCP", b"sRGB"]
) | _OPTIONAL.filter(lambda kind: kind not in _MEANT)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(_KINDS, BODIES, st.booleans(), st.booleans()), max_size=12))
def test_no_soup_of_chunks_changes_a_png(soup: list[tuple[bytes, bytes, bool, bool]]) -> None:
    base = metadata.plain("PNG")
    parts: dict[bool, bytes] = {False: b"", True: b""}
    for kind, body, sound, late in soup:
        parts[late] += (chunk if sound else metadata.bad_chunk)(kind, body)
    same(base, base[:33] + parts[False] + base[33:-12] + parts[True] + base[-12:] + b"tail")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*range(0xE0, 0xEE), 0xEF, 0xFE]), BODIES), max_size=12))
def test_no_soup_of_segments_changes_a_jpeg(soup: list[tuple[int, bytes]]) -> None:
    base = metadata.plain("JPEG")
    same(base, metadata.in_jpeg(base, b"".join(metadata.segment(*one) for one in soup)) + b"tail")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([b"ICCP", b"EXIF", b"XMP ", b"ABCD"]), BODIES, st.booleans()), max_size=8),
    st.sampled_from([0, 0x04, 0x08, 0x20, 0x2C]),
)
def test_no_soup_of_chunks_changes_a_webp(soup: list[tuple[bytes, bytes, bool]], flags: int) -> None:
    base = metadata.plain("WEBP")
    before = b"".join(metadata.riff(kind, body) for kind, body, late in soup if not late)
    after = b"".join(metadata.riff(kind, body) for kind, body, late in soup if late)
    same(base, metadata.in_webp(base, before, after, flags=flags))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 255).filter(lambda label: label != 0xF9), BODIES), max_size=8))
def test_no_soup_of_extensions_changes_a_gif(soup: list[tuple[int, bytes]]) -> None:
    base = metadata.plain("GIF")
    extensions = b"".join(bytes([0x21, label]) + metadata.blocks(body) for label, body in soup)
    same(base, metadata.in_gif(base, extensions) + b"tail")


@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("share", [0.4, 0.8])
def test_half_a_picture_stays_refused_with_metadata_around_it(fmt: str, share: float) -> None:
    data = encode(metadata.PICTURE, fmt, exif=b"Exif\0\0" + metadata.tiff(1), icc_profile=b"garbage")
    with pytest.raises(Unreadable) as refusal:
        picture(data[: int(len(data) * share)], LIMITS)
    assert refusal.value.reason in {"truncated", "corrupt"}

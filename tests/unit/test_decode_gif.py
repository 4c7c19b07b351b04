"""GIF frames are composed as browsers compose them."""

import struct

import numpy as np
import pytest
from PIL import Image

from sluice.core.errors import Unreadable
from sluice.media.decoding.decode import frames
from sluice.media.decoding.limits import Limits
from tests.support.images import encode, solid

GIF = Limits(formats=("GIF",))
TABLE = bytes([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])  # red, green, blue, nearly black
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def control(disposal: int = 0, transparent: int | None = None) -> bytes:
    flags = disposal << 2 | (transparent is not None)
    return b"\x21\xf9\x04" + struct.pack("<BHB", flags, 10, transparent or 0) + b"\0"


def part(indices: list[list[int]], at: tuple[int, int] = (0, 0), lead: bytes = b"") -> bytes:
    """Encode a frame of colour indices; Pillow writes the LZW data."""
    image = Image.fromarray(np.array(indices, dtype=np.uint8), "P")
    image.putpalette(bytes(range(256)) * 3)
    whole = encode(image, "GIF", optimize=False)
    start = whole.index(b",\0\0\0\0")
    data = whole[start + 10 : -1]
    if whole[start + 9] & 0x80:
        data = data[3 * 2 << (whole[start + 9] & 7) :]
    return lead + b"," + struct.pack("<HHHHB", *at, len(indices[0]), len(indices), 0) + data


def canvas(*parts: bytes, size: tuple[int, int] = (3, 2), end: bytes = b";") -> bytes:
    return struct.pack("<6sHHBBB", b"GIF89a", *size, 0x81, 3, 0) + TABLE + b"".join(parts) + end


def shown(data: bytes) -> list[list[tuple[int, ...]]]:
    """Return the first row of each frame on white."""
    return [[tuple(map(int, pixel)) for pixel in frame.views[0][0]] for frame in frames(data, GIF)]


def reason(data: bytes, limits: Limits = GIF) -> str:
    with pytest.raises(Unreadable) as refusal:
        list(frames(data, limits))
    return refusal.value.reason


def test_what_no_frame_covers_is_transparent_and_not_the_background_colour() -> None:
    data = canvas(part([[0]], (1, 0)))
    assert shown(data) == [[WHITE, RED, WHITE]]
    ((white, black),) = (frame.views for frame in frames(data, GIF))
    assert white[1, 0].tolist() == [255] * 3
    assert black[1, 0].tolist() == [0] * 3


def test_a_kept_frame_stays_under_the_next() -> None:
    assert shown(canvas(part([[0, 0, 0]] * 2), part([[1]], (2, 0)))) == [[RED, RED, RED], [RED, RED, GREEN]]


def test_a_cleared_frame_leaves_a_hole_of_its_size() -> None:
    data = canvas(part([[0, 0, 0]] * 2), part([[1]], (1, 0), control(2)), part([[2]], (2, 0)))
    assert shown(data)[2] == [RED, WHITE, BLUE]


def test_a_restored_frame_is_undone() -> None:
    data = canvas(part([[0, 0, 0]] * 2), part([[1]], (1, 0), control(3)), part([[2]], (2, 0)))
    assert shown(data)[1:] == [[RED, GREEN, RED], [RED, RED, BLUE]]


def test_a_transparent_colour_shows_what_is_below() -> None:
    data = canvas(part([[0, 0, 0]] * 2), part([[1, 2, 1]], lead=control(transparent=2)))
    assert shown(data)[1] == [GREEN, RED, GREEN]


def test_a_control_counts_for_one_frame_only() -> None:
    data = canvas(part([[0, 0, 0]] * 2, lead=control(transparent=1)), part([[1, 1, 1]]))
    assert shown(data)[1] == [GREEN] * 3


def test_a_frame_beyond_its_canvas_is_refused() -> None:
    assert reason(canvas(part([[0]], (3, 0)))) == "corrupt"


def test_a_colour_beyond_the_table_is_refused() -> None:
    """Pillow paints it black, browsers leave a hole."""
    assert reason(canvas(part([[7, 0, 0]] * 2))) == "corrupt"


def test_a_gif_without_colours_is_refused() -> None:
    data = struct.pack("<6sHHBBB", b"GIF89a", 3, 2, 0, 0, 0) + part([[0]]) + b";"
    assert reason(data) == "corrupt"


@pytest.mark.parametrize("data", [canvas(), canvas(part([[0]]), b"\0"), canvas(part([[0]]), size=(0, 2))])
def test_a_gif_without_frames_or_size_or_with_unknown_blocks_is_refused(data: bytes) -> None:
    assert reason(data) == "corrupt"


def test_a_gif_without_its_end_is_refused() -> None:
    assert reason(canvas(part([[0]]), end=b"")) == "truncated"


def test_frames_are_counted_before_one_is_decoded() -> None:
    with pytest.raises(Unreadable) as refusal:
        next(frames(canvas(*[part([[0]])] * 17), GIF))
    assert refusal.value.reason == "too_many_frames"


def test_a_local_table_and_interlacing_are_honoured() -> None:
    image = Image.fromarray((np.arange(64 * 64) % 251).reshape(64, 64).astype(np.uint8))
    data = encode(image, "GIF", interlace=True)
    ((view,),) = (frame.views for frame in frames(data, GIF))
    assert np.array_equal(view[..., 0], np.asarray(image))


def test_frames_agree_with_pillow_where_it_composes_right() -> None:
    pictures = [solid((9 * i, 0, 255 - 9 * i), (40, 30)) for i in range(5)]
    data = encode(pictures[0], "GIF", save_all=True, append_images=pictures[1:], duration=10)
    seen = [tuple(map(int, frame.views[0][3, 3])) for frame in frames(data, GIF)]
    assert seen == [picture.getpixel((0, 0)) for picture in pictures]

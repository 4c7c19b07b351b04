"""What the benchmark of pictures computes, and that its ways do the same work."""

import zlib

import numpy as np
import pytest

from sluice.media.decoding import png
from tests.bench import media, media_channel
from tests.support.images import encode, scene


@pytest.mark.parametrize(
    ("rest_ms", "costly_ms", "share"), [(2, 22, 0.22), (6.4, 22, 0), (8, 22, 0), (2, 6.4, 1), (2, 5, 1), (0, 12.8, 0.5)]
)
def test_the_share_at_which_the_mean_picture_takes_the_budget(rest_ms: float, costly_ms: float, share: float) -> None:
    assert media.share_at(6.4, rest_ms, costly_ms) == pytest.approx(share)


def test_cores_follow_from_milliseconds() -> None:
    """16 cores have 6.4 ms for each of 2,500 images a second."""
    by_format, shares = media.cores({"512 JPEG": 2, "1024 JPEG": 8, "1024 PNG": 22, "1024 WEBP": 5.6})
    assert by_format.rows[0] == {"pictures": "512 JPEG", "ms of a core": 2, "images/s": 8000, "cores": 5}
    assert [row["bound from"] for row in shares.rows] == ["22%", "0%", "5%"]


def test_every_format_shows_the_same_photograph() -> None:
    decoded = [np.array(media._opened(sample.files()[0])).astype(int) for sample in media.SAMPLES[1:]]
    assert np.array_equal(decoded[0], decoded[1])
    assert np.abs(decoded[2] - decoded[0]).mean() < 3


def test_a_png_of_the_bench_has_the_filters_of_photographs() -> None:
    """Paeth in nearly every row, as Pillow's choice falls on what a camera or a model made; 8 to 14 bits a pixel."""
    data = media.SAMPLES[2].files()[0]
    assert 8 * 1024**2 < 8 * len(data) < 14 * 1024**2
    rows = zlib.decompress(b"".join(png.parse(data).layers[0].pieces))
    assert rows[:: 1 + 3 * 1024].count(4) > 900


def test_ways_agree_to_one_level() -> None:
    seen = [way(encode(scene(300, 300))).astype(int) for way in media._ways("PNG").values()]
    assert max(np.abs(one - seen[0]).max() for one in seen) <= 1


def test_both_channels_bring_the_same_picture() -> None:
    with media_channel._far_end() as (_, by_socket, by_slot):
        ours, theirs = by_socket(b"x" * 1000), by_slot(b"x" * 1000)
    assert (ours.mime, ours.width, ours.technical) == (theirs.mime, theirs.width, theirs.technical)
    assert np.array_equal(ours.tiles, media_channel.PICTURE.tiles)
    assert np.array_equal(theirs.tiles, media_channel.PICTURE.tiles)

"""Thumbnails are, pixel for pixel, what OpenCV and Pillow make of the whole frame."""

import numpy as np
import pytest
from PIL import Image

from sluice.media.decoding.thumbnails import sampled, thumbnail
from sluice.moderation.values import Pixels, Thumbnail

SHAPES = [(1, 1), (1, 7), (7, 1), (3, 640), (640, 3), (97, 211), (319, 320), (320, 320), (321, 33), (512, 512),
          (1000, 1500), (2161, 1213)]  # fmt: skip


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(height * 10_000 + width).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("edge", [64, 320])
def test_a_sampled_thumbnail_is_what_opencv_makes_of_the_padded_square(shape: tuple[int, int], edge: int) -> None:
    cv2 = pytest.importorskip("cv2", reason="needs the extra `nudenet`")
    view = noise(*shape)
    longest = max(shape)
    square = np.zeros((longest, longest, 3), np.uint8)
    square[: shape[0], : shape[1]] = view
    expected = cv2.resize(square, (edge, edge), interpolation=cv2.INTER_LINEAR)
    found = sampled(view, edge)
    assert found.shape[:2] == Thumbnail("sample", edge).shape(*shape)
    apart = found.astype(int) - expected[: found.shape[0], : found.shape[1]]
    assert np.abs(apart).max() <= (edge > longest), "one grey level where the picture is enlarged, else nothing"
    if edge <= longest:
        assert not expected[found.shape[0] :].any()
        assert not expected[:, found.shape[1] :].any()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_stretched_thumbnail_is_pillows(shape: tuple[int, int]) -> None:
    view = noise(*shape)
    expected = Image.fromarray(view).resize((256, 256), Image.Resampling.BILINEAR)
    assert np.array_equal(thumbnail(view, Thumbnail("stretch", 256)), np.asarray(expected))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("wanted", [Thumbnail("fit", 64), Thumbnail("sample", 64), Thumbnail("stretch", 64)])
def test_a_thumbnail_has_the_shape_that_its_kind_foretells(shape: tuple[int, int], wanted: Thumbnail) -> None:
    assert thumbnail(noise(*shape), wanted).shape == (*wanted.shape(*shape), 3)

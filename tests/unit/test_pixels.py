"""Model input equals transformers', and tiles show what a centre crop hides."""

import json

import numpy as np
import pytest
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from sluice.core.errors import Unreadable
from sluice.media.decoding import tiles
from tests.support.images import scene


def laid(height: int, width: int, aspect: float = 1.15, most: int = 32) -> tiles.Plan:
    return tiles.plan(height, width, tile_above_aspect=aspect, max_tiles=most)


@pytest.mark.parametrize(
    ("size", "resized", "corner"),
    [
        ((224, 224), (224, 224), (0, 0)),
        ((512, 512), (224, 224), (0, 0)),
        ((1024, 1025), (224, 224), (0, 0)),
        ((512, 768), (224, 336), (0, 56)),
        ((768, 512), (336, 224), (56, 0)),
        ((300, 301), (224, 224), (0, 0)),
        ((100, 101), (224, 226), (0, 1)),
        ((100, 103), (224, 230), (0, 3)),
        ((640, 1138), (224, 398), (0, 87)),
        ((3, 7), (224, 522), (0, 149)),
    ],
)
def test_size_and_corner_follow_the_reference(
    size: tuple[int, int], resized: tuple[int, int], corner: tuple[int, int]
) -> None:
    """224 * long / short is rounded down and the crop starts at half the spare pixels, rounded down."""
    layout = laid(*size)
    assert ((layout.height, layout.width), layout.corners[0]) == (resized, corner)


@pytest.mark.parametrize("size", [(512, 512), (1024, 1024), (512, 768), (769, 511), (97, 131), (224, 224), (230, 224)])
def test_reference_tile_is_within_one_level_of_the_pillow_processor(size: tuple[int, int]) -> None:
    picture = scene(*size, seed=size[0])
    ours = tiles.tiles(picture, laid(*size))[0].astype(np.int16)
    processor = CLIPImageProcessorPil(do_rescale=False, do_normalize=False)
    theirs = processor(picture, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0).astype(np.int16)
    difference = np.abs(ours - theirs)
    assert difference.max() <= 1
    assert difference.mean() <= 0.01


def test_square_and_nearly_square_pictures_have_one_tile() -> None:
    assert len(laid(512, 512).corners) == 1
    assert len(laid(512, 588).corners) == 1
    assert len(laid(512, 590).corners) == 3


@pytest.mark.parametrize("size", [(512, 1024), (1024, 512), (200, 2000), (2000, 200), (512, 600), (100, 333)])
def test_tiles_of_a_long_picture_cover_all_of_it(size: tuple[int, int]) -> None:
    layout = laid(*size)
    seen = np.zeros((layout.height, layout.width), dtype=bool)
    for top, left in layout.corners:
        seen[top : top + 224, left : left + 224] = True
    assert seen.all()
    assert layout.coverage == 1.0


@pytest.mark.parametrize("size", [(200, 2000), (512, 1024), (512, 7000)])
def test_neighbouring_tiles_overlap_by_at_least_a_quarter(size: tuple[int, int]) -> None:
    starts = sorted(max(corner) for corner in laid(*size).corners)
    assert max(np.diff(starts)) <= 168


def test_no_tile_is_cut_twice() -> None:
    for width in range(224, 2000, 7):
        corners = laid(224, width).corners
        assert len(set(corners)) == len(corners)


def test_coverage_without_tiles_is_the_share_the_centre_crop_shows() -> None:
    assert laid(512, 1024, aspect=3).coverage == pytest.approx(0.5)
    assert laid(512, 512).coverage == 1.0


def test_a_stripe_needs_more_tiles_than_allowed_before_any_memory_is_taken() -> None:
    with pytest.raises(Unreadable) as refusal:
        laid(1, 25_000_000)
    assert refusal.value.reason == "too_many_tiles"


def test_tiles_are_cuts_of_one_resized_picture() -> None:
    picture = scene(300, 700)
    layout = laid(300, 700)
    whole = tiles.resize(picture, layout.height, layout.width)
    cut = tiles.tiles(picture, layout)
    assert cut.shape == (len(layout.corners), 224, 224, 3)
    assert cut.dtype == np.uint8
    for tile, (top, left) in zip(cut, layout.corners, strict=True):
        assert np.array_equal(tile, whole[top : top + 224, left : left + 224])


def test_resizing_is_antialiased() -> None:
    """A one-pixel checkerboard becomes grey; without antialiasing it would keep its extremes."""
    board = np.indices((1024, 1024)).sum(0) % 2 * 255
    small = tiles.resize(np.repeat(board[..., None], 3, 2).astype(np.uint8), 224, 224)
    assert 120 <= small[8:-8, 8:-8].min() <= small[8:-8, 8:-8].max() <= 135


def test_within_shrinks_the_longest_edge_and_never_enlarges() -> None:
    assert tiles.within(scene(600, 1200), 512).shape == (256, 512, 3)
    assert tiles.within(scene(60, 120), 512).shape == (60, 120, 3)
    assert tiles.within(scene(2, 3000), 512).shape == (1, 512, 3)


def test_digest_changes_with_any_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = tiles.preprocess_digest(1.15)
    assert len(plain) == 64
    assert tiles.preprocess_digest(1.5) != plain
    monkeypatch.setitem(tiles.PREPROCESS, "overlap", 57)
    assert tiles.preprocess_digest(1.15) != plain


def test_description_names_no_library_version() -> None:
    assert not any(name in json.dumps(tiles.PREPROCESS).lower() for name in ("torch", "pillow", "numpy"))

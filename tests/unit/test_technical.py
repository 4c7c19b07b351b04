"""Pixel measures on pictures whose answer is known."""

import numpy as np
import pytest

from sluice.media.decoding.technical import blur, centre, luma, noise_sigma, technical
from sluice.moderation.values import Pixels
from tests.support.images import scene


def grey(value: float, height: int = 256, width: int = 256) -> Pixels:
    return np.full((height, width, 3), value, dtype=np.uint8)


def noisy(sigma: float, height: int = 512, width: int = 512) -> Pixels:
    noise = np.random.default_rng(7).normal(128, sigma, (height, width))
    return np.repeat(np.clip(np.round(noise), 0, 255)[..., None], 3, 2).astype(np.uint8)


@pytest.mark.parametrize("sigma", [2.0, 5.0, 10.0, 20.0])
def test_gaussian_noise_of_known_sigma_is_recovered_within_3_percent(sigma: float) -> None:
    assert noise_sigma(luma(noisy(sigma))) == pytest.approx(sigma, rel=0.03)


def test_noise_on_a_ramp_is_not_mistaken_for_the_ramp() -> None:
    """The mask is a second difference along both axes, so a plane gives nothing."""
    ramp = np.add.outer(np.arange(128, dtype=np.float32), np.arange(128, dtype=np.float32))
    assert noise_sigma(ramp) == 0.0


def test_noise_is_measured_at_native_size() -> None:
    native = noisy(10.0, 1024, 1024)
    assert technical(native[::2, ::2], native).noise_sigma == pytest.approx(10.0, rel=0.03)
    assert centre(native).shape == (512, 512, 3)


def test_laplacian_variance_of_white_noise_is_20_sigma_squared() -> None:
    """Var(sum of w_i n_i) = sigma^2 sum w_i^2 = (16 + 4) sigma^2."""
    assert blur(luma(noisy(10.0))) == pytest.approx(20 * 100, rel=0.05)


def test_smoothing_lowers_the_blur_measure() -> None:
    sharp = luma(scene(256, 256))
    smooth = (sharp[:-2, :-2] + sharp[1:-1, 1:-1] + sharp[2:, 2:]) * np.float32(1 / 3)
    assert blur(smooth) < blur(sharp) / 2


def test_a_flat_picture_measures_zero_everywhere() -> None:
    measured = technical(grey(128), grey(128))
    assert (measured.blur, measured.noise_sigma, measured.flat) == pytest.approx((0, 0, 0), abs=1e-4)
    assert (measured.clipped_dark, measured.clipped_light) == (0, 0)


def test_clipped_shares_are_exact() -> None:
    picture = grey(128)
    picture[:128] = 0
    picture[128:192] = 255
    measured = technical(picture, picture)
    assert measured.clipped_dark == 0.5
    assert measured.clipped_light == 0.25


def test_flat_is_the_standard_deviation_of_luma() -> None:
    picture = grey(100)
    picture[:128] = 200
    assert technical(picture, picture).flat == pytest.approx(50, abs=1e-3)


def test_luma_is_rec_601() -> None:
    assert luma(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], dtype=np.uint8))[0] == pytest.approx(
        [76.245, 149.685, 29.07]
    )


def test_a_picture_of_two_pixels_is_measured_without_error() -> None:
    measured = technical(grey(10, 1, 2), grey(10, 1, 2))
    assert measured.blur == 0
    assert measured.noise_sigma == 0


@pytest.mark.parametrize("shape", [(1, 7), (13, 291), (64, 64), (333, 200)])
def test_luma_of_a_pixel_does_not_depend_on_the_pixels_around_it(shape: tuple[int, int]) -> None:
    """Nor, with that, on how many threads share the work."""
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    alone = [
        [luma(picture[row : row + 1, column : column + 1])[0, 0] for column in range(shape[1])]
        for row in range(shape[0])
    ]
    assert np.array_equal(luma(picture), np.array(alone))

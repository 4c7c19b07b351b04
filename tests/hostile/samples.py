"""PNGs written sample by sample: every colour type and depth, interlaced or not, with tRNS and gAMA."""

import itertools
import struct
from collections.abc import Iterator
from random import Random

import numpy as np
from numpy.typing import NDArray

from tests.hostile.colours import on_page
from tests.hostile.specimen import Fate, Specimen
from tests.support.images import chunk, png

_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_SIZE = (53, 47)
_GAMMAS = (0, 45_455, 100_000, 200_000, 20_000)

Samples = NDArray[np.int64]


def depths(rng: Random) -> Iterator[Specimen]:
    """Every combination a PNG can be written in; the pictures a screen shows are known from the samples."""
    dice = np.random.default_rng(rng.getrandbits(32))
    for colour_type, interlaced, keyed, gamma in itertools.product(_DEPTHS, (False, True), (False, True), _GAMMAS):
        for bits in _DEPTHS[colour_type]:
            if keyed and colour_type in {4, 6}:
                continue
            yield _specimen(dice, (colour_type, bits), interlaced=interlaced, keyed=keyed, gamma=gamma)


def _specimen(
    dice: np.random.Generator, kind: tuple[int, int], *, interlaced: bool, keyed: bool, gamma: int
) -> Specimen:
    colour_type, bits = kind
    samples = _samples(dice, colour_type, bits)
    palette = dice.integers(0, 256, (1 << min(bits, 8), 3))
    extra = chunk(b"gAMA", gamma.to_bytes(4, "big")) if gamma else b""
    if colour_type == 3:
        extra += chunk(b"PLTE", palette.astype("u1").tobytes())
    key = samples[0, 0]
    if keyed:
        extra += _transparency(key, colour_type)
    data = png(
        _SIZE,
        _packed(samples, bits, interlaced=interlaced),
        bits=bits,
        colour_type=colour_type,
        extra=extra,
        interlaced=interlaced,
    )
    name = f"depths/type{colour_type}-{bits}bit{'-adam7' * interlaced}{'-trns' * keyed}-gama{gamma}"
    if keyed and kind == (2, 16):
        return Specimen(name, data, Fate.REFUSED, frozenset({"unsupported_pixels"}))
    colours, alpha = _meant(samples, colour_type, bits, palette)
    if keyed:
        alpha = np.where(samples[..., 0] == 0, 0.0, 1.0) if colour_type == 3 else _unlike(samples, key)
    looks = [colours] if gamma in {0, 45_455} else [colours, _through(colours, gamma)]
    pages = (255, 0) if alpha.min() < 1 else (255,)
    shows = tuple(on_page(look, alpha, page) for look, page in itertools.product(looks, pages))
    return Specimen(name, data, Fate.SHOWN, shows=shows)


def _samples(dice: np.random.Generator, colour_type: int, bits: int) -> Samples:
    """Draw a gradient with a flat corner, (h, w, channels), that uses the whole depth."""
    width, height = _SIZE
    top = (1 << bits) - 1
    ramp = np.linspace(0, top, width)[None, :] * np.linspace(0.2, 1, height)[:, None]
    channels = [np.roll(ramp, 11 * number, axis=1) for number in range(_CHANNELS[colour_type])]
    samples = np.stack(channels, axis=2).astype(np.int64)
    samples[:9, :9] = dice.integers(0, top + 1, _CHANNELS[colour_type]) if colour_type != 3 else 0
    return samples


def _transparency(key: Samples, colour_type: int) -> bytes:
    """Write a tRNS: the first palette entry, or the colour of the corner."""
    return chunk(b"tRNS", b"\0" if colour_type == 3 else struct.pack(f">{len(key)}H", *key))


def _meant(
    samples: Samples, colour_type: int, bits: int, palette: Samples
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return the colours in 8 bits and alpha from 0 to 1."""
    opaque = np.ones(samples.shape[:2])
    if colour_type == 3:
        return palette[samples[..., 0]].astype(np.uint8), opaque
    scaled = samples / ((1 << bits) - 1)
    alpha = scaled[..., -1] if colour_type in {4, 6} else opaque
    colours = scaled[..., :3] if colour_type in {2, 6} else scaled[..., :1].repeat(3, 2)
    return np.rint(255 * colours).astype(np.uint8), alpha


def _unlike(samples: Samples, key: Samples) -> NDArray[np.float64]:
    return np.where((samples == key).all(2), 0.0, 1.0)


def _through(colours: NDArray[np.uint8], gamma: int) -> NDArray[np.uint8]:
    """Apply gAMA on a screen of 2.2."""
    applied: NDArray[np.uint8] = np.rint(255 * (colours / 255) ** (100_000 / gamma / 2.2)).astype(np.uint8)
    return applied


def _packed(samples: Samples, bits: int, *, interlaced: bool) -> bytes:
    """Pack samples into filter-0 rows, pass by pass."""
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    parts = [samples[top::down, left::across] for left, top, across, down in passes]
    return b"".join(b"\0" + _row(row.reshape(-1), bits) for part in parts if part.size for row in part)


def _row(values: Samples, bits: int) -> bytes:
    if bits == 16:
        return values.astype(">u2").tobytes()
    if bits == 8:
        return values.astype("u1").tobytes()
    wide = (values[:, None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(wide.reshape(-1).astype(np.uint8)).tobytes()

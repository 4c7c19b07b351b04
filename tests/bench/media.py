"""From a picture's bytes to what a model sees: ways of decoding, stages, the decoder pool, its channel, and cores.

Milliseconds are processor time, of all processes that take part, so that a busy machine adds less; images per second
are of the clock. Interleaved rounds, the median one. The pictures are photographs as JPEG, and the same decoded and
written as PNG and WebP: the grain that a JPEG takes away makes a PNG choose filters that photographs do not have.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from statistics import median
from time import perf_counter, process_time, thread_time
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from sluice.media.decoding import tiles
from sluice.media.decoding.limits import Limits
from sluice.media.decoding.picture import decode_picture
from sluice.media.workers.pool import DecoderPool
from sluice.moderation.values import Pixels
from sluice.settings import Media
from sluice_sim.pictures import Format
from tests.bench import media_channel, media_stages
from tests.bench.rig import photograph
from tests.bench.tables import Cell, Table

PICTURES = 3
ROUNDS = 7
POOLS = (1, 2)
BURST = 16
QUALITY = 88
GPU_IMAGES_PER_S = 2500
GPU_CORES = 16

Way = Callable[[bytes], Pixels]


@dataclass(frozen=True, slots=True)
class Sample:
    """Pictures of one format and size."""

    kind: Format
    edge_px: int

    @property
    def name(self) -> str:
        """The size and format, as in `1024 PNG`."""
        return f"{self.edge_px} {self.kind}"

    def files(self) -> Sequence[bytes]:
        """Return the encoded pictures."""
        return [_written(number, self.edge_px, self.kind) for number in range(PICTURES)]


SAMPLES = (Sample("JPEG", 512), Sample("JPEG", 1024), Sample("PNG", 1024), Sample("WEBP", 1024))
PNG = SAMPLES[2].name


def measured() -> Iterator[Table]:
    """Measure every way, then the stages of ours, its processes, their channel, and what sixteen cores make of it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield Table("decode and resize, ms of a core", [_decoding(sample) for sample in SAMPLES])
        files = {sample.name: sample.files() for sample in SAMPLES}
        yield media_stages.measured(files, ROUNDS)
        pools = {name: _pooled(few) for name, few in files.items()}
    finally:
        torch.set_num_threads(threads)
    yield Table("decoder pool", [pool.row(name) for name, pool in pools.items()])
    road_ms = {name: pool.image_ms for name, pool in pools.items()}
    yield media_channel.measured(files, road_ms, ROUNDS)
    yield from cores(road_ms)


def cores(road_ms: Mapping[str, float]) -> Iterator[Table]:
    """Say what a GPU's cores decode, given ms of a core by format, and from which share of PNG on they are too few."""
    rows: list[dict[str, Cell]] = [
        {"pictures": name, "ms of a core": ms, "images/s": GPU_CORES * 1000 / ms, "cores": GPU_IMAGES_PER_S * ms / 1000}
        for name, ms in road_ms.items()
    ]
    yield Table(f"{GPU_CORES} cores, and how many {GPU_IMAGES_PER_S} images/s take", rows)
    budget_ms = GPU_CORES * 1000 / GPU_IMAGES_PER_S
    shares: list[dict[str, Cell]] = [
        {"the rest is": name, "bound from": _percent(share_at(budget_ms, ms, road_ms[PNG]))}
        for name, ms in road_ms.items()
        if name != PNG
    ]
    yield Table(f"share of {PNG} from which on {GPU_CORES} cores make fewer than {GPU_IMAGES_PER_S} images/s", shares)


def share_at(budget_ms: float, rest_ms: float, costly_ms: float) -> float:
    """Return the share of costly pictures, 0 to 1, at which the mean picture takes the whole budget; 1 when never."""
    if costly_ms <= budget_ms:
        return 1.0
    if rest_ms >= budget_ms:
        return 0.0
    return (budget_ms - rest_ms) / (costly_ms - rest_ms)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share < 1 else "never"


@cache
def _written(number: int, edge_px: int, kind: Format) -> bytes:
    photographed = photograph(number, edge_px, "JPEG")
    if kind == "JPEG":
        return photographed
    out = BytesIO()
    _opened(photographed).save(out, kind, quality=QUALITY)
    return out.getvalue()


def _decoding(sample: Sample) -> dict[str, Cell]:
    """Give each way the same pictures. In brackets the largest difference from transformers' pixels, 0 to 255."""
    files, ways = sample.files(), _ways(sample.kind)
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            started = thread_time()
            for data in files:
                way(data)
            spent[name].append((thread_time() - started) / len(files))
    reference = [_transformers(data).astype(np.int16) for data in files]
    row: dict[str, Cell] = {"pictures": sample.name, "KB": sum(map(len, files)) / len(files) / 1000}
    for name in ALL_WAYS:
        if name not in ways:
            row[name] = "-"
            continue
        apart = max(int(np.abs(ways[name](data) - seen).max()) for data, seen in zip(files, reference, strict=True))
        row[name] = f"{median(spent[name]) * 1000:.2f} ({apart})"
    return row


def _ways(kind: Format) -> dict[str, Way]:
    """Return the ways there are for a format; optional decoders where they are installed."""
    ways: dict[str, Way] = {"transformers": _transformers, "Pillow": _by(lambda data: np.array(_opened(data)))}
    if kind == "JPEG" and (simplejpeg := _optional("simplejpeg")):
        ways["simplejpeg"] = _by(lambda data: simplejpeg.decode_jpeg(data, colorspace="RGB"))
    if imagecodecs := _optional("imagecodecs"):
        decode = {"JPEG": imagecodecs.jpeg8_decode, "PNG": imagecodecs.spng_decode, "WEBP": imagecodecs.webp_decode}
        ways["imagecodecs"] = _by(decode[kind])
    ways["sluice"] = lambda data: decode_picture(data, Limits()).tiles[0]
    return ways


ALL_WAYS = ("transformers", "Pillow", "simplejpeg", "imagecodecs", "sluice")
"""`Pillow` to `imagecodecs`: that decoder and torch's uint8 resize, nothing checked. `sluice`: all it does."""


def _optional(name: str) -> Any:
    return import_module(name) if find_spec(name) else None


def _opened(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


def _transformers(data: bytes) -> Pixels:
    made = _PROCESSOR(_opened(data), return_tensors="np")["pixel_values"][0]
    view: Pixels = made.transpose(1, 2, 0)
    return view


_PROCESSOR = CLIPImageProcessorPil(do_rescale=False, do_normalize=False)


def _by(decode: Way) -> Way:
    """Return the decoder followed by torch's resize."""
    return lambda data: tiles.resize(decode(data), tiles.EDGE, tiles.EDGE)


@dataclass(frozen=True, slots=True)
class _Pooled:
    """What pools of one and of two decoders took: ms of all processes an image, and images per second by size."""

    image_ms: float
    per_s: Mapping[int, float]

    def row(self, name: str) -> dict[str, Cell]:
        one, two = (self.per_s[size] for size in POOLS)
        return {"pictures": name, "ms": self.image_ms, "images/s, 1": one, "2": two, "2 over 1": two / one}


def _pooled(files: Sequence[bytes]) -> _Pooled:
    """Feed two pools in turn; the first burst of each starts its processes and does not count."""
    media = [Media(decoders=size, decode_timeout_s=60) for size in POOLS]
    seconds: dict[int, list[float]] = {size: [] for size in POOLS}
    busy_s = 0.0
    with DecoderPool(media[0], observe=_unobserved) as one, DecoderPool(media[1], observe=_unobserved) as two:
        for pool in (one, two):
            _burst(pool, files)
        for _ in range(ROUNDS):
            for size, pool in zip(POOLS, (one, two), strict=True):
                before_s, started = _busy_s(), perf_counter()
                _burst(pool, files)
                seconds[size].append(perf_counter() - started)
                busy_s += _busy_s() - before_s
    images = BURST * ROUNDS * len(POOLS)
    return _Pooled(busy_s / images * 1000, {size: BURST / median(taken) for size, taken in seconds.items()})


def _burst(pool: DecoderPool, files: Sequence[bytes]) -> None:
    for future in [pool.submit(files[number % len(files)]) for number in range(BURST)]:
        future.result()


def _busy_s() -> float:
    """Return the processor time of this process and all that it started."""
    others = (process.cpu_times() for process in psutil.Process().children(recursive=True))
    return process_time() + sum(times.user + times.system for times in others)


def _unobserved(*_: object) -> None:
    pass

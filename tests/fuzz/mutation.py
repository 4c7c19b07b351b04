"""Small changes to bytes, from a seed: what the tests do to every target when no fuzzer is installed."""

from collections.abc import Callable, Sequence
from random import Random

BOUNDS = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff" * 9 + b"\x01",
    b"%00",
    b"://",
)


def mutated(seeds: Sequence[bytes], rng: Random, max_bytes: int) -> bytes:
    """Return one of the seeds with one to six changes."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 6)):
        rng.choice(CHANGES)(data, rng, seeds)
    return bytes(data[:max_bytes])


def _place(data: bytearray, rng: Random) -> int:
    return rng.randint(0, len(data))


def _flip(data: bytearray, rng: Random, _: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _overwrite(data: bytearray, rng: Random, _: Sequence[bytes]) -> None:
    place, bound = _place(data, rng), rng.choice(BOUNDS)
    data[place : place + len(bound)] = bound


def _insert(data: bytearray, rng: Random, _: Sequence[bytes]) -> None:
    place = _place(data, rng)
    data[place:place] = rng.choice((*BOUNDS, rng.randbytes(rng.randint(1, 16))))


def _cut(data: bytearray, rng: Random, _: Sequence[bytes]) -> None:
    start = _place(data, rng)
    del data[start : start + rng.randint(1, 1 + len(data) // 4)]


def _repeat(data: bytearray, rng: Random, _: Sequence[bytes]) -> None:
    start = _place(data, rng)
    piece = data[start : start + rng.randint(1, 32)]
    data[start:start] = piece * rng.randint(1, 8)


def _splice(data: bytearray, rng: Random, seeds: Sequence[bytes]) -> None:
    other = rng.choice(seeds)
    data[_place(data, rng) :] = other[rng.randint(0, len(other)) :]


Change = Callable[[bytearray, Random, Sequence[bytes]], None]
CHANGES: tuple[Change, ...] = (_flip, _overwrite, _insert, _cut, _repeat, _splice)

"""What a fuzz target is: a function that takes any bytes and raises only when a promise is broken."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """`run` swallows the errors that are promised; `seeds` are sound or nearly sound inputs, made by code."""

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    max_bytes: int = 4096

"""Interleaved rounds: every way once, then every way again, so that a busy machine is equally unkind to all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from statistics import median
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
D = TypeVar("D", bound="DataclassInstance")


def interleaved(ways: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Do one round of each way after the other, so many times; return what came of them, by way."""
    found: dict[str, list[T]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, once in ways.items():
            found[name].append(once())
    return found


def medians(found: Sequence[D]) -> D:
    """Return the median of each figure on its own."""
    figures: list[Any] = [median(getattr(each, one.name) for each in found) for one in fields(found[0])]
    return type(found[0])(*figures)

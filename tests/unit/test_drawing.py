"""Small pictures and plain words for a terminal."""

import pytest
from rich.console import Console

from sluice.report.terminal import Stack, in_words, spark


@pytest.mark.parametrize(
    ("parts", "expected"), [([3, 1], [6, 2, 0]), ([0, 0], [0, 0, 8]), ([1, 1, 1], [3, 2, 3, 0]), ([], [8])]
)
def test_a_bar_is_as_wide_as_there_is_room_whatever_the_weights(parts: list[int], expected: list[int]) -> None:
    bar = Stack([(part, "red") for part in parts])
    widths = [len(segment.text) for segment in Console(width=8).render(bar)]
    assert widths == expected


def test_sparks_are_relative_to_the_largest() -> None:
    assert spark([0, 7, 3.5]) == "▁█▅"
    assert spark([0.0, 0.0]) == spark([]) == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 ms"), (0.24, "240 ms"), (1, "1.0 s"), (9.94, "9.9 s"), (10, "10 s"), (59.6, "1 min 0 s"),
        (200, "3 min 20 s"), (3599.4, "59 min 59 s"), (3600, "1 h 0 min"), (90_000, "1 d 1 h"),
    ],
)  # fmt: skip
def test_a_span_of_time_is_said_in_two_parts_at_most(seconds: float, words: str) -> None:
    assert in_words(seconds) == words

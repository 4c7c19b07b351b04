"""The sender keeps its rate on any clock."""

from dataclasses import dataclass

import pytest

from sluice_sim.sender import Pace


@dataclass
class Clock:
    """A clock that stands still until it is told."""

    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


def _sent_within(pace: Pace, clock: Clock, seconds: float, *, step_s: float = 0.001) -> int:
    count, end_s = 0, clock.now_s + seconds
    while clock.now_s < end_s:
        while pace.due_in_s() <= 0:
            pace.take()
            count += 1
        clock.now_s += step_s
    return count


@pytest.mark.parametrize("rate_per_s", [5, 50, 500])
def test_the_rate_is_kept(rate_per_s: float) -> None:
    clock = Clock()
    assert abs(_sent_within(Pace(rate_per_s, clock=clock), clock, 10) - 10 * rate_per_s) <= 1


def test_a_late_sender_catches_up_a_tenth_of_a_second_and_no_more() -> None:
    clock = Clock()
    pace = Pace(100, clock=clock)
    clock.now_s += 60
    assert _sent_within(pace, clock, 0.0001) == 11


def test_a_rate_of_zero_never_waits() -> None:
    pace = Pace(0, clock=Clock())
    for _ in range(1000):
        assert pace.due_in_s() <= 0
        pace.take()

"""Where the loop's time goes, against a clock of the test's own."""

from collections import defaultdict

import pytest

from sluice.stream.loop_metrics import TimeAccounting


class Bench:
    """A timesheet whose clock moves when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.told = 0
        self.sheet = TimeAccounting(lambda: self.now, self.observe)

    def observe(self, name: str, value: float, labels: object) -> None:
        assert name == "sluice.activity.time"
        assert isinstance(labels, dict)
        self.spent[labels["activity"]] += value
        self.told += 1


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_every_second_belongs_to_one_activity_also_where_one_interrupts_another(bench: Bench) -> None:
    bench.now += 1
    with bench.sheet.during("poll"):
        bench.now += 2
        with bench.sheet.during("commit"):  # a rebalance lands within a poll
            bench.now += 4
        bench.now += 8
    bench.now += 16
    bench.sheet.report()
    assert bench.spent == {"work": 17, "poll": 10, "commit": 4}


def test_what_raises_has_been_spent_too(bench: Bench) -> None:
    def break_off() -> None:
        bench.now += 3
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), bench.sheet.during("commit"):
        break_off()
    bench.now += 1
    bench.sheet.report()
    assert bench.spent == {"commit": 3, "work": 1}


def test_it_is_told_now_and_then_and_nothing_is_told_twice(bench: Bench) -> None:
    for _ in range(16):
        bench.now += 0.125
        bench.sheet.report()
    assert bench.told == 8
    assert bench.spent == {"work": 2.0}

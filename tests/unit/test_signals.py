"""Which signals ask for a drain, and which leave at once."""

import os
import signal
from collections.abc import Iterator

import pytest

from sluice.cli.frame import INTERRUPTED
from sluice.cli.run import Stop
from sluice.cli.signals import STOPPING


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in STOPPING}
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    return codes


@pytest.mark.parametrize("number", STOPPING)
def test_the_first_asks_for_a_drain(number: signal.Signals, left: list[int]) -> None:
    stop = Stop()
    assert not stop()
    os.kill(os.getpid(), number)
    assert stop()
    assert left == []


@pytest.mark.parametrize("first", STOPPING)
@pytest.mark.parametrize(("second", "codes"), [("SIGTERM", [INTERRUPTED]), ("SIGINT", [INTERRUPTED]), ("SIGHUP", [])])
def test_a_second_one_leaves_at_once_but_a_terminal_may_hang_up_twice(
    first: signal.Signals, second: str, codes: list[int], left: list[int]
) -> None:
    stop = Stop()
    assert not stop()
    os.kill(os.getpid(), first)
    os.kill(os.getpid(), signal.Signals[second])
    assert (stop(), left) == (True, codes)


@pytest.mark.parametrize("number", STOPPING)
def test_while_nobody_asks_there_is_nothing_to_drain_and_the_first_leaves_at_once(
    number: signal.Signals, left: list[int]
) -> None:
    Stop()
    os.kill(os.getpid(), number)
    assert left == [INTERRUPTED]


def test_under_nohup_a_terminal_that_goes_is_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop = Stop()
    os.kill(os.getpid(), signal.SIGHUP)
    assert not stop()

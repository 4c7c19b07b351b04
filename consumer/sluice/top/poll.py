"""Asking consumers how they are, all at once and again and again."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Self

from sluice.top.figures import Sight, sight
from sluice.top.recent import History, Recent
from sluice.top.scrape import Page, ScrapeFailed, scrape

WINDOW_S = 10.0  # shorter, and one slow batch moves every figure
TIMEOUT_S = 2.0
KEPT_RATES = 40

Ask = Callable[[str], Page | ScrapeFailed]


def ask(base: str) -> Page | ScrapeFailed:
    """Ask one consumer over HTTP."""
    return scrape(base, TIMEOUT_S)


class Poll:
    """Asks the consumers at `targets`, names to base URLs, whenever `look` is called; a context manager."""

    def __init__(
        self,
        targets: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
        ask: Ask = ask,
    ) -> None:
        self._targets = targets
        self._clock = clock
        self._ask = ask
        self._histories = {name: History(WINDOW_S) for name in targets}
        self._threads = ThreadPoolExecutor(len(targets), thread_name_prefix="ask")
        self._asked: dict[str, Future[Page | ScrapeFailed]] = {}
        self._rates: deque[float] = deque(maxlen=KEPT_RATES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def rates(self) -> Sequence[float]:
        """Verdicts a second of all consumers at each look, oldest first."""
        return tuple(self._rates)

    def look(self) -> Sight:
        """Ask all; return what is seen after their answers, or about two seconds."""
        for name, base in self._targets.items():
            if name not in self._asked:  # one that still dawdles is not asked a second time
                self._asked[name] = self._threads.submit(self._ask, base)
        wait(self._asked.values(), TIMEOUT_S + 1)
        seen = sight({name: self._answer(name) for name in self._targets})
        self._rates.append(seen.total.judged_per_s)
        return seen

    def _answer(self, name: str) -> Recent | ScrapeFailed:
        if not self._asked[name].done():
            return ScrapeFailed("dawdles")
        answer = self._asked.pop(name).result()
        return answer if isinstance(answer, ScrapeFailed) else self._histories[name].add(self._clock(), answer)

"""Plans about what goes in: records that kill whoever looks at them, and a picture store that is down."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from threading import Event
from typing import Literal

from sluice_sim.store import Store
from tests.chaos.outcome import POISON
from tests.chaos.plans import strikes
from tests.chaos.trial import Trial
from tests.support.fetching import fetching

DOWN_S = (60.0, 90.0)


def poison(trial: Trial) -> None:
    """Do nothing but count: some pictures end every life that decodes them, until the consumer gets past them."""
    met: set[str] = set()
    trial.enough = True
    while not trial.settled:
        deaths = {worker.name: len(worker.died_at) for worker in trial.workers}
        trial.turn()
        for worker in trial.workers:
            for word in worker.died_at[deaths[worker.name] :]:
                if word and word not in met:
                    met.add(word)
                    waiting = max(1, trial.unanswered)  # the picture itself, at least
                    trial.note(POISON, word, mended=lambda worker=worker: worker.ready, waiting=waiting)  # type: ignore[misc]


def store(trial: Trial, shop: "Shop") -> None:
    """Close the picture store for about a minute: once it refuses connections, once it takes them and says nothing."""
    for number in strikes(trial):
        peace, lives = _sum(trial, "rebalances"), _lives(trial)
        (shop.hang if number % 2 else shop.refuse)()
        fault = trial.note("store hangs" if number % 2 else "store refuses", "store", mended=lambda: shop.serves)
        trial.doze(trial.rng.uniform(*DOWN_S))
        pauses = _sum(trial, "dependency.down")
        assert pauses, "nobody noticed"
        assert (peace, lives) == (_sum(trial, "rebalances"), _lives(trial)), "the group was not left in peace"
        fault.target += f", {pauses:.0f} pauses"
        shop.serve()
        trial.until(lambda fault=fault: fault.recovered_s is not None)  # type: ignore[misc]


class Shop:
    """A picture store on one port that closes and opens again; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counter = _Counter(folder)
        self._counter.__enter__()

    @property
    def shelf(self) -> Store:
        """Where its pictures are put."""
        return self._counter

    @property
    def given(self) -> dict[str, str]:
        """Settings of workers that may fetch from it."""
        return fetching(self._counter)

    @property
    def serves(self) -> bool:
        """Whether it is open."""
        return self._counter.mood is None

    def refuse(self) -> None:
        """Close: connections are refused, and those there are break off."""
        self._counter.mood = "refuses"
        self._counter.close()

    def hang(self) -> None:
        """Take every connection and request, and say nothing."""
        self._counter.woken.clear()
        self._counter.mood = "hangs"

    def serve(self) -> None:
        """Open again, and answer whoever still waits."""
        if self._counter.mood == "hangs":
            self._counter.mood = None
            self._counter.woken.set()
        else:
            self._counter = _Counter(self._folder, self._counter.port)
            self._counter.__enter__()

    def close(self) -> None:
        """Close for good."""
        self._counter.woken.set()
        self._counter.close()


class _Counter(Store):
    """The simulator's store in a mood."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        super().__init__(folder, port=port)
        self.mood: Literal["refuses", "hangs"] | None = None
        self.woken = Event()
        vars(self._server)["handle_error"] = lambda *_: None  # what breaks off here does so on purpose

    def close(self) -> None:
        self.__exit__(None, None, None)

    def _find(self, name: str) -> tuple[HTTPStatus, bytes]:
        if self.mood == "hangs":
            self.woken.wait()
        if self.mood == "refuses":
            raise ConnectionAbortedError
        return super()._find(name)


def _sum(trial: Trial, metric: str) -> float:
    """Sum a counter, whatever its labels, over the present lives."""
    stats = [(name, count) for worker in trial.workers for name, count in worker.stats.items()]
    return sum(count for name, count in stats if name == metric or name.startswith(f"{metric}."))


def _lives(trial: Trial) -> list[int]:
    return [len(worker.endings) for worker in trial.workers]


STORE_PLANS: Mapping[str, Callable[[Trial, Shop], None]] = {"store": store}

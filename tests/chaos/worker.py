"""A worker under the eyes of a supervisor that starts it again at once: `sluice run`, or what judges otherwise."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from tests.chaos.failpoints import Order
from tests.chaos.life import live
from tests.chaos.stage import Stage
from tests.support.forked import Forked, forks
from tests.support.ports import free_port
from tests.support.scraped import figures

SLUICE = Path(sys.executable).with_name("sluice")
LEAVE_WITHIN_S = 60.0


class Life(Protocol):
    """A process of the operating system."""

    @property
    def pid(self) -> int: ...

    @property
    def exit_code(self) -> int | None:
        """None while it lives, negative for signals."""

    def wait(self, within_s: float) -> int:
        """Wait for its end and return the exit code."""

    def obey(self, order: Order) -> None:
        """Die at a fail-point."""

    @property
    def died_at(self) -> str | None:
        """The fail-point that ended it."""


Start = Callable[[Mapping[str, str], Path, Path], Life]
"""Environment, working directory and log to a life."""


@dataclass(frozen=True, slots=True)
class Command:
    """A life of `sluice run`; it has no fail-points."""

    process: subprocess.Popen[bytes] | Forked
    died_at: None = None

    @classmethod
    def start(cls, environment: Mapping[str, str], folder: Path, log: Path) -> Self:
        """Start the real thing."""
        with log.open("wb") as output:
            return cls(
                subprocess.Popen(
                    [SLUICE, "--debug", "run"], cwd=folder, env=environment,
                    stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                )
            )  # fmt: skip

    @classmethod
    def fork(cls, environment: Mapping[str, str], folder: Path, log: Path) -> Self:
        """Start the real thing where all it needs is imported."""
        return cls(Forked(("--debug", "run"), environment, folder, log))

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        return self.process.poll()

    def wait(self, within_s: float) -> int:
        return self.process.wait(within_s)

    def obey(self, order: Order) -> None:
        raise NotImplementedError(f"what ships has no fail-point {order.point}")


class Fork:
    """A life forked from a server that has imported everything; see `tests.chaos.life`."""

    def __init__(self, environment: Mapping[str, str], folder: Path, log: Path) -> None:
        self._line: Connection
        self._line, theirs = forks.Pipe()
        self._process = forks.Process(target=live, args=(environment, folder, log, theirs))
        self._process.start()
        theirs.close()
        self._last_words: str | None = None

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    @property
    def exit_code(self) -> int | None:
        code: int | None = self._process.exitcode
        return code

    def wait(self, within_s: float) -> int:
        self._process.join(within_s)
        assert self.exit_code is not None, f"a worker does not leave within {within_s:g} s"
        return self.exit_code

    def obey(self, order: Order) -> None:
        with suppress(BrokenPipeError):
            self._line.send(order)

    @property
    def died_at(self) -> str | None:
        with suppress(EOFError, ConnectionResetError):
            while self._line.poll():
                self._last_words = self._line.recv()
        return self._last_words


LIVES: Mapping[str, Start] = {"sluice": Command.start, "warm": Command.fork, "fork": Fork}


class Worker:
    """A context manager around one life after the other; each writes its standard error to a file of its own.

    `endings` holds the exit codes of the lives that ended, negative for signals, `died_at` their fail-points.
    """

    def __init__(self, stage: Stage, number: int = 1) -> None:
        self.name = f"worker-{number}"
        self.endings: list[int] = []
        self.died_at: list[str | None] = []
        self.rests = False  # if so it is not started again
        self._stage = stage
        self._environment = stage.environment(self.name, free_port())
        self._port = int(self._environment["SLUICE_TELEMETRY__HTTP_PORT"])
        self._stats: dict[str, float] = {}
        self._life = self._start()

    @property
    def log(self) -> Path:
        """Standard error of the present life."""
        return self._file(f"{len(self.endings)}.log")

    @property
    def ready(self) -> bool:
        """Whether it can judge."""
        return not self.over and self._file("ready").exists()

    @property
    def stats(self) -> dict[str, float]:
        """What the present life has counted, or had when it was asked last; see `tests.support.scraped`."""
        if not self.over and (found := figures(self._port)):
            self._stats = found
        return self._stats

    @property
    def landed(self) -> int:
        """Verdicts committed in the present life."""
        return int(sum(count for name, count in self.stats.items() if name.startswith("verdicts.")))

    @property
    def over(self) -> bool:
        """Whether the present life has ended."""
        return self._life.exit_code is not None

    def tend(self) -> bool:
        """Start it again if it ended, and tell whether it had."""
        code = self._life.exit_code
        if code is None or self.rests:
            return False
        self.endings.append(code)
        self.died_at.append(self._life.died_at)
        self._stage.evict()
        self._life = self._start()
        return True

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it still lives."""
        with suppress(ProcessLookupError):
            os.kill(self._life.pid, number)

    def kill(self) -> None:
        """End it as the kernel's memory killer would; its decoders are left to notice by themselves."""
        self.send(signal.SIGKILL)
        self.wait()

    def obey(self, order: Order) -> None:
        """Let the present life die at a fail-point."""
        self._life.obey(order)

    def wait(self, within_s: float = LEAVE_WITHIN_S) -> int:
        """Wait for its end and return the exit code."""
        return self._life.wait(within_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.over:
            self.kill()

    def _file(self, kind: str) -> Path:
        return self._stage.folder / f"{self.name}.{kind}"

    def _start(self) -> Life:
        self._file("ready").unlink(missing_ok=True)
        self._stats = {}
        return LIVES[self._stage.lives](self._environment, self._stage.folder, self.log)

"""The processes of a demo besides the broker: consumers, started again as a supervisor would, and the simulator."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from sluice.core.errors import BadSettings, SluiceError, TooManyDeadLetters, WeightsNotAttested
from sluice.demo.embedded_broker import free_port, start_leashed, stop_leashed
from sluice.demo.evict_members import evict
from sluice.demo.plan import GROUP, Plan, Stage, as_file, flat
from sluice.settings.environment import without_settings

USAGE = 2
HOPELESS = {USAGE, BadSettings.exit_code, WeightsNotAttested.exit_code, TooManyDeadLetters.exit_code}
"""Exit codes after which starting again changes nothing."""

MOST_RESTARTS = 5
TAIL_LINES = 12

_ELSEWHERE = 'cd "$1" && shift && exec "$@"'
"""Runs a program in the demo's folder, where no `.env` of the user's is found."""


class ProcessFailed(SluiceError):
    """A process of the demo ended and is not started again; the message holds its last lines."""

    def __init__(self, name: str, code: int, log: Path) -> None:
        super().__init__("\n".join([f"{name} {ending(code)}; its last lines:", *tail(log)]))
        self.exit_code = code if code > 0 else 128 - code


class Consumer:
    """`sluice run` with settings of its own. `restarts` counts how often it was started again."""

    def __init__(self, stage: Stage, number: int) -> None:
        self._stage = stage
        self._number = number
        self._settings = stage.of_worker(number, "yaml")
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        """Where its metrics are served."""
        self._settings.write_text(as_file(stage.settings(number, port)), encoding="utf-8")
        self.restarts = -1
        self._start()

    @property
    def name(self) -> str:
        """What people call it."""
        return f"consumer {self._number}"

    @property
    def ready(self) -> bool:
        """Whether its models are loaded and its handles open."""
        return self._stage.of_worker(self._number, "ready").exists()

    def tend(self) -> str | None:
        """Start it again if it ended, and say so; raises ProcessFailed where a supervisor would give up."""
        code = self._process.poll()
        if code is None:
            return None
        if code in HOPELESS or self.restarts == MOST_RESTARTS:
            raise ProcessFailed(self.name, code, self._log)
        evict(self._stage.bootstrap_servers, GROUP, f"{GROUP}-{self._number}")
        self._start()
        return f"{self.name} {ending(code)}; started again"

    def kill(self) -> None:
        """End it as a power cut would: no signal handler, no drain."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Let it drain and wait for its end."""
        stop_leashed(self._process)

    @property
    def _log(self) -> Path:
        return self._stage.of_worker(self._number, f"{self.restarts}.log")

    def _start(self) -> None:
        self.restarts += 1
        self._stage.of_worker(self._number, "ready").unlink(missing_ok=True)
        self._process = _start(["sluice", "--config", str(self._settings), "run"], self._stage, self._log)


class Processes:
    """All consumers of a demo; leaving the block stops them."""

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self.consumers = [Consumer(stage, number) for number in range(1, plan.workers + 1)]

    @property
    def ready(self) -> bool:
        """Whether every consumer can judge."""
        return all(consumer.ready for consumer in self.consumers)

    def tend(self) -> list[str]:
        """Start again what ended; return what there is to say about it."""
        return [note for consumer in self.consumers if (note := consumer.tend())]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for consumer in self.consumers:
            consumer.stop()


class Simulator:
    """`python -m sluice_sim send`, which then goes on serving pictures; leaving the block stops it."""

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._log = stage.folder / "simulator.log"
        self._process = _start(["sluice_sim", "send", *flat(stage.simulator(plan))], stage, self._log)

    def alive(self) -> bool:
        """Return True; raises ProcessFailed when it ended, which it never does of itself."""
        code = self._process.poll()
        if code is not None:
            raise ProcessFailed("the simulator", code, self._log)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop_leashed(self._process)


def ending(code: int) -> str:
    """Say how a process ended: by an exit code, or by a signal (negative, or 128 and more from a shell)."""
    number = -code if code < 0 else code - 128
    if number > 0 and number in {int(known) for known in signal.Signals}:
        return f"was ended by {signal.Signals(number).name}"
    return f"ended with exit code {code}"


def tail(log: Path, lines: int = TAIL_LINES) -> list[str]:
    """Return the last lines of a log, none if there is no log."""
    return log.read_text("utf-8", "replace").splitlines()[-lines:] if log.exists() else []


def _start(module: Sequence[str], stage: Stage, log: Path) -> subprocess.Popen[bytes]:
    command = ["/bin/sh", "-c", _ELSEWHERE, "elsewhere", str(stage.folder), sys.executable, "-m", *module]
    return start_leashed(command, log, without_settings())

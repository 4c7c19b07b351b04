"""One `sluice run` under the eyes of a supervisor that starts it again at once."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.chaos.stage import Stage

SLUICE = Path(sys.executable).with_name("sluice")
LEAVE_WITHIN_S = 60.0


class Worker:
    """A context manager around a process; each life of it writes its standard error to a file of its own.

    `endings` holds the exit codes of the lives that ended, negative for signals.
    """

    def __init__(self, stage: Stage, number: int = 1) -> None:
        self.name = f"worker-{number}"
        self.endings: list[int] = []
        self._stage = stage
        self._process = self._start()

    @property
    def log(self) -> Path:
        """Standard error of the present life."""
        return self._file(f"{len(self.endings)}.log")

    @property
    def ready(self) -> bool:
        """Whether it can judge."""
        return self._process.poll() is None and self._file("ready").exists()

    @property
    def stats(self) -> dict[str, float]:
        """The live figures of the present life, at most half a second old."""
        stats = self._file("stats")
        return dict(json.loads(stats.read_text())) if stats.exists() else {}

    @property
    def landed(self) -> int:
        """Verdicts committed in the present life."""
        return int(sum(count for name, count in self.stats.items() if name.startswith("verdicts.")))

    @property
    def over(self) -> bool:
        """Whether the present life has ended."""
        return self._process.poll() is not None

    def tend(self) -> bool:
        """Start it again if it ended, and tell whether it had."""
        if not self.over:
            return False
        self.endings.append(self._process.returncode)
        self._stage.bury()
        self._process = self._start()
        return True

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as the kernel's memory killer would; its decoders are left to notice by themselves."""
        self.send(signal.SIGKILL)
        self._process.wait()

    def wait(self, within_s: float = LEAVE_WITHIN_S) -> int:
        """Wait for its end and return the exit code."""
        return self._process.wait(within_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.over:
            self.kill()

    def _file(self, kind: str) -> Path:
        return self._stage.folder / f"{self.name}.{kind}"

    def _start(self) -> subprocess.Popen[bytes]:
        for kind in ("ready", "stats"):
            self._file(kind).unlink(missing_ok=True)
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [SLUICE, "--debug", "run"],
                cwd=self._stage.folder,
                env=self._stage.environment(self.name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

"""The real command in a process that was forked where everything is imported: it starts in a third of the time.

Importing PyTorch and transformers costs more than all else that a start of `sluice run` does. A server that has
imported them, and has done nothing else, forks one process for each start: it has a number of its own, hears signals,
ends with an exit code, and can be killed. Tests of the start itself run the command; see `tests.support.commands`.
"""

import atexit
import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from tempfile import TemporaryDirectory
from typing import Any, Self

from sluice.__main__ import main

forks: Any = multiprocessing.get_context("forkserver")
"""The server. What it imports before it forks starts no thread."""
forks.set_forkserver_preload(["sluice.models.load", "sluice.services.moderator.app", "sluice.cli", "tests.chaos.life"])


class Forked:
    """A `sluice` with these arguments, with the names that `subprocess.Popen` has for what it does."""

    def __init__(
        self,
        arguments: tuple[str, ...],
        environment: Mapping[str, str],
        folder: Path,
        output: Path,
        errors: Path | None = None,
    ) -> None:
        """Start it in `folder`; what it says goes to `output`, and so do errors if no other file is named for them."""
        self._process = forks.Process(target=_live, args=(arguments, dict(environment), folder, output, errors))
        self._process.start()

    @property
    def pid(self) -> int:
        """Its number."""
        return int(self._process.pid)

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for signals; None while it lives."""
        return self.poll()

    def poll(self) -> int | None:
        """Return the exit code, negative for signals, or None while it lives."""
        code: int | None = self._process.exitcode
        return code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit code."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise TimeoutExpired("sluice", timeout or 0.0)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, if it lives."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it as the kernel would."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()


def run(
    arguments: tuple[str, ...], environment: Mapping[str, str], folder: Path, within_s: float
) -> CompletedProcess[bytes]:
    """Run `sluice` to its end, as `subprocess.run` does with what it captures."""
    with TemporaryDirectory() as place:
        output, errors = Path(place, "output"), Path(place, "errors")
        with Forked(arguments, environment, folder, output, errors) as process:
            code = process.wait(within_s)
        return CompletedProcess(arguments, code, output.read_bytes(), errors.read_bytes())


def settle(environment: Mapping[str, str], folder: Path, output: Path, errors: Path | None = None) -> None:
    """Make a forked process one that was started in `folder` with that environment, and writes to these files."""
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # else that of the server
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    importlib.invalidate_caches()
    with output.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if errors:
        with errors.open("wb") as file:
            os.dup2(file.fileno(), 2)


def _live(
    arguments: tuple[str, ...], environment: Mapping[str, str], folder: Path, output: Path, errors: Path | None
) -> None:
    settle(environment, folder, output, errors)
    sys.argv = ["sluice", *arguments]
    code: int | str | None = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    threading._shutdown()  # type: ignore[attr-defined]  # as the interpreter does at its end; multiprocessing leaves out
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))

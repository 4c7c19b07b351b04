"""Run a command within a limit: `python -m tests.support.limit SECONDS COMMAND...`, for macOS has no `timeout`.

A run that reaches the limit has hung. All its processes get SIGABRT, at which pytest shows what every thread is doing.
Children get it before their parents: a worker of pytest-xdist leaves its test as soon as its parent is gone.
"""

import signal
import sys
from typing import NoReturn

import psutil

OVER = 124  # the exit code of coreutils' timeout
LAST_WORDS_S = 10.0


def run(limit_s: float, command: list[str]) -> int:
    """Return the command's exit code; beyond the limit OVER, with nothing left of its processes."""
    process = psutil.Popen(command)
    try:
        return int(process.wait(limit_s))
    except psutil.TimeoutExpired:
        sys.stderr.write(f"\nStopped: {' '.join(command)} took longer than {limit_s:g} s (TEST_LIMIT_S); it hangs.\n")
        _stop([*reversed(process.children(recursive=True)), process])
        return OVER
    except KeyboardInterrupt:  # it has heard it, too
        return int(process.wait())


def _stop(processes: list[psutil.Process]) -> None:
    for number in (signal.SIGABRT, signal.SIGKILL):
        for process in processes:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue
        _, processes = psutil.wait_procs(processes, LAST_WORDS_S)


def main() -> NoReturn:
    """Leave with the command's exit code."""
    sys.exit(run(float(sys.argv[1]), sys.argv[2:]))


if __name__ == "__main__":
    main()

"""Run a command within a limit: `python -m tests.support.limit SECONDS COMMAND...`, for macOS has no `timeout`.

A run that reaches the limit has hung. All its processes get SIGABRT, at which pytest shows what every thread is doing:
one after the other, and children before their parents, for a worker leaves its test as soon as its parent is gone.
"""

import contextlib
import signal
import sys
import time
from typing import NoReturn

import psutil

OVER = 124  # the exit code of coreutils' timeout
LAST_WORDS_S = 10.0  # of each process


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
    _send(processes, signal.SIGSTOP)
    for process in processes:  # one at a time, for they write to one place
        _send([process], signal.SIGABRT)
        _send([process], signal.SIGCONT)
        end = time.monotonic() + LAST_WORDS_S
        while _lives(process) and time.monotonic() < end:
            time.sleep(0.02)
    _send(processes, signal.SIGKILL)
    psutil.wait_procs(processes, LAST_WORDS_S)


def _lives(process: psutil.Process) -> bool:
    """Return whether it still runs; one that its parent, which is stopped, has not asked after has ended."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _send(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def main() -> NoReturn:
    """Leave with the command's exit code."""
    sys.exit(run(float(sys.argv[1]), sys.argv[2:]))


if __name__ == "__main__":
    main()

"""What a process uses, as Linux counts it: memory, threads, open files; and its children."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Usage:
    """One look at a process and the processes below it; memory in bytes, resident."""

    rss: int
    threads: int
    files: int
    children: int
    children_rss: int


def usage(pid: int) -> Usage:
    """Look at the process now; raises psutil.NoSuchProcess when it is gone."""
    process = psutil.Process(pid)
    below = process.children(recursive=True)
    with process.oneshot():
        return Usage(
            process.memory_info().rss,
            process.num_threads(),
            process.num_fds(),
            len(below),
            sum(_rss(child) for child in below),
        )


def forget_peak(pid: int) -> None:
    """Let the peak begin anew, at what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_rss(pid: int) -> int:
    """Return the most bytes that were ever resident, or were since the peak was forgotten."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def children_peaks(pid: int) -> list[int]:
    """Return the most bytes that were ever resident in each process below this one."""
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):  # it may end at any moment
            found.append(peak_rss(child.pid))
    return found


def _rss(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:  # a decoder may be replaced at any moment
        return 0

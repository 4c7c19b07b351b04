"""Processor time, told apart by who spent it: what a busy machine changes least about a measurement."""

import time
from contextlib import suppress
from dataclasses import dataclass, field, fields

import numpy as np
import psutil

LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Spent:
    """Processor seconds: by this process, by a worker, by the processes below it, by the rest of ours, by everybody.

    Of the rest most is the broker's; another worker that is up meanwhile and has nothing to do is in it, too.
    """

    bench: float
    worker: float
    below: float
    broker: float
    machine: float

    @classmethod
    def by(cls, worker: psutil.Process) -> "Spent":
        """Count what was spent until now; whoever of ours is neither the worker nor below it counts as the broker."""
        below = worker.children(recursive=True)
        ours = {worker.pid, *(process.pid for process in below)}
        others = [process for process in psutil.Process().children(recursive=True) if process.pid not in ours]
        times = psutil.cpu_times()
        return cls(
            bench=seconds(psutil.Process()),
            worker=seconds(worker),
            below=sum(seconds(process, reaped=True) for process in below),
            broker=sum(map(seconds, others)),
            machine=sum(times) - times.idle - times.iowait - times.guest - times.guest_nice,
        )

    def since(self, before: "Spent") -> "Spent":
        """Return what was spent in between."""
        return Spent(*(getattr(self, each.name) - getattr(before, each.name) for each in fields(self)))


@dataclass(frozen=True, slots=True)
class Course:
    """What a process has used of the processor, its children left out, looked at again and again."""

    process: psutil.Popen
    times_s: list[float] = field(default_factory=list)
    used_s: list[float] = field(default_factory=list)

    def alive(self) -> bool:
        """Whether it still runs; looks again when the last look is a while ago."""
        now_s = time.time()
        if not self.times_s or now_s - self.times_s[-1] > LOOK_S:
            self.note(now_s, seconds(self.process))
        return self.process.poll() is None

    def note(self, at_s: float, used_s: float) -> None:
        """Keep how much had been used at a time since the epoch, both in seconds."""
        self.times_s.append(at_s)
        self.used_s.append(used_s)

    def between(self, start_s: float, end_s: float) -> float:
        """Return the seconds it used between two times since the epoch, on a line between two looks."""
        before, after = np.interp((start_s, end_s), self.times_s, self.used_s)
        return float(after - before)


def seconds(process: psutil.Process, *, reaped: bool = False) -> float:
    """Return the seconds of one process, and of its children that have ended where asked; 0 when it is gone."""
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        dead = times.children_user + times.children_system if reaped else 0.0
        return times.user + times.system + dead
    return 0.0

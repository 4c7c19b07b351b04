"""Processor time, told apart by who spent it: what a busy machine changes least about a measurement."""

from contextlib import suppress
from dataclasses import dataclass, fields

import psutil


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


def seconds(process: psutil.Process, *, reaped: bool = False) -> float:
    """Return the seconds of one process, and of its children that have ended where asked; 0 when it is gone."""
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        dead = times.children_user + times.children_system if reaped else 0.0
        return times.user + times.system + dead
    return 0.0

"""A fleet of replicas as flowing water: what deaths and rollouts add to the age of events. Seeded, no clock.

Every partition is a queue into which one event flows each second; a replica drains its partitions at its own rate, the
same share of what waits in each. So the oldest event that waits in a partition is as many seconds old as there are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import accumulate, takewhile
from math import inf
from random import Random
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Kind = Literal["death", "farewell", "given up", "back", "flowing again"]
NOBODY = -1


@dataclass(frozen=True, slots=True)
class Fleet:
    """Replicas of equal rate that share partitions; `busy` is the share of their rate that flows in.

    A silent member keeps its partitions for `session_s`; a process that starts anew judges after `load_s`. A rebalance
    stops for `stop_s` every partition when it is `eager`, else those that move.
    """

    replicas: int
    partitions: int
    busy: float
    session_s: float
    load_s: float
    stop_s: float
    eager: bool


@dataclass(frozen=True, slots=True)
class Departure:
    """A replica goes at `at_s`: in a death silently, else it says farewell and is let go at once."""

    at_s: float
    replica: int
    kind: Kind = "death"


def deaths(fleet: Fleet, seconds: float, *, life_s: float, seed: int) -> list[Departure]:
    """Let replicas die at random, each after `life_s` seconds on average."""
    dice = Random(seed)
    gaps = (dice.expovariate(fleet.replicas / life_s) for _ in iter(int, 1))
    return [
        Departure(at, dice.randrange(fleet.replicas)) for at in takewhile(lambda at: at < seconds, accumulate(gaps))
    ]


def rollout(fleet: Fleet, start_s: float, *, share: float) -> list[Departure]:
    """Restart all of them, such a share at a time, the next ones when the last judge again."""
    step = max(1, int(fleet.replicas * share))
    every_s = fleet.load_s + 3 * fleet.stop_s
    return [Departure(start_s + each // step * every_s, each, "farewell") for each in range(fleet.replicas)]


@dataclass(frozen=True, slots=True)
class Ages:
    """How many events landed at each age, in steps of `step_s` seconds."""

    counts: Floats
    step_s: float

    def beyond(self, age_s: float) -> float:
        """Return the share of events that were older than this when they landed."""
        return float(self.counts[round(age_s / self.step_s) + 1 :].sum() / self.counts.sum())

    def at(self, share: float) -> float:
        """Return the age that this share of the events does not exceed."""
        return float(np.searchsorted(np.cumsum(self.counts), share * self.counts.sum())) * self.step_s

    @property
    def longest(self) -> float:
        """The greatest age."""
        return float(np.flatnonzero(self.counts)[-1]) * self.step_s


class World:
    """Who owns which partition, who judges, what waits, and what is going to happen."""

    def __init__(self, fleet: Fleet, departures: Iterable[Departure]) -> None:
        self.fleet = fleet
        self.agenda: list[tuple[float, Kind, int]] = [(gone.at_s, gone.kind, gone.replica) for gone in departures]
        heapify(self.agenda)
        self.members = set(range(fleet.replicas))
        self.judging = np.ones(fleet.replicas, bool)
        self.owners = np.full(fleet.partitions, NOBODY)
        self.serves_from = np.zeros(fleet.partitions)
        self.waiting = np.zeros(fleet.partitions)
        self.rate = fleet.partitions / fleet.replicas / fleet.busy
        self.rebalance(-fleet.stop_s)

    def happen(self, now_s: float) -> float:
        """Let happen what is due; return when something happens next."""
        rebalance = False
        while self.agenda and self.agenda[0][0] <= now_s:
            _, kind, replica = heappop(self.agenda)
            rebalance |= self._happens(kind, replica, now_s)
        if rebalance:
            self.rebalance(now_s)
            heappush(self.agenda, (now_s + self.fleet.stop_s, "flowing again", NOBODY))
        return self.agenda[0][0] if self.agenda else inf

    def _happens(self, kind: Kind, replica: int, now_s: float) -> bool:
        """Change who is there; return whether the group hears of it."""
        fleet = self.fleet
        if kind in ("death", "farewell") and self.judging[replica]:
            self.judging[replica] = False
            away_s = max(fleet.load_s, fleet.session_s) if kind == "death" else fleet.load_s
            heappush(self.agenda, (now_s + away_s, "back", replica))
            if kind == "death":
                heappush(self.agenda, (now_s + fleet.session_s, "given up", replica))
        if kind == "back":
            self.judging[replica] = True
            self.members.add(replica)
            return True
        if kind in ("farewell", "given up") and not self.judging[replica]:
            self.members.discard(replica)
            return True
        return False

    def rebalance(self, now_s: float) -> None:
        """Share out the partitions evenly, moving as few as that takes."""
        before, self.owners = self.owners, np.full_like(self.owners, NOBODY)
        if self.members:
            quota = self._quota(before)
            order = np.argsort(before, kind="stable")
            rank = np.empty_like(before)  # of a partition among those of the same owner
            rank[order] = np.arange(len(before)) - np.searchsorted(before[order], before[order])
            stays = (before != NOBODY) & (rank < quota[before])
            self.owners[stays] = before[stays]
            missing = quota - np.bincount(before[stays], minlength=len(quota))
            self.owners[~stays] = np.repeat(np.arange(len(quota)), missing)
        moved = np.full(len(before), self.fleet.eager) | (before != self.owners)
        self.serves_from[moved] = now_s + self.fleet.stop_s

    def _quota(self, before: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many partitions each replica is to own, members that hold more now before others."""
        members = np.array(sorted(self.members))
        held = np.bincount(before[before != NOBODY], minlength=self.fleet.replicas)
        each, over = divmod(len(before), len(members))
        quota = np.zeros_like(held)
        quota[members[np.argsort(-held[members], kind="stable")]] = each + (np.arange(len(members)) < over)
        return quota

    def flows(self, now_s: float) -> NDArray[np.bool_]:
        """Return which partitions are served."""
        flows: NDArray[np.bool_] = (self.owners != NOBODY) & self.judging[self.owners] & (self.serves_from <= now_s)
        return flows

    def flow(self, flows: NDArray[np.bool_], seconds: float) -> tuple[Floats, Floats]:
        """Let events come and land for so long; return by partition the mean age of what landed, and how much."""
        demand = self.waiting + seconds
        load = np.bincount(self.owners[flows], demand[flows], self.fleet.replicas)
        share = np.minimum(1.0, self.rate * seconds / np.maximum(load, 1e-12))
        landed = np.where(flows, demand * share[self.owners], 0.0)
        before, self.waiting = self.waiting, demand - landed
        return (before + self.waiting) / 2, landed


def simulate(fleet: Fleet, departures: Iterable[Departure], seconds: float, *, step_s: float = 0.25) -> Ages:
    """Let events flow for so long; one that nothing keeps waiting lands at age 0."""
    world, now_s = World(fleet, departures), 0.0
    counts = np.zeros(round(seconds / step_s) + 2)
    while now_s < seconds:
        next_s = min(world.happen(now_s), seconds)
        flows = world.flows(now_s)
        if flows.all() and world.waiting.max() < 1e-9:
            counts[0] += fleet.partitions * (next_s - now_s)
            now_s = next_s
            continue
        until_s = min(now_s + step_s, next_s)
        ages, landed = world.flow(flows, until_s - now_s)
        found = np.bincount(np.rint(ages / step_s).astype(int), landed)
        counts[: len(found)] += found
        now_s = until_s
    return Ages(counts, step_s)

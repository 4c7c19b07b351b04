"""How far a log was read, and whether it ends there: what a store must know before it may say anything.

A reader of a log says again and again where its partitions end, and how far they were read. A partition is current
as of the last moment whose end was reached. So a follower that is dead, stuck or behind, a partition that was added and
is not read, and one that was lost all look alike: too old.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_NEVER = float("-inf")
_MOST_AIMS = 100


@dataclass(slots=True)
class _Partition:
    """Ends that were asked for and are not reached, each with the moment of asking; and as of when it is current."""

    aims: deque[tuple[int, float]] = field(default_factory=deque)
    current_s: float = _NEVER

    def aim(self, end: int, now_s: float) -> None:
        if end < 0:  # clients say so when they do not know
            self.aims.clear()
            self.current_s = _NEVER
            return
        if len(self.aims) >= _MOST_AIMS or (self.aims and self.aims[-1][0] == end):
            self.aims.pop()
        self.aims.append((end, now_s))

    def reached(self, position: int) -> None:
        while self.aims and self.aims[0][0] <= position:
            self.current_s = self.aims.popleft()[1]


class Replay:
    """The positions of a reader in all partitions of a log. One thread feeds it, any thread may ask."""

    def __init__(self, max_lag_s: float, clock: Callable[[], float]) -> None:
        self.positions: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._partitions: dict[int, _Partition] = {}
        self._max_lag_s = max_lag_s
        self._clock = clock

    def reached(self, partition: int, position: int) -> None:
        """Say that everything before this offset was read; going back takes nothing away."""
        self.positions[partition] = max(position, self.positions.get(partition, position))
        if partition in self._partitions:
            self._partitions[partition].reached(self.positions[partition])

    def aim(self, ends: Mapping[int, int], starts: Mapping[int, int]) -> str | None:
        """Say where every partition ends, and begins, asked after all that was read; no ends: they are not known.

        Returns why this is not the log that was read, in words; then the positions are forgotten.
        """
        fault = self._fault(ends, starts) if ends else None
        if fault:
            self.positions, self._ends, self._partitions = {}, {}, {}
        partitions = {number: self._partitions.get(number) or _Partition() for number in ends}
        for number, partition in partitions.items():
            partition.aim(ends[number], self._clock())
            partition.reached(self.positions.get(number, -1))
        self._ends |= {number: end for number, end in ends.items() if end >= 0}
        self._partitions = partitions
        return fault

    @property
    def current(self) -> bool:
        """Whether every partition was read to where it ended at most `max_lag_s` ago."""
        partitions, oldest_s = self._partitions, self._clock() - self._max_lag_s
        all_there = partitions.keys() == set(range(len(partitions))) and self.positions.keys() <= partitions.keys()
        return bool(partitions) and all_there and all(part.current_s >= oldest_s for part in partitions.values())

    def _fault(self, ends: Mapping[int, int], starts: Mapping[int, int]) -> str | None:
        for number in self.positions.keys() | self._ends.keys():
            position, start, end = self.positions.get(number), starts.get(number, 0), ends.get(number)
            if end is None:
                return f"partition {number} is not there any more: the topic was made anew"
            before = max(self._ends.get(number, 0), position or 0)
            if 0 <= end < before:
                return f"partition {number} ends at {end} and went to {before} before: the topic was made anew"
            if position is not None and position < start:
                return f"partition {number} was read to {position} and begins at {start}: verdicts were deleted unread"
        return None

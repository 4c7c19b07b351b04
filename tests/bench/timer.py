"""A fill timer: the rule that a partial batch waits for company until its oldest record is so old.

It stands here to be compared with (`python -m tests.bench latency`, `batching`); the product has none.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable

from sluice.core.records import Partition, Record
from sluice.stream.batch import Batch
from sluice.stream.batcher import Batcher
from sluice.stream.poison import NO_SUSPECTS, Suspects


class FillTimer(Batcher):
    """Cuts a full batch at once, a partial one once its oldest record waited `max_age_s`, however idle inference is."""

    def __init__(self, *, max_records: int, max_bytes: int, max_age_s: float, clock: Callable[[], float]) -> None:
        super().__init__(max_records=max_records, max_bytes=max_bytes)
        self._max_age_s = max_age_s
        self._clock = clock
        self._since_s: deque[float] = deque()

    def add(self, records: Iterable[Record]) -> None:
        """Let `records` wait from now on."""
        before = len(self)
        super().add(records)
        self._since_s.extend([self._clock()] * (len(self) - before))

    def cut(self, now_s: float, suspects: Suspects = NO_SUSPECTS, *, greedy: bool) -> Batch | None:  # noqa: ARG002
        """Return the next batch: a full one, or a partial one that is old enough."""
        aged = bool(self._since_s) and now_s - self._since_s[0] >= self._max_age_s
        batch = super().cut(now_s, suspects, greedy=aged)
        for _ in batch.records if batch else ():
            self._since_s.popleft()
        return batch

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget the waiting records of `partitions`."""
        pairs = zip(self._since_s, self._waiting, strict=True)
        self._since_s = deque(since_s for since_s, record in pairs if record.partition not in partitions)
        super().drop(partitions)

"""Cut the log into batches: by count, by bytes, by age. No clock of its own."""

from collections import deque
from collections.abc import Collection, Iterable

from sluice.core.domain import Batch, FillReason, Partition, Record


class Batcher:
    """Records wait here, in log order, until a flight has room for them.

    Greedy and late: nothing is cut before somebody asks, a full batch is cut at once, and a partial one as soon as
    its oldest record has waited `max_age_s` seconds. A record larger than `max_bytes` travels alone.
    """

    def __init__(self, *, max_records: int, max_bytes: int, max_age_s: float) -> None:
        self.max_records = max_records
        self.max_bytes = max_bytes
        self.max_age_s = max_age_s
        self._waiting: deque[tuple[float, Record]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        """Return how many records wait."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether a full batch is waiting."""
        return len(self._waiting) >= self.max_records or self._bytes >= self.max_bytes

    def add(self, records: Iterable[Record], now_s: float) -> None:
        """Let `records` wait; `now_s` is the monotonic clock."""
        for record in records:
            self._waiting.append((now_s, record))
            self._bytes += record.size_bytes

    def cut(self, now_s: float) -> Batch | None:
        """Return the next batch if one is due at `now_s`, else None."""
        if not self._waiting:
            return None
        if len(self._waiting) >= self.max_records:
            reason = FillReason.COUNT
        elif self._bytes >= self.max_bytes:
            reason = FillReason.BYTES
        elif now_s - self._waiting[0][0] >= self.max_age_s:
            reason = FillReason.AGE
        else:
            return None
        return Batch(tuple(self._take()), reason, now_s)

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget the waiting records of `partitions`: whoever owns them next reads them again."""
        kept = deque(entry for entry in self._waiting if entry[1].partition not in partitions)
        self._waiting = kept
        self._bytes = sum(record.size_bytes for _, record in kept)

    def _take(self) -> list[Record]:
        taken: list[Record] = []
        taken_bytes = 0
        while self._waiting and len(taken) < self.max_records:
            size = self._waiting[0][1].size_bytes
            if taken and taken_bytes + size > self.max_bytes:
                break
            taken.append(self._waiting.popleft()[1])
            taken_bytes += size
        self._bytes -= taken_bytes
        return taken

"""Cut the log into batches: by count, by bytes, by age. No clock of its own."""

from collections import deque
from collections.abc import Collection, Iterable

from sluice.core.domain import Batch, FillReason, Partition, Record
from sluice.core.poison import NOBODY, Suspects


class Batcher:
    """Records wait here, in log order, until a flight has room for them.

    Greedy and late: nothing is cut before somebody asks, a full batch is cut at once, and a partial one as soon as
    its oldest record has waited `max_age_s` seconds. A record larger than `max_bytes` travels alone, and so does a
    suspect: at once, and with its rejection once it is found guilty.
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

    def alone(self, suspects: Suspects) -> bool:
        """Whether the record that is next must travel alone."""
        return bool(self._waiting) and suspects.alone(self._waiting[0][1])

    def add(self, records: Iterable[Record], now_s: float) -> None:
        """Let `records` wait; `now_s` is the monotonic clock."""
        for record in records:
            self._waiting.append((now_s, record))
            self._bytes += record.size_bytes

    def cut(self, now_s: float, suspects: Suspects = NOBODY) -> Batch | None:
        """Return the next batch if one is due at `now_s`, else None."""
        if not self._waiting:
            return None
        if self.alone(suspects):
            (suspect,) = self._take(1, suspects)
            return Batch((suspect,), FillReason.ALONE, now_s, suspects.rejection(suspect))
        if len(self._waiting) >= self.max_records:
            reason = FillReason.COUNT
        elif self._bytes >= self.max_bytes:
            reason = FillReason.BYTES
        elif now_s - self._waiting[0][0] >= self.max_age_s:
            reason = FillReason.AGE
        else:
            return None
        return Batch(tuple(self._take(self.max_records, suspects)), reason, now_s)

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget the waiting records of `partitions`: whoever owns them next reads them again."""
        kept = deque(entry for entry in self._waiting if entry[1].partition not in partitions)
        self._waiting = kept
        self._bytes = sum(record.size_bytes for _, record in kept)

    def _take(self, limit: int, suspects: Suspects) -> list[Record]:
        taken: list[Record] = []
        taken_bytes = 0
        while self._waiting and len(taken) < limit:
            head = self._waiting[0][1]
            if taken and (taken_bytes + head.size_bytes > self.max_bytes or suspects.alone(head)):
                break
            self._waiting.popleft()
            taken.append(head)
            taken_bytes += head.size_bytes
        self._bytes -= taken_bytes
        return taken

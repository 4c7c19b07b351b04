"""Cut the log into batches: by count, by bytes, or as it stands. No clock of its own."""

from collections import deque
from collections.abc import Collection, Iterable, Iterator

from sluice.core.records import Partition, Record
from sluice.stream.batch import Batch, FillReason
from sluice.stream.poison import NO_SUSPECTS, Suspects


class Batcher:
    """Records wait here, in log order, until a flight has room for them.

    Greedy and late: nothing is cut before the loop asks, a full batch then is, and a partial one when the asker would
    else run short of work. So batches are as large as what came meanwhile, and no record waits for company. A record
    larger than `max_bytes` travels alone, and so does a suspect: at once, and with its rejection once it is found
    guilty.
    """

    def __init__(self, *, max_records: int, max_bytes: int) -> None:
        self.max_records = max_records
        self.max_bytes = max_bytes
        self._waiting: deque[Record] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        """Return how many records wait."""
        return len(self._waiting)

    def __iter__(self) -> Iterator[Record]:
        """Yield the records that wait, in log order."""
        return iter(self._waiting)

    @property
    def full(self) -> bool:
        """Whether a full batch is waiting."""
        return len(self._waiting) >= self.max_records or self._bytes >= self.max_bytes

    def alone(self, suspects: Suspects) -> bool:
        """Whether the record that is next must travel alone."""
        return bool(self._waiting) and suspects.alone(self._waiting[0])

    def add(self, records: Iterable[Record]) -> None:
        """Let `records` wait."""
        for record in records:
            self._waiting.append(record)
            self._bytes += record.size_bytes

    def cut(self, now_s: float, suspects: Suspects = NO_SUSPECTS, *, greedy: bool) -> Batch | None:
        """Return the next batch: a full one, and if `greedy` a partial one, too. `now_s` is the monotonic clock."""
        if not self._waiting:
            return None
        if self.alone(suspects):
            (suspect,) = self._take(1, suspects)
            return Batch((suspect,), FillReason.ALONE, now_s, suspects.rejection(suspect))
        if len(self._waiting) >= self.max_records:
            reason = FillReason.COUNT
        elif self._bytes >= self.max_bytes:
            reason = FillReason.BYTES
        elif greedy:
            reason = FillReason.GREEDY
        else:
            return None
        return Batch(tuple(self._take(self.max_records, suspects)), reason, now_s)

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget the waiting records of `partitions`: their next owner reads them again."""
        self._waiting = deque(record for record in self._waiting if record.partition not in partitions)
        self._bytes = sum(record.size_bytes for record in self._waiting)

    def _take(self, limit: int, suspects: Suspects) -> list[Record]:
        taken: list[Record] = []
        taken_bytes = 0
        while self._waiting and len(taken) < limit:
            head = self._waiting[0]
            if taken and (taken_bytes + head.size_bytes > self.max_bytes or suspects.alone(head)):
                break
            self._waiting.popleft()
            taken.append(head)
            taken_bytes += head.size_bytes
        self._bytes -= taken_bytes
        return taken

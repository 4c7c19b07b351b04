"""The fuse: too many dead letters mean that something else is broken, so stop and say so."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sluice.core.errors import TooManyDeadLetters
from sluice.core.records import Partition
from sluice.stream.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Fuse:
    """How many of the last records, and how many in a row per partition, were dead letters.

    A value: `after` returns the fuse as it will be once the outcomes are committed, so that an aborted transaction,
    whose outcomes are committed later, counts them once. The share counts only over a full window: at start, one bad
    record in three is no alarm.
    """

    max_share: float
    window: int
    max_run: int
    recent: tuple[bool, ...] = ()
    runs: dict[Partition, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Dead letters among the remembered records, 0 to 1."""
        return sum(self.recent) / len(self.recent) if self.recent else 0.0

    def level(self, ours: Collection[Partition]) -> float:
        """Return the largest share used of a limit, 0 to 1, where 1 is blown; of the runs those in `ours` count."""
        run = max((self.runs.get(partition, 0) for partition in ours), default=0)
        return max(run / (self.max_run + 1), sum(self.recent) / (int(self.max_share * self.window) + 1))

    def after(self, outcomes: Sequence[Outcome]) -> "Fuse":
        """Return the fuse after `outcomes`; raises TooManyDeadLetters where a limit is passed."""
        runs = dict(self.runs)
        for outcome in outcomes:
            partition = outcome.record.partition
            runs[partition] = runs.get(partition, 0) + 1 if outcome.rejected else 0
            if runs[partition] > self.max_run:
                raise TooManyDeadLetters(
                    f"{runs[partition]} dead letters in a row in {partition.topic}/{partition.index}, the last:"
                    f" {outcome.rejected}",
                    setting="fuse.max_run",
                    remedy=f"mend the cause, or raise SLUICE_FUSE__MAX_RUN (now {self.max_run})",
                )
        flags = (bool(outcome.rejected) for outcome in outcomes)
        fuse = Fuse(self.max_share, self.window, self.max_run, (*self.recent, *flags)[-self.window :], runs)
        if len(fuse.recent) == self.window and fuse.share > self.max_share:
            raise TooManyDeadLetters(
                f"{fuse.share:.1%} of the last {self.window} records were dead letters",
                setting="fuse.max_share",
                remedy=f"mend the cause, or raise SLUICE_FUSE__MAX_SHARE (now {self.max_share})",
            )
        return fuse

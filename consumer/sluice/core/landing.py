"""A landing: one transaction, with every message and offset of the outcomes given, or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from sluice.core.books import Books
from sluice.core.deadletter import Fuse
from sluice.core.domain import Outcome, next_offsets
from sluice.core.errors import TooManyDeadLetters, TransactionAborted
from sluice.core.events import tell
from sluice.core.seams import Committer, Source


@dataclass(slots=True)
class Landing:
    """Lands outcomes, unless the fuse blows."""

    source: Source
    committer: Committer
    fuse: Fuse
    books: Books

    def __post_init__(self) -> None:
        self.books.observe("sluice.fuse.level", 0, {})

    def done(self, outcomes: Sequence[Outcome]) -> bool:
        """Publish `outcomes` and commit their offsets; return whether that was done, else nothing was.

        Raises TooManyDeadLetters before anything is published, Fatal errors as they come.
        """
        fuse = self._fuse_after(outcomes)
        messages = [message for outcome in outcomes for message in outcome.messages]
        started = self.books.time.clock()
        try:
            with self.books.time.during("commit"):
                self.committer.commit(messages, next_offsets(outcomes), self.source.group_metadata())
        except TransactionAborted as error:
            self.books.observe("sluice.transactions.aborted", 1, {})
            tell("transaction_aborted", error=str(error))
            return False
        self.fuse = fuse
        self.books.landed(outcomes, messages, self.books.time.clock() - started)
        return True

    def _fuse_after(self, outcomes: Sequence[Outcome]) -> Fuse:
        try:
            fuse = self.fuse.after(outcomes)
        except TooManyDeadLetters:
            self.books.observe("sluice.fuse.level", 1, {})
            raise
        self.books.observe("sluice.fuse.level", fuse.level(self.source.assignment), {})
        return fuse

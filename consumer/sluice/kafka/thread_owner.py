"""One owner per handle: with confluent-kafka 2.16.1 a second thread that asked a consumer during a rebalance hung."""

import threading


class ThreadOwner:
    """The thread that made it, and no other."""

    def __init__(self, handle: str) -> None:
        self._handle = handle
        self._thread = threading.get_ident()

    def check(self) -> None:
        """Raise RuntimeError on any other thread."""
        if threading.get_ident() != self._thread:
            raise RuntimeError(f"the {self._handle} is used by a thread that does not own it")

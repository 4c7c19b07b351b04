"""The signals that ask a command to end."""

import signal
from collections.abc import Callable
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def stop_by(handler: Callable[[int, FrameType | None], None]) -> None:
    """Let `handler` hear the signals that ask to stop; a SIGHUP that is ignored, as under `nohup`, stays so."""
    for number in STOPPING:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)

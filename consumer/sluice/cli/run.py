"""`sluice run`: the consumer itself."""

import os
import signal
from types import FrameType

import typer

from sluice.cli.frame import INTERRUPTED, settings_of


class Stop:
    """The first SIGTERM or SIGINT asks for a drain, the second leaves at once: nothing half-done can be committed."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def __call__(self) -> bool:
        """Whether somebody asked."""
        return self._asked

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        if self._asked:
            os._exit(INTERRUPTED)
        self._asked = True


def run(context: typer.Context) -> None:
    """Consume image events until SIGTERM: verdicts, quality and dead letters go out, exactly once."""
    settings = settings_of(context)
    stop = Stop()
    from sluice import app

    app.run(settings, stop)

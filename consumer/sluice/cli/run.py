"""`sluice run`: the consumer itself."""

import os
import signal
from types import FrameType

import typer

from sluice.cli.frame import INTERRUPTED, settings_of
from sluice.cli.signals import stop_by
from sluice.core.extras import needs
from sluice.settings import surroundings


class Stop:
    """The first SIGTERM, SIGINT or SIGHUP asks for a drain, a second SIGTERM or SIGINT leaves at once.

    Nothing half-done can be committed then. A second SIGHUP is no haste: a shell and its terminal both send one.

    While models load and the self-test runs there is nothing to drain, and the first one leaves at once, too.
    """

    def __init__(self) -> None:
        self._asked = False
        self._heeded = False
        stop_by(self._ask)

    def __call__(self) -> bool:
        """Whether a signal came."""
        self._heeded = True
        return self._asked

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if not self._heeded or (self._asked and number != signal.SIGHUP):
            os._exit(INTERRUPTED)
        self._asked = True


@needs("moderator")
def run(context: typer.Context) -> None:
    """Consume image events until SIGTERM, SIGINT or SIGHUP: verdicts, quality and dead letters go out, exactly once."""
    settings = settings_of(context)
    surroundings.check(settings)
    stop = Stop()
    from sluice.services.moderator import app

    app.run(settings, stop)

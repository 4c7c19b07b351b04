"""What the pipeline asks of the models."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future

from sluice.core.errors import Rejection
from sluice.moderation.values import Job, Scores

Began = Callable[[], None]
"""Called once, by any thread, when the models begin with what was asked for."""

Infer = Callable[[Sequence[Job], Began], Future[list[Scores | Rejection]]]
"""Pictures go in; for each, scores or the reason there are none."""

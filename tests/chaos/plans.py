"""Named plans: what goes wrong in a trial, and when."""

from collections.abc import Mapping
from time import monotonic

from tests.chaos.trial import Plan, Trial
from tests.chaos.worker import Worker

LATEST = 0.9  # of the events: later, the flow might end before the fault
PHASE_S = 0.15  # an observer sees a commit when it is over; so a fault waits a moment, to meet every phase of a turn


def kills(trial: Trial) -> None:
    """`kill -9`, spread by progress over the whole run; each hits a worker that has landed something in this life."""
    share = LATEST * trial.size.events / max(1, trial.size.kills)
    for number in range(trial.size.kills):
        _await_flow(trial, int(share * (number + trial.rng.random())))
        if trial.settled:
            return
        trial.kill(trial.rng.choice(_at_work(trial)))


def _await_flow(trial: Trial, due: int) -> None:
    """Wait until so many events are answered and somebody is at work, then for a moment of the trial's dice."""
    trial.until(lambda: trial.settled or (trial.answered >= due and bool(_at_work(trial))))
    strike_at = monotonic() + trial.rng.uniform(0, PHASE_S)
    trial.until(lambda: trial.settled or (monotonic() >= strike_at and bool(_at_work(trial))))


def _at_work(trial: Trial) -> list[Worker]:
    return [worker for worker in trial.workers if worker.ready and worker.landed]


PLANS: Mapping[str, Plan] = {"kills": kills}

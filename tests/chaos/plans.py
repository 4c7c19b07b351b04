"""Named plans: what goes wrong in a trial, and when."""

import signal
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
from math import inf
from time import monotonic

from tests.chaos.failpoints import POINTS, Order
from tests.chaos.outcome import DISMISS, HIRE, KILL, RESTART, ZOMBIE
from tests.chaos.trial import Plan, Trial
from tests.chaos.worker import Worker

LATEST = 0.9  # of the events: later, the flow might end before the fault
FLOW = 50  # events that wait make a flow
PHASE_S = 0.15  # an observer sees a commit when it is over; so a fault waits a moment, to meet every phase of a turn
ASK_EVERY_S = 0.5
ASLEEP_S = (0.0, 12.0)  # beyond being overtaken: some wake before their transaction times out, some after
MOST_WORKERS = 6
ROLES = ("transaction coordinator", "group coordinator", "leader")
LATEST_PASSAGE = 5  # of a fail-point; some hits are to strike a fresh transaction, some one after others
IN_COMMIT_S = 0.008  # a commit takes longer
DOWN_S = (4.0, 12.0)  # long enough for the others to notice


def kills(trial: Trial) -> None:
    """`kill -9`, spread by progress over the whole run; each hits a worker that has landed something in this life."""
    for _ in strikes(trial):
        _kill(trial, trial.rng.choice(at_work(trial)))


def failpoints(trial: Trial) -> None:
    """`kill -9` at each fail-point in turn; a life that ended otherwise does not count and the next one is told."""
    for number in strikes(trial):
        while not (trial.settled or _fail(trial, trial.rng.choice(at_work(trial)), POINTS[number % len(POINTS)])):
            _await_flow(trial, trial.answered)


def zombies(trial: Trial) -> None:
    """SIGSTOP until the group has given the worker up and others have moved on in its partitions, then SIGCONT."""
    for _ in strikes(trial):
        while not (trial.settled or _suspend(trial, trial.rng.choice(at_work(trial)))):
            _await_flow(trial, trial.answered)
        trial.until(_complete(trial))


def brokers(trial: Trial) -> None:
    """`kill -9` of a transaction coordinator, the group's coordinator and a leader in turn; each is started again."""
    for number in strikes(trial):
        _lose_broker(trial, ROLES[number % len(ROLES)])


def rolling(trial: Trial) -> None:
    """SIGTERM to one worker after the other; each is started again at once."""
    for number in strikes(trial):
        _restart(trial, trial.workers[number % len(trial.workers)])


def scale(trial: Trial) -> None:
    """Workers come one after the other until there are six, then leave likewise, and again."""
    rounds = cycle([_hire] * (MOST_WORKERS - trial.size.workers) + [_dismiss] * (MOST_WORKERS - trial.size.workers))
    for _, change in zip(strikes(trial), rounds, strict=False):
        change(trial)


def _kill(trial: Trial, worker: Worker) -> None:
    worker.kill()
    trial.note(KILL, worker.name, mended=lambda: worker.ready)


def _fail(trial: Trial, worker: Worker, point: str) -> bool:
    """Let a life die at a point, and tell whether it did."""
    life, trial.budget = len(worker.endings), inf  # it may take several transactions more

    def over() -> bool:
        return trial.settled or len(worker.endings) > life

    if point == "in_on_revoke":
        worker.obey(Order(point, trial.rng.randint(1, 2)))
        while not over():  # a group may settle without taking anything from just this worker
            trial.until(lambda: over() or all(each.ready for each in trial.workers))  # SIGTERM kills who only starts
            if over():
                break
            _send_away(trial, trial.rng.choice([each for each in trial.workers if each is not worker]), over)
            trial.until(_either(over, _complete(trial)))
    else:
        worker.obey(Order(point, trial.rng.randint(1, LATEST_PASSAGE), trial.rng.uniform(0, IN_COMMIT_S)))
    trial.until(over)
    if worker.died_at[life:] != [point]:
        return False
    trial.note(point, worker.name, mended=lambda: worker.ready)
    return True


def _either(one: Callable[[], bool], other: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: one() or other()


def _send_away(trial: Trial, worker: Worker, over: Callable[[], bool]) -> None:
    """Let a worker leave and come back once the others share its partitions, or `over`; then they must give some up."""
    worker.rests = True
    worker.send(signal.SIGTERM)
    shared = _now_and_then(lambda: worker.over and set(trial.group.owners().values()) == _names(trial) - {worker.name})
    trial.until(lambda: over() or shared())
    worker.rests = False


def _names(trial: Trial) -> set[str]:
    return {worker.name for worker in trial.workers}


def _suspend(trial: Trial, worker: Worker) -> bool:
    """Stop a worker in mid-flow and wake it when it was overtaken; False if it had nothing to do at that moment."""
    held = {index for index, owner in trial.group.owners().items() if owner == worker.name}
    worker.send(signal.SIGSTOP)
    try:
        waiting = trial.waiting(held, trial.group.committed())
        if not waiting:
            return False
        fault = trial.note(ZOMBIE, worker.name, mended=_overtaken(trial, worker, held), waiting=waiting)
        trial.until(lambda: trial.settled or fault.recovered_s is not None)
        trial.doze(trial.rng.uniform(*ASLEEP_S))
    finally:
        worker.send(signal.SIGCONT)
    return True


def _complete(trial: Trial) -> Callable[[], bool]:
    """Return a question: whether every worker owns partitions again, if there is still work."""
    everybody = _now_and_then(lambda: len(set(trial.group.owners().values())) == len(trial.workers))
    return lambda: trial.settled or everybody()


def _overtaken(trial: Trial, worker: Worker, held: set[int]) -> Callable[[], bool]:
    """Return a question: whether others own these partitions now, and have committed in one since they do."""
    taken_at: dict[int, int] | None = None

    def overtaken() -> bool:
        nonlocal taken_at
        committed = trial.group.committed()
        if taken_at is not None:
            return any(committed.get(index, 0) > taken_at.get(index, 0) for index in held)
        owners = trial.group.owners()
        if held <= owners.keys() and worker.name not in owners.values():
            taken_at = committed
        return False

    return _now_and_then(overtaken)


def _lose_broker(trial: Trial, role: str) -> None:
    cluster, node = trial.stage.cluster, _broker(trial, role)
    assert cluster, "one broker of one is no fault to get over"
    cluster.kill(node)
    fault = trial.note(role, f"broker-{node}", mended=_now_and_then(lambda: cluster.whole))
    trial.doze(trial.rng.uniform(*DOWN_S))
    cluster.restart(node)
    trial.until(lambda: fault.ready_s is not None)


def _restart(trial: Trial, worker: Worker) -> None:
    life = len(worker.endings)
    worker.send(signal.SIGTERM)
    fault = trial.note(RESTART, worker.name, mended=lambda: len(worker.endings) > life and worker.ready)
    trial.until(lambda: fault.ready_s is not None)


def _hire(trial: Trial) -> None:
    worker = trial.hire()
    fault = trial.note(HIRE, worker.name, mended=_complete(trial))
    trial.until(lambda: trial.settled or fault.ready_s is not None)


def _dismiss(trial: Trial) -> None:
    worker = trial.dismiss()
    fault = trial.note(DISMISS, worker.name, mended=lambda: worker.over)
    trial.until(lambda: fault.ready_s is not None)


def _broker(trial: Trial, role: str) -> int:
    match role:
        case "transaction coordinator":
            worker = trial.rng.choice(at_work(trial))
            return trial.group.transaction_coordinator(trial.stage.transactional_id(worker.name))
        case "group coordinator":
            return trial.group.coordinator()
        case _:
            return trial.group.leader(trial.rng.randrange(trial.stage.partitions))


def strikes(trial: Trial) -> Iterator[int]:
    """Yield the number of each fault when it is due, at somebody's work; end early when there is no work any more."""
    share = LATEST * trial.size.events / max(1, trial.size.faults)
    for number in range(trial.size.faults):
        trial.budget = share * (number + 1)
        _await_flow(trial, int(share * (number + trial.rng.random())))
        if trial.settled:
            return
        yield number


def _await_flow(trial: Trial, due: int) -> None:
    """Wait until so many events are answered, others wait and somebody is at work, then for a moment of the dice."""
    enough = min(FLOW, trial.size.backlog // 2)

    def flowing() -> bool:
        trial.budget = max(trial.budget, len(trial.feed.sent) + trial.size.backlog)
        return bool(at_work(trial)) and (trial.unanswered >= enough or trial.feed.over)

    trial.until(lambda: trial.settled or (trial.answered >= due and flowing()))
    strike_at = monotonic() + trial.rng.uniform(0, PHASE_S)
    trial.until(lambda: trial.settled or (monotonic() >= strike_at and flowing()))


def at_work(trial: Trial) -> list[Worker]:
    return [worker for worker in trial.workers if worker.ready and worker.landed]


def _now_and_then(question: Callable[[], bool]) -> Callable[[], bool]:
    """Ask a question that takes its time twice a second at most; no, in between."""
    ask_at = monotonic() + ASK_EVERY_S

    def answer() -> bool:
        nonlocal ask_at
        if monotonic() < ask_at:
            return False
        yes = question()
        ask_at = monotonic() + ASK_EVERY_S
        return yes

    return answer


PLANS: Mapping[str, Plan] = {
    "kills": kills, "failpoints": failpoints, "zombies": zombies, "brokers": brokers, "rolling": rolling,
    "scale": scale,
}  # fmt: skip

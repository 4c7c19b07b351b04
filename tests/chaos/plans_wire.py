"""Plans for workers behind a proxy: what the network delivers late, breaks off, or loses.

With CHAOS_DEAF=1 in the environment workers do not hear of their producers' errors, and so recycle none: `endtxn` is
then not exact, as proof that it would find out.
"""

import signal
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from time import monotonic

from tests.chaos.plans import LATEST, at_work, strikes
from tests.chaos.proxy import Proxy
from tests.chaos.trial import Trial
from tests.chaos.wire import Act, Api, Request, Rule
from tests.chaos.worker import Worker

LATE_S = 20.0
OPEN_S = 5.0  # at most, how long a transaction is kept open for what comes late
HALF_S = 15.0  # after so long half of an EndTxn's share of events may have been sent
ANSWERS: Mapping[int | None, str] = {None: "never answered", 47: "INVALID_PRODUCER_EPOCH", 90: "PRODUCER_FENCED"}
STEPS = (Api.PRODUCE, Api.ADD_PARTITIONS_TO_TXN, Api.ADD_OFFSETS_TO_TXN, Api.TXN_OFFSET_COMMIT, Api.END_TXN)
READING = {"classic": (Api.FETCH, Api.HEARTBEAT), "consumer": (Api.FETCH, Api.CONSUMER_GROUP_HEARTBEAT)}
STARTING = {
    "classic": (Api.JOIN_GROUP, Api.SYNC_GROUP, Api.INIT_PRODUCER_ID),
    "consumer": (Api.CONSUMER_GROUP_HEARTBEAT, Api.INIT_PRODUCER_ID),
}
ACTS = (Act.RESET, Act.CUT, Act.DELAY, Act.DROP)
DELAYS_S = (0.1, 10.0)


def endtxn(trial: Trial, proxy: Proxy) -> None:
    """Hold an EndTxn of every worker for 20 s while the worker repeats it, then deliver it into a later transaction."""
    courses: dict[str, Iterator[float]] = {}
    left, over = trial.size.faults, 0
    share = LATEST * trial.size.events / trial.size.faults

    def go_on() -> bool:
        nonlocal left, over
        for worker in at_work(trial):
            if worker.name not in courses and left:
                courses[worker.name] = _late(trial, proxy, worker)
                left -= 1
        done = {name: next(course, 1.0) for name, course in courses.items()}
        trial.budget = trial.size.backlog + share * (over + sum(done.values()))
        for name in [name for name, part in done.items() if part == 1]:
            del courses[name]
            over += 1
        return over == trial.size.faults

    trial.until(lambda: trial.settled or go_on())


def network(trial: Trial, proxy: Proxy) -> None:
    """Reset connections, lose answers, delay or swallow requests of every kind; for some a worker must start again."""
    starting = STARTING[trial.stage.protocol]
    for number in strikes(trial):
        api = trial.rng.choice((STEPS, READING[trial.stage.protocol], STEPS, starting)[number % 4])
        act = ACTS[number // 4 % len(ACTS)]
        rule = proxy.add(Rule(act, partial(_is, api), seconds=act == Act.DELAY and trial.rng.uniform(*DELAYS_S)))
        if api in starting:
            trial.rng.choice(trial.workers).send(signal.SIGTERM)
        trial.until(lambda rule=rule: trial.settled or bool(rule.hits))  # type: ignore[misc]
        for hit in rule.hits:
            trial.note(f"{act} {api.name}", hit.request.client, mended=hit.over.is_set)


def _late(trial: Trial, proxy: Proxy, worker: Worker) -> Iterator[float]:
    """Go through one delayed EndTxn; while there is nothing to do, yields which part of its events may have been sent.

    They go slowly enough to be there at its end, and never stop.
    """
    name = trial.stage.transactional_id(worker.name)
    held = proxy.add(Rule(Act.HOLD, partial(_is, Api.END_TXN, transactional_id=name), seconds=600))
    while not held.hits:
        yield 0.0
    (late,) = held.hits
    fault = trial.note("late EndTxn", worker.name, mended=late.over.is_set, waiting=max(1, trial.unanswered))
    since = monotonic()
    while monotonic() < since + LATE_S:
        yield _sent(since)
    begun = proxy.add(Rule(Act.DELAY, partial(_is, Api.TXN_OFFSET_COMMIT, transactional_id=name), seconds=OPEN_S))
    while not begun.hits:
        yield _sent(since)
    late.free()
    while not late.over.is_set():
        yield _sent(since)
    begun.hits[0].free()
    fault.target += f", {late.kept_s:.1f} s late, {ANSWERS.get(late.error, late.error)}"


def _sent(since: float) -> float:
    return 1 - 1 / (1 + (monotonic() - since) / HALF_S)


def _is(api: Api, request: Request, *, transactional_id: str = "") -> bool:
    return request.api == api and (not transactional_id or request.transactional_id == transactional_id)


WIRE_PLANS: Mapping[str, Callable[[Trial, Proxy], None]] = {"endtxn": endtxn, "network": network}


def behind(proxy: Proxy) -> dict[str, str]:
    """Return the settings that lead workers through a proxy."""
    return {"SLUICE_KAFKA__BOOTSTRAP_SERVERS": proxy.address}

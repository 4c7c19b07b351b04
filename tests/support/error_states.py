"""What the committer is to make of every error of every request of a transaction, on librdkafka's cluster in memory.

A row is a request, some errors, and what follows when one is met once, three times in a row, and until the time is
over. The loop tries again what is aborted, so there is an outcome for each try; `!` after one means that the producer
was let go of, `+` that it may come several times, without a promise how often.

Errors go by what the broker says. librdkafka tries some of them again by itself, calls some abortable and some fatal,
and every code it does not know is abortable: a confirmed abort says that nothing was published, so we may go on.
"""

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from confluent_kafka import KafkaError

from tests.support.buses import until
from tests.support.mock_cluster import Api
from tests.support.trials import COMMITTED, PATIENCE_S, Attempt, Trial, alive

NAMES = {code: name for name, code in vars(KafkaError).items() if isinstance(code, int)}
UNDEFINED = 9999  # an error code of Kafka's future
SOME_TIME_S = 1.0
BOUND_S = 5.0
TIMES = {"once": 1, "three times": 3, "always": 300}
WORLDS, BATCHES, TRIES = 12, 4, 20
MILDNESS = 0.95  # the share of mishaps after which a batch is still committed

LATER = [KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.NOT_COORDINATOR, KafkaError.CONCURRENT_TRANSACTIONS]
CUT = [KafkaError._TRANSPORT]
STRANGE = [KafkaError.UNKNOWN, UNDEFINED]
STRANGER = [KafkaError.UNKNOWN_PRODUCER_ID, KafkaError.INVALID_PRODUCER_ID_MAPPING]
EPOCH = [KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED]
STATE = [KafkaError.INVALID_TXN_STATE]
DENIED = [KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED]
EVICTED = [KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID]


@dataclass(frozen=True, slots=True)
class Step:
    """A request of a transaction."""

    name: str
    api: Api
    opens: bool = False
    """Whether it comes before the first transaction."""
    evicted: bool = False
    """Whether the offsets are refused, so that there is something to abort."""


FIND = Step("FindCoordinator", Api.FIND_COORDINATOR, opens=True)
FIND_GROUP = Step("FindCoordinator of the group", Api.FIND_COORDINATOR)
INIT = Step("InitProducerId", Api.INIT_PRODUCER_ID, opens=True)
PARTITIONS = Step("AddPartitionsToTxn", Api.ADD_PARTITIONS_TO_TXN)
PRODUCE = Step("Produce", Api.PRODUCE)
OFFSETS = Step("AddOffsetsToTxn", Api.ADD_OFFSETS_TO_TXN)
GROUP = Step("TxnOffsetCommit", Api.TXN_OFFSET_COMMIT)
COMMIT = Step("EndTxn that commits", Api.END_TXN)
ABORT = Step("EndTxn that aborts", Api.END_TXN, evicted=True)

# fmt: off
ROWS: list[tuple[Step, Sequence[int], str, str, str]] = [
    # request    errors    once    three times    until the time is over
    (FIND, [*LATER, *CUT, *STRANGE], "committed", "committed", "aborted"),
    (FIND, [*DENIED, KafkaError.CLUSTER_AUTHORIZATION_FAILED], "fatal", "fatal", "fatal"),

    # Refused three times in a row, librdkafka never asks again, nor returns (librdkafka#5456).
    (FIND_GROUP, [KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS],
     "committed", "aborted+ committed", "aborted!"),
    (FIND_GROUP, STRANGE, "aborted committed", "aborted aborted aborted committed", "aborted"),
    (FIND_GROUP, [KafkaError.GROUP_AUTHORIZATION_FAILED, *DENIED], "fatal", "fatal", "fatal"),

    (INIT, [*LATER, *CUT, *STRANGE], "committed", "committed", "aborted"),
    (INIT, EPOCH, "fenced", "fenced", "fenced"),
    (INIT, [*DENIED, KafkaError.INVALID_TRANSACTION_TIMEOUT], "fatal", "fatal", "fatal"),

    (PARTITIONS, LATER, "committed", "committed", "aborted"),
    (PARTITIONS, CUT, "committed!", "committed!", "aborted!"),
    (PARTITIONS, [*STRANGER, *STRANGE], "aborted committed", "aborted aborted aborted committed", "aborted"),
    (PARTITIONS, [*EPOCH, *STATE], "fenced", "fenced", "fenced"),
    (PARTITIONS, DENIED, "fatal", "fatal", "fatal"),

    # A message that is gone leaves a gap in its partition's sequence, which costs one more transaction.
    (PRODUCE, [KafkaError.REQUEST_TIMED_OUT, KafkaError.NOT_ENOUGH_REPLICAS],
     "committed", "committed", "aborted"),
    (PRODUCE, CUT, "committed!", "committed!", "aborted!"),
    (PRODUCE, [KafkaError.UNKNOWN_PRODUCER_ID, *STRANGE],
     "aborted+ committed", "aborted+ committed", "aborted"),
    (PRODUCE, [KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER],
     "fenced", "fenced", "fenced"),
    (PRODUCE, [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.INVALID_RECORD], "fatal", "fatal", "fatal"),

    (OFFSETS, LATER, "committed", "committed", "aborted!"),
    (OFFSETS, CUT, "committed!", "committed!", "aborted!"),
    (OFFSETS, [*STRANGER, *STRANGE], "aborted committed", "aborted aborted aborted committed", "aborted"),
    (OFFSETS, [KafkaError.INVALID_PRODUCER_EPOCH, *STATE], "fenced", "fenced", "fenced"),
    (OFFSETS, [KafkaError.GROUP_AUTHORIZATION_FAILED, *DENIED], "fatal", "fatal", "fatal"),

    (GROUP, LATER, "committed", "committed", "aborted!"),
    (GROUP, CUT, "committed!", "committed!", "aborted!"),
    (GROUP, [*EVICTED, *STRANGE], "aborted committed", "aborted aborted aborted committed", "aborted"),
    (GROUP, [KafkaError.INVALID_PRODUCER_EPOCH, *STATE], "fenced", "fenced", "fenced"),
    (GROUP, [KafkaError.GROUP_AUTHORIZATION_FAILED, *DENIED], "fatal", "fatal", "fatal"),

    # Asked for and not confirmed, it may have happened; only a confirmed abort says that it has not.
    (COMMIT, LATER, "committed", "committed", "fenced"),
    (COMMIT, CUT, "committed!", "committed!", "fenced"),
    (COMMIT, [*STRANGE, KafkaError.REQUEST_TIMED_OUT], "aborted! committed", "fenced", "fenced"),
    (COMMIT, [*EPOCH, *STATE, *STRANGER], "fenced", "fenced", "fenced"),
    (COMMIT, DENIED, "fatal", "fatal", "fatal"),

    # Without a commit asked for, an abort that is not confirmed is the successor's: its InitProducerId aborts.
    (ABORT, LATER, "aborted committed", "aborted aborted aborted committed", "aborted!"),
    (ABORT, CUT, "aborted! committed", "aborted! aborted aborted committed", "aborted!"),
    (ABORT, STRANGE, "aborted! committed", "aborted! aborted! aborted! committed", "aborted!"),
    (ABORT, STRANGER, "aborted committed", "aborted aborted aborted committed", "aborted"),
    (ABORT, [*EPOCH, *STATE], "fenced", "fenced", "fenced"),
    (ABORT, DENIED, "fatal", "fatal", "fatal"),
]
# fmt: on


@dataclass(frozen=True, slots=True)
class Case:
    """One cell of the table, for one error."""

    step: Step
    error: int
    often: str
    expected: str

    def __str__(self) -> str:
        return f"{self.step.name}-{NAMES.get(self.error, 'UNDEFINED')}-{self.often}"

    @property
    def pattern(self) -> str:
        """The expectation as a regular expression; where nothing is said of the producer, either will do."""
        return " ".join(map(_pattern, self.expected.split()))

    def play(self) -> list[Attempt]:
        """Commit until that is done, or the process is to leave."""
        always = self.often == "always"
        waits = always or (self.step == FIND_GROUP and "+" in self.expected)
        with Trial(SOME_TIME_S, runs_from=self.step.api) if waits else Trial() as trial:
            if not self.step.opens:
                trial.open()
            trial.cluster.fail(self.step.api, [self.error] * TIMES[self.often])
            if self.step.evicted:
                trial.cluster.fail(Api.TXN_OFFSET_COMMIT, [KafkaError.ILLEGAL_GENERATION] * TIMES[self.often])
            return list(trial.attempts(1 if always else TRIES))


def _pattern(word: str) -> str:
    outcome = word.strip("!+") + ("!" if "!" in word else "!?")
    return f"{outcome}(?: {outcome})*" if "+" in word else outcome


@dataclass(frozen=True, slots=True)
class World:
    """Batch after batch, while anything goes wrong that a seed says."""

    seed: int

    def __str__(self) -> str:
        return f"seed-{self.seed}"

    def play(self) -> list[Attempt]:
        """Commit all batches, unless the process is to leave."""
        rng, attempts = Random(self.seed), list[Attempt]()
        with Trial(BOUND_S, clock=time.monotonic) as trial:
            for _ in range(BATCHES):
                for _ in range(rng.randint(0, 2)):
                    step, errors = rng.choice(MILD if rng.random() < MILDNESS else MISHAPS)
                    trial.cluster.fail(step.api, [rng.choice(errors)] * rng.randint(1, 2))
                attempts += trial.attempts(TRIES)
                if attempts[-1].outcome.strip("!") != COMMITTED:
                    break
        return attempts


CASES = [
    Case(step, error, often, expected)
    for step, errors, *cells in ROWS
    for error in errors
    for often, expected in zip(TIMES, cells, strict=True)
]
# Without the search for coordinators, whose errors would pile up and let librdkafka hang.
MISHAPS = [(row[0], row[1]) for row in ROWS if row[0].api != Api.FIND_COORDINATOR]
MILD = [(row[0], row[1]) for row in ROWS if row[0].api != Api.FIND_COORDINATOR and "committed" in row[2]]


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A commit happens, and its answer never comes."""

    def __str__(self) -> str:
        return "unanswered"

    def play(self) -> list[Attempt]:
        """Commit once."""
        with Trial(SOME_TIME_S, runs_from=Api.END_TXN) as trial:
            trial.open()
            trial.cluster.delay(Api.END_TXN, PATIENCE_S)
            return [trial.commit()]


@dataclass(frozen=True, slots=True)
class RefusedBetween:
    """A producer is refused when no transaction is open."""

    def __str__(self) -> str:
        return "refused-between"

    def play(self) -> list[Attempt]:
        """Commit before and after."""
        with Trial() as trial:
            first = trial.commit()
            begun = len(trial.cluster.asked)
            trial.cluster.fail(Api.FIND_COORDINATOR, DENIED)
            trial.cluster.hang_up()
            until(lambda: len(trial.cluster.asked) > begun)
            return [first, trial.commit()]


@dataclass(frozen=True, slots=True)
class LetGo:
    """A producer is in doubt at this step and let go of; its threads would else go on for as long as the process."""

    step: Step

    def __str__(self) -> str:
        return f"let-go-{self.step.name}"

    def play(self) -> list[Attempt]:
        """Commit, and wait until no producer is left but those of before."""
        before = list(alive)
        attempts = Case(self.step, UNDEFINED, "three times", "").play()
        until(lambda: gc.collect() >= 0 and not set(alive) - set(before))
        return attempts


@dataclass(frozen=True, slots=True)
class Calm:
    """Nothing goes wrong."""

    def __str__(self) -> str:
        return "calm"

    def play(self) -> list[Attempt]:
        """Commit all batches."""
        with Trial() as trial:
            return [trial.commit() for _ in range(BATCHES)]


LET_GO = [LetGo(step) for step in (PRODUCE, GROUP, COMMIT, ABORT)]

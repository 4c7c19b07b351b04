"""A small world around the display gate: a log of verdicts, everything that can go wrong on the way, and an oracle.

The oracle knows the truth of every record (who made it, what was done to it) and works the contract's table out from
the whole history at each question; it shares no code with the gate.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from random import Random

from sluice_schemas import Decoded, SingleObjectFraming, StoredVerdict, Verdict, VerdictView, Why
from sluice_schemas.wire import E
from tests.support.gate_records import FORGERIES, IMAGES, RING, SHAS, Sent, any_verdict, forged, genuine
from tests.unit.schemas_strategies import NOON

PARTITIONS = {"a": 0, "b": 1, "c": 1}
SKEW = timedelta(minutes=2)
STRICTEST_FIRST = ("BLOCK", "INDETERMINATE", "REVIEW", "BLUR", "ALLOW")
MAX_LAG = timedelta(minutes=4)
Build = Callable[[Callable[[], float]], VerdictView]
"""Makes a gate that goes by this clock."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the gate."""

    image: str
    sha256: str
    minimum: int
    now: datetime


def answers(taken: Sequence[Sent], asked: Question, *, replayed: bool) -> set[Why]:
    """Return what the contract allows as the answer: one reason, or several where verdicts tie."""
    if not replayed:
        return {Why.NOT_REPLAYED}
    about = [sent for sent in taken if sent.image == asked.image]
    if any(sent.truth == "gone" for sent in about):
        return {Why.REVOKED}
    if any(sent.truth == "bad" for sent in about):
        return {Why.UNVERIFIED}
    verdicts = [sent.verdict for sent in about if sent.verdict]
    if not verdicts:
        return {Why.NO_VERDICT}
    return _of_those_that_count([verdict for verdict in verdicts if verdict.mode == "ENFORCE"], asked)


def _of_those_that_count(verdicts: list[Verdict], asked: Question) -> set[Why]:
    if not verdicts:
        return {Why.SHADOW}
    people = [verdict.override.at for verdict in verdicts if verdict.override]
    if people:
        verdicts = [v for v in verdicts if v.override and v.override.at == max(people)]
    newest = max(verdict.policy.version for verdict in verdicts)
    statuses = {verdict.status for verdict in verdicts if verdict.policy.version == newest}
    strictest = next(status for status in STRICTEST_FIRST if status in statuses)
    if strictest != "ALLOW":
        return {Why.INDETERMINATE if strictest == "INDETERMINATE" else Why.NOT_ALLOWED}
    return {_of_an_allow(verdict, asked) for verdict in verdicts if verdict.policy.version == newest}


def _of_an_allow(verdict: Verdict, asked: Question) -> Why:
    if verdict.image_sha256 != asked.sha256:
        return Why.BYTES_CHANGED
    if verdict.policy.version < asked.minimum:
        return Why.POLICY_TOO_OLD
    if verdict.expires_at and verdict.expires_at <= asked.now + SKEW:
        return Why.EXPIRED
    return Why.ALLOWED


class _Remembering(SingleObjectFraming):
    """Decodes the same bytes once: traces share few verdicts, and decoding has tests of its own."""

    def __init__(self) -> None:
        self.known: dict[bytes | None, object] = {}

    def read(self, topic: str, data: bytes | None, headers: object, expected_type: type[E]) -> Decoded[E]:
        del headers  # no registry, no schema ids
        found = self.known.get(data)
        if not isinstance(found, Decoded):
            found = super().read(topic, data, (), expected_type)
            self.known[data] = found
        return found


REMEMBERING = _Remembering()
REMEMBERED = cache(RING.check)


@dataclass(slots=True)
class World:
    """One display service, its store, and the log it reads; steps go by dice."""

    build: Build
    dice: Random
    logs: dict[int, list[Sent]] = field(default_factory=lambda: {0: [], 1: []})
    taken: list[Sent] = field(default_factory=list)
    positions: dict[int, int] = field(default_factory=lambda: {0: 0, 1: 0})
    starts: dict[int, int] = field(default_factory=lambda: {0: 0, 1: 0})
    told: dict[int, int] = field(default_factory=dict)
    aims: list[tuple[datetime, dict[int, int]]] = field(default_factory=list)
    minimum: int = 1
    now: datetime = NOON
    given: Counter[Why] = field(default_factory=Counter)
    standing: VerdictView = field(init=False)
    store: tuple[list[StoredVerdict], dict[int, int], list[Sent]] = field(init=False, default=([], {}, []))

    def __post_init__(self) -> None:
        self._begin({}, [])
        self.aim()

    def aim(self) -> None:
        """Ask the broker where the log begins and ends; what is known of another log counts no more."""
        ends = {partition: len(log) for partition, log in self.logs.items()}
        self.standing.aim(ends, self.starts)
        before = self.aims[-1][1] if self.aims else {}
        shrunk = any(ends[part] < max(before.get(part, 0), self.told.get(part, 0)) for part in ends)
        if shrunk or any(position < self.starts[part] for part, position in self.told.items()):
            self.positions, self.taken, self.aims, self.store = {0: 0, 1: 0}, [], [], ([], {}, [])
        self.aims.append((self.now, ends))
        self.tell()

    def tell(self) -> None:
        """Say how far it has read."""
        self.told = dict(self.positions)
        for partition, position in self.positions.items():
            self.standing.reached(partition, position)

    def take(self, sent: Sent) -> None:
        self.standing.fold(sent.image.encode(), sent.value, sent.headers)
        self.taken.append(sent)

    def read(self, most: int = 100) -> None:
        """Read on, in order."""
        for partition, log in self.logs.items():
            at = max(self.positions[partition], self.starts[partition])
            for sent in log[at:][:most]:
                self.take(sent)
                at += 1
            self.positions[partition] = at
        self.tell()

    def publish(self, sent: Sent) -> None:
        self.logs[PARTITIONS[sent.image]].append(sent)
        if self.dice.random() < 0.8:
            self.read()

    def judge(self) -> None:
        self.publish(genuine(any_verdict(self.dice)))

    def forge(self) -> None:
        self.publish(forged(any_verdict(self.dice), self.dice.choice(FORGERIES)))

    def revoke(self) -> None:
        self.publish(Sent("gone", self.dice.choice(IMAGES), None))

    def redeliver(self) -> None:
        """Bring any record again, or ahead of its turn."""
        log = self.logs[self.dice.randrange(2)]
        if log:
            self.take(self.dice.choice(log))

    def save(self) -> None:
        self.store = (list(self.standing.all_kept()), dict(self.positions), list(self.taken))

    def restart(self) -> None:
        """Come back with what was stored last, perhaps a while ago, and read a little."""
        kept, positions, taken = self.store
        self.dice.shuffle(kept)
        self._begin(positions, taken)
        self.standing.restore(kept, positions)
        self.aim()

    def begin_anew(self) -> None:
        """Come back with nothing, and read a little."""
        self._begin({}, [])
        self.aim()
        self.read(self.dice.randrange(3))

    def follow(self) -> None:
        """Do what a follower does again and again."""
        self.aim()
        self.read()

    def make_anew(self) -> None:
        """Delete the topic and make it again."""
        self.logs, self.starts = {0: [], 1: []}, {0: 0, 1: 0}
        self.aim()

    def expire(self) -> None:
        """Delete records, read or not, before anybody asks again."""
        self.starts = {part: self.dice.randint(self.starts[part], len(log)) for part, log in self.logs.items()}
        self.aim()

    def replayed(self) -> bool:
        """Whether every partition was read to an end that was asked for lately."""
        lately = [ends for moment, ends in self.aims if moment >= self.now - MAX_LAG]
        return all(any(ends[part] <= position for ends in lately) for part, position in self.positions.items())

    def _clock(self) -> float:
        return self.now.timestamp()

    def _begin(self, positions: dict[int, int], taken: list[Sent]) -> None:
        self.standing = self.build(self._clock)
        self.aims, self.told = [], positions
        self.positions = {0: 0, 1: 0} | positions
        self.taken = list(taken)

    def raise_policy(self) -> None:
        self.minimum = self.minimum % 3 + 1

    def wait(self) -> None:
        self.now += timedelta(minutes=self.dice.choice((1, 1, 2, 5)))

    def ask(self) -> str | None:
        """Ask about any image and bytes; return where gate and oracle part."""
        asked = Question(self.dice.choice(IMAGES), SHAS[self.dice.random() < 0.1], self.minimum, self.now)
        decision = self.standing.may_show(
            asked.image, asked.sha256, minimum_policy_version=asked.minimum, now=asked.now
        )
        allowed = answers(self.taken, asked, replayed=self.replayed())
        self.given[decision.reason] += 1
        if decision.reason in allowed and decision.show is (decision.reason is Why.ALLOWED):
            return None
        return f"{decision.reason} where {sorted(allowed)} is right: {asked}"


FAULTS = (
    World.forge,
    World.revoke,
    World.redeliver,
    World.restart,
    World.begin_anew,
    World.raise_policy,
    World.wait,
    World.aim,
    World.make_anew,
    World.expire,
)


def trace(build: Build, seed: int, given: Counter[Why] | None = None, *, steps: int = 50) -> str | None:
    """Return where a trace goes wrong, None if it does not, and count the answers.

    Each trace has a few kinds of trouble only, so that some get far.
    """
    dice = Random(seed)
    world = World(build, dice, given=Counter() if given is None else given)
    trouble = dice.sample(FAULTS, dice.randint(1, 5))
    for step in range(steps):
        chance = dice.random()
        if chance < 0.45:
            world.judge()
        elif chance < 0.6:
            world.follow()
        elif chance < 0.7:
            world.save()
        elif chance < 0.8 or len(trouble) < 3:
            dice.choice(trouble)(world)
        wrong = world.ask()
        if wrong:
            return f"seed {seed}, step {step}: {wrong}"
    return None

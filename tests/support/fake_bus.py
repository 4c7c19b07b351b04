"""A transactional broker in memory: one group, one input topic, any number of output topics.

It keeps what the loop's safety rests on: eager rebalances delivered inside `poll`, generations that refuse a
member left behind, transactional ids whose newest epoch fences the older, output that `read_committed` readers see
only after the commit, offsets that move with the messages or not at all. One thread only; nothing waits.
"""

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from sluice.core.errors import Fenced, TransactionAborted
from sluice.core.records import GroupMetadata, Headers, Message, Offsets, Partition, Record

OnPartitions = Callable[[frozenset[Partition]], None]


class Fate(Enum):
    """How a transaction ends when nothing else forbids it."""

    COMMIT = auto()
    ABORT = auto()  # TransactionAborted: nothing happened
    CRASH_BEFORE = auto()  # Fenced, and nothing happened
    CRASH_AFTER = auto()  # Fenced, although everything happened: the answer was lost with the process


class Membership(NamedTuple):
    """What a member shows to prove that it belongs to the group's present generation."""

    member: str
    generation: int


@dataclass(slots=True)
class _Written:
    message: Message
    committed: bool = False


@dataclass(slots=True)
class _Group:
    generation: int = 0
    preparing: bool = False
    members: dict[str, "FakeSource"] = field(default_factory=dict)
    joined: set[str] = field(default_factory=set)
    shares: dict[str, frozenset[Partition]] = field(default_factory=dict)


class FakeCluster:
    """The broker. `fate` decides over each transaction; `rng` over shares, interleaving and keyless partitions."""

    def __init__(self, partitions: int, rng: random.Random, *, topic: str = "images") -> None:
        self.partitions = tuple(Partition(topic, index) for index in range(partitions))
        self.rng = rng
        self.fate: Callable[[], Fate] = lambda: Fate.COMMIT
        self.logs: dict[Partition, list[Record]] = {partition: [] for partition in self.partitions}
        self.group = _Group()
        self._written: dict[str, list[_Written]] = {}
        self._offsets: dict[Partition, int] = {}
        self._epochs: dict[str, int] = {}

    def append(self, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Record:
        """Publish one input record; the same key always goes to the same partition."""
        index = self.rng.randrange(len(self.partitions)) if key is None else sum(key) % len(self.partitions)
        log = self.logs[self.partitions[index]]
        record = Record(self.partitions[index], len(log), len(log), key, value, headers)
        log.append(record)
        return record

    def join(self, member: str) -> "FakeSource":
        """Make a member; it is in the group once it subscribed."""
        return FakeSource(self, member)

    def producer(self, transactional_id: str) -> "FakeCommitter":
        """Make a producer; it fences every older one of the same id."""
        self._epochs[transactional_id] = self._epochs.get(transactional_id, 0) + 1
        return FakeCommitter(self, transactional_id, self._epochs[transactional_id])

    def rebalance(self) -> None:
        """Start a rebalance: every member gives up all partitions in its next poll, then gets its new share."""
        self.group.preparing = True
        self.group.joined.clear()

    def evict(self, member: str) -> None:
        """Give a silent member up: its partitions go to the others, its next poll finds them lost."""
        if self.group.members.pop(member, None) is not None:
            self.rebalance()

    def committed_messages(self, topic: str) -> list[Message]:
        """Return what a `read_committed` reader sees, in order."""
        return [written.message for written in self._written.get(topic, []) if written.committed]

    def written_messages(self, topic: str) -> list[Message]:
        """Return what a `read_uncommitted` reader sees: aborted transactions too."""
        return [written.message for written in self._written.get(topic, [])]

    def committed_offset(self, partition: Partition) -> int | None:
        """Return the group's offset, None before the first commit."""
        return self._offsets.get(partition)

    def end_offset(self, partition: Partition) -> int:
        """Return the offset the next input record will get."""
        return len(self.logs[partition])

    def settle(self) -> None:
        """End the rebalance once every member has given up its partitions; shares are dealt out at random."""
        group = self.group
        if not group.preparing or group.joined != set(group.members):
            return
        group.preparing = False
        group.generation += 1
        names = sorted(group.members)
        owner = {partition: self.rng.choice(names) for partition in self.partitions} if names else {}
        group.shares = {name: frozenset(p for p in self.partitions if owner[p] == name) for name in names}

    def transact(
        self, producer: "FakeCommitter", messages: Sequence[Message], offsets: Offsets, who: Membership
    ) -> None:
        """One transaction from begin to end."""
        self._refuse_old_epoch(producer)
        written = [_Written(message) for message in messages]
        for entry in written:
            self._written.setdefault(entry.message.topic, []).append(entry)
        fate = self.fate()
        if fate is Fate.CRASH_BEFORE:
            raise Fenced("crashed before the commit")
        if fate is Fate.ABORT:
            raise TransactionAborted("so decided")
        # Without offsets no group is asked, here as there.
        if offsets and (who.member not in self.group.members or who.generation != self.group.generation):
            raise TransactionAborted(f"generation {who.generation} of {who.member} is over")
        for entry in written:
            entry.committed = True
        self._offsets.update(offsets)
        if fate is Fate.CRASH_AFTER:
            raise Fenced("crashed after the commit")

    def _refuse_old_epoch(self, producer: "FakeCommitter") -> None:
        newest = self._epochs[producer.transactional_id]
        if producer.epoch != newest:
            raise Fenced(f"epoch {producer.epoch} of {producer.transactional_id} is older than {newest}")


class FakeSource:
    """One member of the group; satisfies `ports.Source`."""

    def __init__(self, cluster: FakeCluster, member: str) -> None:
        self._cluster = cluster
        self.name = member
        self._generation = -1
        self._positions: dict[Partition, int] = {}
        self._paused = False
        self._on_revoke: OnPartitions = lambda _: None
        self._on_lost: OnPartitions = lambda _: None
        self._on_assign: OnPartitions = lambda _: None

    def subscribe(
        self, *, on_revoke: OnPartitions, on_lost: OnPartitions, on_assign: OnPartitions = lambda _: None
    ) -> None:
        """Join the group, which starts a rebalance."""
        self._on_assign = on_assign
        self._on_revoke = on_revoke
        self._on_lost = on_lost
        self._enter()

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        """Return up to `limit` records, or take the next step of a rebalance and return none."""
        del timeout_s
        group = self._cluster.group
        if group.members.get(self.name) is not self:
            self._give_up(self._on_lost)
            self._enter()
            return []
        if group.preparing:
            if self.name not in group.joined:
                self._give_up(self._on_revoke)
                group.joined.add(self.name)
                self._cluster.settle()
            return []
        if self._generation != group.generation:
            self._generation = group.generation
            self._positions = {p: self._cluster.committed_offset(p) or 0 for p in group.shares[self.name]}
            self._on_assign(frozenset(self._positions))
            return []
        return [] if self._paused else self._fetch(limit)

    def pause(self) -> None:
        """Stop fetching."""
        self._paused = True

    def resume(self) -> None:
        """Fetch again."""
        self._paused = False

    @property
    def assignment(self) -> Collection[Partition]:
        """The partitions that are ours now."""
        return frozenset(self._positions)

    def group_metadata(self) -> GroupMetadata:
        """Member and generation."""
        return Membership(self.name, self._generation)

    def close(self) -> None:
        """Leave the group; partitions that are still ours are revoked first."""
        if self._cluster.group.members.get(self.name) is self:
            self._give_up(self._on_revoke)
            self._cluster.evict(self.name)
            self._cluster.settle()

    def _enter(self) -> None:
        self._cluster.group.members[self.name] = self
        self._cluster.rebalance()

    def _give_up(self, report: OnPartitions) -> None:
        mine = frozenset(self._positions)
        if mine:
            report(mine)
        self._positions = {}

    def _fetch(self, limit: int) -> list[Record]:
        records: list[Record] = []
        ready = [p for p, position in sorted(self._positions.items()) if position < self._cluster.end_offset(p)]
        while ready and len(records) < limit:
            partition = self._cluster.rng.choice(ready)
            records.append(self._cluster.logs[partition][self._positions[partition]])
            self._positions[partition] += 1
            ready = [p for p in ready if self._positions[p] < self._cluster.end_offset(p)]
        return records


class FakeCommitter:
    """One transactional producer; satisfies `ports.Committer`."""

    def __init__(self, cluster: FakeCluster, transactional_id: str, epoch: int) -> None:
        self.transactional_id = transactional_id
        self.epoch = epoch
        self.served = 0
        self._cluster = cluster

    def commit(self, messages: Sequence[Message], offsets: Offsets, group: GroupMetadata) -> None:
        """Publish and commit atomically, or raise and do neither."""
        self._cluster.transact(self, messages, offsets, group)

    def serve(self) -> None:
        """Count; there is nothing to report."""
        self.served += 1

    def close(self) -> None:
        """Nothing to release."""

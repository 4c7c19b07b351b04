"""What the network delivers late may end or change a later transaction, unless doubt recycles the producer.

librdkafka speaks the transactions of before KIP-890, in which all of a producer share one epoch (KAFKA-17754,
librdkafka#5423), and sends a request again by itself when its connection is lost. `believing` is the committer without
its guard: what it publishes in spite of an abort, loses or takes back is what the guard is for.
"""

from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event
from time import monotonic

import pytest

from sluice.core.deadline import Deadline
from sluice.core.errors import Fenced, TransactionAborted
from sluice.core.records import GroupMetadata, Message, Partition
from sluice.kafka.committer import KafkaCommitter
from tests.chaos.proxy import Proxy
from tests.chaos.wire import Act, Api, Request, Rule, of
from tests.support.brokers import KAFKA, Cluster
from tests.support.buses import KafkaBus, Member, until

pytestmark = [*KAFKA]
PATIENCE_S = 60.0
HELD_S = 600.0  # until it is let go
FENCED = {47, 90}  # INVALID_PRODUCER_EPOCH, PRODUCER_FENCED


@pytest.fixture
def proxy(kafka_node: Cluster) -> Iterator[Proxy]:
    with Proxy(kafka_node.doors) as proxy:
        yield proxy


@pytest.fixture
def road(proxy: Proxy) -> Iterator["Road"]:
    road = Road(proxy)
    with closing(road.bus):
        yield road


@pytest.fixture
def believing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KafkaCommitter, "_recycle_if_in_doubt", lambda _: None)


class Interrupted(dict[Partition, int]):
    """Offsets; the first to ask for all of them, which is the committer between messages and offsets, waits."""

    def __init__(self, offsets: Mapping[Partition, int], meanwhile: Callable[[], None]) -> None:
        super().__init__(offsets)
        self._meanwhile = [meanwhile]

    def items(self) -> ItemsView[Partition, int]:  # type: ignore[override]  # its own view is no public type
        while self._meanwhile:
            self._meanwhile.pop()()
        return super().items()


class Road:
    """A member that has read three partitions, and a committer, behind a proxy."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.bus = KafkaBus(proxy.address)
        self.bus.publish(9)
        self.member = Member("a", self.bus.member(), [])
        until(lambda: len(self.member.records) == 9, self.member)
        self.committer = self.bus.producer("t")

    @property
    def recycled(self) -> list[str]:
        return [labels["reason"] for name, _, labels in self.bus.observed if name == "sluice.producer.recycled"]

    def hold(self, wanted: Callable[[Request], bool]) -> Rule:
        return self.proxy.add(Rule(Act.HOLD, wanted, seconds=HELD_S))

    def message(self, value: bytes) -> Message:
        return Message(self.bus.out, b"k", value)

    def commit(self, messages: Sequence[Message], offset: int, group: GroupMetadata = None) -> None:
        offsets = dict.fromkeys(self.member.offsets(), offset)
        self.committer.commit(messages, offsets, group or self.member.source.group_metadata())

    def overtaken(self, value: bytes, offset: int, held: Rule, group: GroupMetadata = None) -> None:
        """Commit a message; when the broker has it, what is held is delivered, and then the transaction goes on."""
        produced = self.proxy.add(Rule(Act.DELAY, of(Api.PRODUCE)))

        def meanwhile() -> None:
            eventually(lambda: produced.spent)
            deliver(held)

        offsets = Interrupted(dict.fromkeys(self.member.offsets(), offset), meanwhile)
        self.committer.commit([self.message(value)], offsets, group or self.member.source.group_metadata())

    def outdated(self) -> GroupMetadata:
        """Return the metadata of a generation that is over."""
        over = self.member.source.group_metadata()
        second = Member("b", self.bus.member(), [])
        with closing(second.source):
            until(lambda: bool(second.source.assignment), self.member, second)
        return over


def commits(request: Request) -> bool:
    return request.api == Api.END_TXN and request.commits


def aborts(request: Request) -> bool:
    return request.api == Api.END_TXN and not request.commits


@pytest.mark.usefixtures("believing")
def test_believing_a_delayed_commit_publishes_what_is_aborted(road: Road) -> None:
    over = road.outdated()
    held = road.hold(commits)
    road.commit([road.message(b"first")], 1)
    with pytest.raises(TransactionAborted):
        road.overtaken(b"second", 2, held, over)
    road.commit([road.message(b"second")], 2)
    assert held.hits[0].error == 0
    assert road.bus.published() == [b"first", b"second", b"second"]


def test_a_delayed_commit_is_fenced(road: Road) -> None:
    over = road.outdated()
    held = road.hold(commits)
    road.commit([road.message(b"first")], 1)
    assert road.recycled == ["client_error"]
    with pytest.raises(TransactionAborted):
        road.overtaken(b"second", 2, held, over)
    road.commit([road.message(b"second")], 2)
    assert held.hits[0].error in FENCED
    assert road.bus.published() == [b"first", b"second"]


@pytest.mark.usefixtures("believing")
def test_believing_a_delayed_abort_loses_what_is_committed(road: Road) -> None:
    over = road.outdated()
    held = road.hold(aborts)
    with pytest.raises(TransactionAborted):
        road.commit([road.message(b"first")], 1, over)
    road.overtaken(b"second", 2, held)
    assert held.hits[0].error == 0
    assert road.bus.published() == []
    assert road.bus.committed() == 6


def test_a_delayed_abort_is_fenced(road: Road) -> None:
    over = road.outdated()
    held = road.hold(aborts)
    with pytest.raises(TransactionAborted):
        road.commit([road.message(b"first")], 1, over)
    assert road.recycled == ["client_error"]
    road.overtaken(b"second", 2, held)
    assert held.hits[0].error in FENCED
    assert road.bus.published() == [b"second"]
    assert road.bus.committed() == 6


@pytest.mark.usefixtures("believing")
def test_believing_delayed_offsets_take_back_later_ones(road: Road) -> None:
    commit_with_delayed_offsets(road)
    assert road.bus.committed() == 3


def test_delayed_offsets_are_fenced(road: Road) -> None:
    commit_with_delayed_offsets(road)
    assert road.recycled == ["client_error"]
    assert road.bus.committed() == 6


def commit_with_delayed_offsets(road: Road) -> None:
    """Commit twice; the offsets of the first transaction come once more, between those of the second and its end."""
    held = road.hold(of(Api.TXN_OFFSET_COMMIT))
    road.commit([road.message(b"first")], 1)
    kept = road.proxy.add(Rule(Act.DELAY, of(Api.END_TXN), seconds=HELD_S))

    def meddle() -> None:
        eventually(lambda: bool(kept.hits))
        deliver(held)
        kept.hits[0].free()

    with ThreadPoolExecutor(1) as network:
        meddling = network.submit(meddle)
        road.commit([road.message(b"second")], 2)
        meddling.result()
    assert road.bus.published() == [b"first", b"second"]


def test_what_is_produced_late_is_known_to_be_a_repetition(road: Road) -> None:
    held = road.hold(of(Api.PRODUCE))
    road.commit([road.message(b"first")], 1)
    assert road.recycled == ["client_error"]
    road.overtaken(b"second", 2, held)
    assert road.bus.published() == [b"first", b"second"]


def test_who_asked_late_to_be_the_producer_fences_itself_and_loses_nothing(road: Road) -> None:
    held = road.hold(of(Api.INIT_PRODUCER_ID))
    road.committer = road.bus.producer("t")
    with pytest.raises(Fenced):
        road.overtaken(b"first", 1, held)
    road.committer = road.bus.producer("t")
    road.commit([road.message(b"first")], 1)
    assert road.bus.published() == [b"first"]
    assert road.bus.committed() == 3


def test_a_connection_that_was_lost_before_is_noticed_again(road: Road) -> None:
    """Of identical errors within 30 s librdkafka tells but the first two, by all ways but one."""
    lost = road.proxy.add(Rule(Act.CUT, of(Api.INIT_PRODUCER_ID), times=2))
    road.committer = road.bus.producer("another")
    assert lost.spent
    road.proxy.add(Rule(Act.CUT, commits))
    road.commit([road.message(b"first")], 1)
    assert road.recycled == ["client_error"]


@pytest.mark.parametrize("act", [Act.RESET, Act.CUT])
@pytest.mark.parametrize(
    "api", [Api.ADD_PARTITIONS_TO_TXN, Api.PRODUCE, Api.ADD_OFFSETS_TO_TXN, Api.TXN_OFFSET_COMMIT, Api.END_TXN]
)
def test_a_connection_lost_at_any_step_leaves_one_of_everything(road: Road, api: Api, act: Act) -> None:
    lost = road.proxy.add(Rule(act, of(api)))
    for number in (1, 2):
        land(road, number)
    assert len(lost.hits) == 1
    assert road.recycled == ["client_error"]
    assert road.bus.published() == [b"1", b"2"]
    assert road.bus.committed() == 6


def land(road: Road, number: int) -> None:
    """Commit as the loop does: what is aborted is landed again."""
    while True:
        try:
            return road.commit([road.message(b"%d" % number)], number)
        except TransactionAborted:
            continue


@pytest.mark.parametrize("act", [Act.RESET, Act.CUT])
@pytest.mark.parametrize("api", [Api.JOIN_GROUP, Api.SYNC_GROUP, Api.HEARTBEAT, Api.FETCH])
def test_a_reader_that_loses_its_connection_reads_everything_once(proxy: Proxy, api: Api, act: Act) -> None:
    lost = proxy.add(Rule(act, of(api)))
    bus = KafkaBus(proxy.address)
    bus.publish(9)
    member = Member("a", bus.member(), [])
    with closing(bus):
        until(lambda: bool(lost.hits) and len(member.records) >= 9, member)
        assert sorted(int(record.value or b"") for record in member.records) == list(range(9))


def deliver(held: Rule) -> None:
    """Let what is held go, and wait for the broker's answer."""
    held.hits[0].free()
    eventually(lambda: held.spent)


def eventually(condition: Callable[[], bool]) -> None:
    deadline, pause = Deadline.after(PATIENCE_S, monotonic), Event()
    while not condition():
        assert not deadline.over, "waited in vain"
        pause.wait(0.005)

"""What the network delivers late may end or change a later transaction, unless doubt recycles the producer.

librdkafka speaks the transactions of before KIP-890, in which all of a producer share one epoch (KAFKA-17754,
librdkafka#5423), and sends a request again by itself when its connection is lost. `believing` is the committer without
its guard: what it loses or shows twice is what the guard is for.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import monotonic
from typing import cast

import pytest

from sluice.bus.committer import KafkaCommitter
from sluice.core.deadline import Deadline
from sluice.core.domain import Message
from sluice.core.errors import TransactionAborted
from tests.chaos.proxy import Proxy
from tests.chaos.wire import Act, Api, Hit, Request, Rule, of
from tests.support.brokers import KAFKA, Cluster
from tests.support.buses import KafkaBus, Member, until

pytestmark = KAFKA
PATIENCE_S = 60.0
HELD_S = 600.0  # until it is freed
FENCED = {47, 90}  # INVALID_PRODUCER_EPOCH, PRODUCER_FENCED


@pytest.fixture
def proxy(kafka_node: Cluster) -> Iterator[Proxy]:
    with Proxy(kafka_node.doors) as proxy:
        yield proxy


@pytest.fixture
def bus(proxy: Proxy) -> KafkaBus:
    return KafkaBus(proxy.address)


@pytest.fixture
def believing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KafkaCommitter, "_recycle_if_in_doubt", lambda _: None)


class Trial:
    """Two transactions of one committer; what is held of the first is delivered in the middle of the second."""

    def __init__(self, bus: KafkaBus, proxy: Proxy) -> None:
        self.bus, self.proxy = bus, proxy
        bus.publish(9)
        self.member = reading(bus)
        self.committer = bus.producer("t")

    def hold(self, wanted: Callable[[Request], bool]) -> Rule:
        return self.proxy.add(Rule(Act.HOLD, wanted, seconds=HELD_S))

    def commit(self, messages: Sequence[Message], offset: int) -> None:
        offsets = dict.fromkeys(self.member.offsets(), offset)
        self.committer.commit(messages, offsets, self.member.source.group_metadata())

    def message(self, value: bytes) -> Message:
        return Message(self.bus.out, b"k", value)

    def overtaken(self, value: bytes, held: Rule) -> Sequence[Message]:
        """Return a message behind which what is held is delivered, before the transaction goes on."""

        def messages() -> Iterator[Message]:
            produced = self.proxy.add(Rule(Act.DELAY, of(Api.PRODUCE)))
            yield self.message(value)
            eventually(lambda: produced.spent)
            deliver(held)

        return cast(Sequence[Message], messages())


def commits(request: Request) -> bool:
    return request.api == Api.END_TXN and request.commits


def aborts(request: Request) -> bool:
    return request.api == Api.END_TXN and not request.commits


def test_a_delayed_commit_publishes_what_is_aborted(bus: KafkaBus, proxy: Proxy, believing: None) -> None:
    pass

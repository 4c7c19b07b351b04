"""The sender: emissions become acknowledged Kafka records, at a rate, with the truth about each passed on."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Final, Protocol

from confluent_kafka import KafkaError, Message, Producer
from opentelemetry.trace import Span

from sluice_sim.broker import Broker, BrokerUnusable, Topics, opened, partitions
from sluice_sim.stream import Emission
from sluice_sim.traces import ended, naming, started
from sluice_sim.truth import Place, Sent, Truth

OnSent = Callable[[Sent], None]

_BURST_S: Final = 0.1  # what a late sender may catch up on at once
_SERVE_S: Final = 0.1  # how soon a wait notices that it shall stop


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where emissions go and how fast; `rate_per_s` 0 is as fast as the broker takes them."""

    broker: Broker
    topic: str = Topics().images
    rate_per_s: float = 0.0


class Gate(Protocol):
    """Says when the next event may go; while it waits, the sender goes on hearing from the broker."""

    def due_in_s(self) -> float:
        """Return how long the next event has to wait, seconds; 0 or less means it may go."""

    def take(self) -> None:
        """Let one event go."""


class Pace:
    """A token bucket: `rate_per_s` events a second, at most a tenth of a second's worth at once; 0 never waits."""

    def __init__(self, rate_per_s: float, *, clock: Callable[[], float] = monotonic) -> None:
        self._interval_s = 1 / rate_per_s if rate_per_s else 0.0
        self._clock = clock
        self._due_s = clock()

    def due_in_s(self) -> float:
        """Return how long the next event has to wait, seconds; 0 or less means it may go."""
        return self._due_s - self._clock() if self._interval_s else 0.0

    def take(self) -> None:
        """Let one event go."""
        self._due_s = max(self._due_s, self._clock() - _BURST_S) + self._interval_s


def send(
    emissions: Iterable[Emission],
    delivery: Delivery,
    *,
    on_sent: OnSent,
    stop: Callable[[], bool] = lambda: False,
    gate: Gate | None = None,
) -> int:
    """Send until the emissions or `stop` end it; return how many records the broker acknowledged.

    A `gate` stands in for the delivery's rate.

    `on_sent` runs in this thread, once for each acknowledged record, in the broker's order per partition. Raises
    BrokerUnusable when no broker answers, the topic is not there, or a record was not taken.
    """
    outbox = _Outbox(delivery, on_sent)
    pace = gate or Pace(delivery.rate_per_s)
    for emission in emissions:
        while (wait_s := pace.due_in_s()) > 0 and not stop():
            outbox.serve(min(wait_s, _SERVE_S))
        if stop():
            break
        pace.take()
        outbox.put(emission)
    return outbox.close()


class _Outbox:
    """An idempotent producer that counts what was acknowledged and remembers the first refusal."""

    def __init__(self, delivery: Delivery, on_sent: OnSent) -> None:
        self._topic = delivery.topic
        self._on_sent = on_sent
        self._sent = 0
        self._refused: KafkaError | None = None
        self._producer = opened(
            Producer,
            delivery.broker.config(
                enable_idempotence=True,
                acks="all",
                linger_ms=5,
                compression_type="lz4",
                message_max_bytes=4 * 1024 * 1024,
                queue_buffering_max_kbytes=64 * 1024,
            ),
        )
        partitions(self._producer, [self._topic])

    def put(self, emission: Emission) -> None:
        """Queue one record; wait while the queue is full."""
        span = started(self._topic)
        headers = naming(span, emission.headers)
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    key=emission.key,
                    value=emission.value,
                    headers=[(name, value) for name, value in headers if value is not None],
                    on_delivery=self._acknowledged(emission.truth, span),
                )
            except BufferError:
                self.serve(_SERVE_S)
            else:
                self.serve(0)
                return

    def serve(self, timeout_s: float) -> None:
        """Run the callbacks of what was acknowledged, waiting at most so long for one."""
        self._producer.poll(timeout_s)
        if self._refused:
            raise BrokerUnusable(f"the broker did not take a record on {self._topic}: {self._refused.str()}")

    def close(self) -> int:
        """Wait until every record is acknowledged or refused; return how many were acknowledged."""
        while self._producer.flush(1):
            self.serve(0)
        self.serve(0)
        return self._sent

    def _acknowledged(self, truth: Truth, span: Span) -> Callable[[KafkaError | None, Message], None]:
        def report(error: KafkaError | None, message: Message) -> None:
            ended(span, error.name() if error else None)
            partition, offset = message.partition(), message.offset()
            if error or partition is None or offset is None:
                self._refused = self._refused or error
                return
            _, timestamp_ms = message.timestamp()
            self._sent += 1
            self._on_sent(Sent(Place(self._topic, partition, offset), timestamp_ms, truth))

        return report

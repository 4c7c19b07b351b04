"""`python -m tests.bench.sender ADDRESS TOPIC PARTITIONS RATExSECONDS...`: send small events at random moments.

They come independently of each other (Poisson), `RATE` a second for so many seconds, one such phase after the other.
What is due is sent even when the sender is late, and each event carries the moment at which it was sent. One event for
each partition goes ahead, as a producer's first ones may wait half a second for its id. Prints the moments at which the
phases began and the last one ended, seconds since the epoch, and how many events were sent, the first ones included.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Self

from sluice.kafka.client import open_producer, plain_producer_config
from sluice.settings import Kafka
from tests.bench.rig import event

TINY = bytes(300)
"""A picture for workers that look into none."""


@dataclass(frozen=True, slots=True)
class Phase:
    """So many events a second, for so long."""

    rate: float
    seconds: float

    @classmethod
    def parsed(cls, text: str) -> Self:
        """Read what `str` writes."""
        rate, seconds = text.split("x")
        return cls(float(rate), float(seconds))

    def __str__(self) -> str:
        return f"{self.rate:g}x{self.seconds:g}"


def moments(phases: Sequence[Phase], seed: int = 1) -> Iterator[float]:
    """Yield when to send, in seconds from the beginning."""
    rng, began = Random(seed), 0.0
    for phase in phases:
        at_s = began + rng.expovariate(phase.rate)
        while at_s < began + phase.seconds:
            yield at_s
            at_s += rng.expovariate(phase.rate)
        began += phase.seconds


def send(address: str, topic: str, partitions: int, phases: Sequence[Phase]) -> dict[str, object]:
    """Send all of it; return what is printed."""
    producer = open_producer(plain_producer_config(Kafka(bootstrap_servers=address)) | {"linger.ms": 0}, lambda _: None)
    value = event(0, TINY)
    for sent in range(partitions):
        producer.produce(topic, value, str(sent), partition=sent)
    assert producer.flush(60) == 0
    sent, began = partitions, time.time()
    for at_s in moments(phases):
        while (wait_s := began + at_s - time.time()) > 0:
            time.sleep(wait_s)
        producer.produce(topic, value, str(sent), partition=sent % partitions)
        producer.poll(0)
        sent += 1
    assert producer.flush(60) == 0
    edges = [began + sum(phase.seconds for phase in phases[:n]) for n in range(len(phases) + 1)]
    return {"edges_s": edges, "sent": sent}


if __name__ == "__main__":
    _, address, topic, partitions, *phases = sys.argv
    json.dump(send(address, topic, int(partitions), [Phase.parsed(text) for text in phases]), sys.stdout)

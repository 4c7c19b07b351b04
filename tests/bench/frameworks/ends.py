"""What every loop is told, in the variables that `sluice run` reads, and how every loop sets its Kafka clients up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

PRODUCER: Mapping[str, str | int] = {
    "acks": "all",
    "enable.idempotence": True,
    "compression.type": "zstd",
    "linger.ms": 2,
    "retry.backoff.ms": 5,
}
CONSUMER: Mapping[str, str | int] = {
    "isolation.level": "read_committed",
    "queued.min.messages": 1000,
    "queued.max.messages.kbytes": 65_536,
    "fetch.error.backoff.ms": 100,
}
"""librdkafka's settings: Sluice's own, and as much prefetch as a loop of large batches wants."""

BATCH = 500
"""Records that a loop takes at once, where it takes any number."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Where events come from and where outcomes go."""

    brokers: str
    group: str
    transactional_id: str
    images: str
    verdicts: str
    quality: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Read the variables. Raises KeyError when one is missing."""
        names = (
            "KAFKA__BOOTSTRAP_SERVERS",
            "KAFKA__GROUP_ID",
            "KAFKA__TRANSACTIONAL_ID",
            "TOPICS__IMAGES",
            "TOPICS__VERDICTS",
            "TOPICS__QUALITY",
        )
        return cls(*(environment[f"SLUICE_{name}"] for name in names))

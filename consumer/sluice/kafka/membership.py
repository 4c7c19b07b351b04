"""Whether the group has let us in.

librdkafka tries to join without end, and says of each refusal that it failed. Waiting for a rebalance to end is no
refusal: a member that was let in stays so until the group refuses it.
"""

import logging
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaError

from sluice.core.errors import BadSettings, BrokerLost, Denied, Fatal
from sluice.kafka.errors import GROUP, Meaning, known
from sluice.settings import Kafka

LOOK_EVERY_S = 0.5
_logger = logging.getLogger(__name__)
_METADATA = b"CGMDv2:"
_STEPS = ("JoinGroup failed", "SyncGroup failed", "ConsumerGroupHeartbeat")

_UNKNOWN_PROTOCOL = "perhaps they do not know kafka.group_protocol=consumer (KIP-848, Apache Kafka 4.0): try classic"


class Membership:
    """Kept by the thread that polls; `clock` is in seconds.

    `refused` for `kafka.connect_deadline_s` ends the process. So does being out without a word for that long beyond
    `kafka.max_poll_interval_s`, within which every rebalance ends.
    """

    def __init__(self, kafka: Kafka, clock: Callable[[], float]) -> None:
        self._kafka = kafka
        self._clock = clock
        self._by_brokers = kafka.group_protocol == "consumer"
        self._in = False
        self._out_since: float | None = clock()
        self._refused_since: float | None = None
        self._refusal = ""
        self._next_look = clock()

    @property
    def trouble(self) -> str:
        """Why we are not let in, empty while we are."""
        if self._refused_since is not None:
            return f"group {self._kafka.group_id} refuses us: {self._refusal}"
        return "" if self._in else f"waits to be let into group {self._kafka.group_id}"

    def joined(self) -> None:
        """Note that partitions, or none, were assigned to us."""
        if self._refused_since is not None:
            _logger.info("kafka: group %s has let us in", self._kafka.group_id)
        self._in, self._out_since, self._refused_since, self._refusal = True, None, None, ""

    def left(self, *, lost: bool) -> None:
        """Note that partitions were taken: a rebalance is under way, or the group has given us up."""
        # With KIP-848 a member gives partitions up without leaving.
        if self._out_since is None and (lost or not self._by_brokers):
            self._out_since = self._clock()

    def refused(self, error: KafkaError) -> None:
        """Note what was said while we were out. Raises BadSettings for what no waiting mends, Denied after a while."""
        found = known(error)
        if found and found.meaning is Meaning.GROUP_IMPOSSIBLE:
            said = f"{found.remedy}; group {self._kafka.group_id}: {error.str()}"
            raise BadSettings(said, setting=found.setting)
        refuses = found if found and found.meaning is Meaning.GROUP_REFUSES else None
        if self._out_since is None or not (refuses or error.str().startswith(_STEPS)):
            return
        now = self._clock()
        self._refusal = f"{error.str()}; {refuses.remedy if refuses else GROUP}"
        self._refused_since = now if self._refused_since is None else self._refused_since
        if error.fatal() or now - self._refused_since >= self._kafka.connect_deadline_s:
            raise Denied(f"kafka.group_id: {self.trouble} (for kafka.connect_deadline_s)", setting="kafka.group_id")

    def check(self, consumer: Consumer) -> None:
        """Look whether we are in where no callback says so. Raises BrokerLost when the group is silent for too long."""
        now = self._clock()
        if self._out_since is None or now < self._next_look:
            return
        self._next_look = now + LOOK_EVERY_S
        if self._by_brokers and _generation(consumer) > 0:
            self.joined()  # with KIP-848 an assignment without partitions runs no callback
        elif now - self._out_since >= self._kafka.connect_deadline_s + self._kafka.max_poll_interval_s:
            raise self._silent(now - self._out_since)

    def _silent(self, seconds: float) -> Fatal:
        said = self._refusal or (_UNKNOWN_PROTOCOL if self._by_brokers else "no word of why")
        return BrokerLost(
            f"kafka.group_id: group {self._kafka.group_id} has not let us in for {seconds:.0f} s "
            f"(kafka.connect_deadline_s and kafka.max_poll_interval_s): {said}",
            setting="kafka.group_id",
            remedy="look at its coordinator and its members: sluice doctor",
        )


def _generation(consumer: Consumer) -> int:
    """Return the generation of the group that we belong to, not above 0 for none.

    librdkafka gives it in no other way than within the metadata that it makes for transactions.
    """
    metadata = bytes(consumer.consumer_group_metadata())
    if not metadata.startswith(_METADATA):
        return -1
    return int.from_bytes(metadata[len(_METADATA) :][:4], "little", signed=True)

"""What an error code of Kafka means to this program, and what helps: one table, which all modules of this package ask.

Some codes are librdkafka's own, the others come from brokers. A code may mean one thing to a
transaction and another to a reader; the table says what it is, and the module that meets it says what to do next.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import cast

from confluent_kafka import KafkaError, KafkaException

from sluice.core.errors import BadSettings, BrokerLost


class Meaning(Enum):
    """What a code says."""

    DENIED = auto()  # a permission is missing
    UNREACHABLE = auto()  # no broker answers
    COORDINATOR_MOVES = auto()  # the coordinator is being elected, or loads its state: ask again
    FENCED = auto()  # a newer producer owns the transactional id
    EPOCH_GONE = auto()  # the brokers have forgotten the producer: a confirmed abort gives it a new epoch
    TRANSACTION_FAILED = auto()  # what a client says within a transaction that has already failed
    NO_TOPIC = auto()  # the topic or partition does not exist
    MESSAGE_REFUSED = auto()  # no number of attempts makes the topic take this message
    TOPIC_EXISTS = auto()
    REPLICATION = auto()  # there are fewer brokers than copies wanted
    TIMEOUT_TOO_LONG = auto()  # the transaction timeout is beyond the brokers' limit
    GROUP_REFUSES = auto()  # the group does not let this member in, as long as others stay as they are
    GROUP_IMPOSSIBLE = auto()  # the group will never let this member in
    NO_RECORD = auto()  # there is no record at this offset, now or any more


@dataclass(frozen=True, slots=True)
class Known:
    """One code. `setting` is the one that is wrong or helps, `remedy` what to do; both may be empty."""

    meaning: Meaning
    remedy: str = ""
    setting: str = ""


_CREATE = "create it with: sluice topics create"
_CHECK_SERVERS = "check kafka.bootstrap_servers"
GROUP = "set kafka.group_id to a name that no other group uses, or stop the others: sluice doctor says who they are"
_COMPACTED = "the broker calls it invalid; is the topic compacted?"
_REPLICATION = (
    "set topics.replication_factor to at most the number of brokers, and topics.min_insync_replicas below it or 1"
)

# librdkafka's own codes, by their public names.
TRANSPORT = KafkaError._TRANSPORT  # noqa: SLF001
TIMED_OUT = KafkaError._TIMED_OUT  # noqa: SLF001
ALL_BROKERS_DOWN = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001
WAIT_COORD = KafkaError._WAIT_COORD  # noqa: SLF001
FENCED = KafkaError._FENCED  # noqa: SLF001
STATE = KafkaError._STATE  # noqa: SLF001
QUEUE_FULL = KafkaError._QUEUE_FULL  # noqa: SLF001
UNKNOWN_TOPIC = KafkaError._UNKNOWN_TOPIC  # noqa: SLF001
UNKNOWN_PARTITION = KafkaError._UNKNOWN_PARTITION  # noqa: SLF001
PARTITION_EOF = KafkaError._PARTITION_EOF  # noqa: SLF001
AUTO_OFFSET_RESET = KafkaError._AUTO_OFFSET_RESET  # noqa: SLF001
PURGE_QUEUE = KafkaError._PURGE_QUEUE  # noqa: SLF001

TABLE = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: Known(Meaning.DENIED),
    KafkaError.GROUP_AUTHORIZATION_FAILED: Known(Meaning.DENIED),
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: Known(Meaning.DENIED),
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: Known(Meaning.DENIED),
    TRANSPORT: Known(Meaning.UNREACHABLE),
    TIMED_OUT: Known(Meaning.UNREACHABLE),
    ALL_BROKERS_DOWN: Known(Meaning.UNREACHABLE),
    WAIT_COORD: Known(Meaning.COORDINATOR_MOVES),
    KafkaError.NOT_COORDINATOR: Known(Meaning.COORDINATOR_MOVES),
    KafkaError.COORDINATOR_NOT_AVAILABLE: Known(Meaning.COORDINATOR_MOVES),
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS: Known(Meaning.COORDINATOR_MOVES),
    FENCED: Known(Meaning.FENCED),
    KafkaError.INVALID_PRODUCER_EPOCH: Known(Meaning.FENCED),
    KafkaError.PRODUCER_FENCED: Known(Meaning.FENCED),
    KafkaError.UNKNOWN_PRODUCER_ID: Known(Meaning.EPOCH_GONE),
    KafkaError.INVALID_PRODUCER_ID_MAPPING: Known(Meaning.EPOCH_GONE),
    STATE: Known(Meaning.TRANSACTION_FAILED),
    QUEUE_FULL: Known(Meaning.TRANSACTION_FAILED),
    KafkaError.UNKNOWN_TOPIC_OR_PART: Known(Meaning.NO_TOPIC, _CREATE),
    UNKNOWN_TOPIC: Known(Meaning.NO_TOPIC, _CREATE),
    UNKNOWN_PARTITION: Known(Meaning.NO_TOPIC, _CREATE),
    KafkaError.MSG_SIZE_TOO_LARGE: Known(
        Meaning.MESSAGE_REFUSED,
        "raise max.message.bytes of the topic, or lower media.max_event_bytes",
        "media.max_event_bytes",
    ),
    KafkaError.RECORD_LIST_TOO_LARGE: Known(Meaning.MESSAGE_REFUSED, "raise segment.bytes of the topic"),
    KafkaError.INVALID_MSG: Known(Meaning.MESSAGE_REFUSED, _COMPACTED),
    KafkaError.INVALID_RECORD: Known(Meaning.MESSAGE_REFUSED, _COMPACTED),
    KafkaError.POLICY_VIOLATION: Known(Meaning.MESSAGE_REFUSED, "the broker's policy forbids it"),
    KafkaError.TOPIC_ALREADY_EXISTS: Known(Meaning.TOPIC_EXISTS),
    KafkaError.INVALID_REPLICATION_FACTOR: Known(Meaning.REPLICATION, _REPLICATION, "topics.replication_factor"),
    KafkaError.INVALID_TRANSACTION_TIMEOUT: Known(Meaning.TIMEOUT_TOO_LONG, "lower it", "kafka.transaction_timeout_s"),
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: Known(
        Meaning.GROUP_REFUSES,
        "its members share their work in another way (another assignor, or another protocol than kafka.group_protocol);"
        f" {GROUP}",
        "kafka.group_id",
    ),
    KafkaError.GROUP_MAX_SIZE_REACHED: Known(
        Meaning.GROUP_REFUSES,
        f"it is full (group.max.size of the brokers); run fewer replicas, or {GROUP}",
        "kafka.group_id",
    ),
    KafkaError.INVALID_SESSION_TIMEOUT: Known(
        Meaning.GROUP_IMPOSSIBLE,
        "kafka.session_timeout_s is outside of what the brokers allow "
        "(group.min.session.timeout.ms, group.max.session.timeout.ms)",
        "kafka.session_timeout_s",
    ),
    KafkaError.INVALID_GROUP_ID: Known(
        Meaning.GROUP_IMPOSSIBLE, "kafka.group_id is no name of a group", "kafka.group_id"
    ),
    PARTITION_EOF: Known(Meaning.NO_RECORD),
    AUTO_OFFSET_RESET: Known(Meaning.NO_RECORD),
}


def no_broker(message: str) -> BrokerLost:
    """Return the error for silence of all brokers."""
    return BrokerLost(message, setting="kafka.bootstrap_servers", remedy=_CHECK_SERVERS)


def no_topic(topic: str) -> BadSettings:
    """Return the error for a topic that does not exist."""
    return BadSettings(f"topic {topic} does not exist", remedy=_CREATE)


def error_of(exception: KafkaException) -> KafkaError:
    """Return what librdkafka says of an exception it raised."""
    return cast(KafkaError, exception.args[0])


def known(error: KafkaError) -> Known | None:
    """Return what the table says of an error, None when it says nothing."""
    return TABLE.get(error.code())


def means(error: KafkaError, *meanings: Meaning) -> bool:
    """Whether the error is one of these."""
    found = TABLE.get(error.code())
    return found is not None and found.meaning in meanings


def denies_topic(error: KafkaError) -> bool:
    """Whether a topic is denied: a reader without a group is told that it may not use one, too, which is no matter."""
    return error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def is_end(error: KafkaError) -> bool:
    """Whether a reader has come to the end of a partition."""
    return error.code() == PARTITION_EOF

"""Questions to a broker on loopback without authentication, such as the demo's."""

from typing import Any, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from sluice.kafka.client import open_admin


class Member(NamedTuple):
    """A member of a group: its id, and the client that it says it is."""

    id: str
    client_id: str


def answers(address: str, timeout_s: float) -> bool:
    """Whether the broker at `address` lists its topics within the timeout."""
    try:
        _admin(address).list_topics(timeout=timeout_s)
    except KafkaException:
        return False
    return True


def members(address: str, group: str, timeout_s: float) -> list[Member]:
    """Return the members of a group. Raises KafkaException when the broker does not tell."""
    ask: Any = _admin(address)  # its type stubs do not know what is in the futures
    described = ask.describe_consumer_groups([group], request_timeout=timeout_s)[group].result()
    return [Member(str(member.member_id), str(member.client_id)) for member in described.members]


def _admin(address: str) -> AdminClient:
    return open_admin({"bootstrap.servers": address, "log_level": 0}, lambda _: None)

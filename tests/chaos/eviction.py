"""Do what the embedded broker leaves undone: give up the members of a group that died.

It keeps them for ever, so the group would wait for its dead leader. Every other broker does this by itself when
session.timeout.ms is over.
"""

import socket
import struct

from confluent_kafka.admin import AdminClient

from sluice.bus.client import admin_config, open_admin
from sluice.settings import Kafka

ANSWER_WITHIN_S = 30.0
LEAVE_GROUP, VERSION = 13, 0  # https://kafka.apache.org/protocol#The_Messages_LeaveGroup
UNKNOWN_MEMBER_ID = 25


def evict_all(kafka: Kafka) -> None:
    """Let every member leave the group of these settings; the caller knows that all of them are dead."""
    for member in _members(open_admin(admin_config(kafka), lambda _: None), kafka.group_id):
        _leave(kafka, member)


def _members(admin: AdminClient, group: str) -> list[str]:
    described = admin.describe_consumer_groups([group], request_timeout=ANSWER_WITHIN_S)[group].result()
    return [member.member_id for member in described.members]


def _leave(kafka: Kafka, member: str) -> None:
    """Send the request that the member itself would have sent."""
    header = struct.pack(">hhi", LEAVE_GROUP, VERSION, 1) + _text("evict")
    request = header + _text(kafka.group_id) + _text(member)
    host, _, port = kafka.bootstrap_servers.rpartition(":")
    with socket.create_connection((host, int(port)), ANSWER_WITHIN_S) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        with connection.makefile("rb") as answer:
            (length,) = struct.unpack(">i", answer.read(4))
            _, code = struct.unpack(">ih", answer.read(length))
    assert code in {0, UNKNOWN_MEMBER_ID}, f"the broker answers {code} to LeaveGroup"


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">h", len(data)) + data

"""Say goodbye to the group for members that died: the embedded broker, unlike Apache Kafka, never misses them itself.

Seen with noida-db 0.2.3: a member without heartbeats stays in its group for ever, stays its leader, and every later
member waits for the assignment that this leader does not send.
"""

import socket
import struct

from sluice.kafka.loopback import members

_LEAVE_GROUP, _VERSION = 13, 0  # Kafka protocol: api key; the first version names one member by its id
_TIMEOUT_S = 10.0


def evict(address: str, group: str, client_id: str | None = None) -> int:
    """Take every member of `group`, or those that go by `client_id`, out of it; return how many there were.

    The caller knows that they are dead. For one broker on loopback without authentication.
    """
    dead = [member for member in members(address, group, _TIMEOUT_S) if client_id in {None, member.client_id}]
    for member in dead:
        _leave(address, group, member.id)
    return len(dead)


def _leave(address: str, group: str, member_id: str) -> None:
    host, _, port = address.rpartition(":")
    header = struct.pack(">hhi", _LEAVE_GROUP, _VERSION, 0) + _text("sluice")
    request = header + _text(group) + _text(member_id)
    with socket.create_connection((host, int(port)), _TIMEOUT_S) as broker:
        broker.sendall(struct.pack(">i", len(request)) + request)
        broker.recv(4, socket.MSG_WAITALL)  # an answer means that it is done; a member that is gone is no error


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack(">h", len(encoded)) + encoded

"""Ports that nobody listens on, below those that clients are given: none is taken between the look and the bind."""

import socket
import time
from random import Random

HOST = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Return so many ports of loopback, in order."""
    dice = Random(time.monotonic_ns())
    found: set[int] = set()
    while len(found) < count:
        port = dice.randrange(12_000, 32_000)
        if not listens(port):
            found.add(port)
    return sorted(found)


def free_port() -> int:
    """Return one."""
    (port,) = free_ports(1)
    return port


def listens(port: int) -> bool:
    """Tell whether somebody does."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0

"""The embedded broker lives exactly as long as whoever started it."""

import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from sluice.bus import topics
from sluice.bus.client import admin_config, open_admin
from sluice.bus.embedded import embedded_broker
from sluice.core.deadline import Deadline
from sluice.settings import Kafka, Media, Topics
from tests.support.brokers import EMBEDDED

pytestmark = [*EMBEDDED]
HOLDER = """
import pathlib, sys, time
from sluice.bus.embedded import embedded_broker
with embedded_broker(pathlib.Path(sys.argv[1])) as address:
    print(address, flush=True)
    time.sleep(60)
"""


def test_the_embedded_broker_dies_with_whoever_started_it(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    address = process.stdout.readline().strip()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    host, _, port = address.rpartition(":")
    with pytest.raises(ConnectionRefusedError):
        connect_for(host, int(port), 20.0)


def connect_for(host: str, port: int, seconds: float) -> None:
    deadline = Deadline.after(seconds, time.monotonic)
    while not deadline.over:
        with suppress(ConnectionResetError):  # it is dying at this moment
            socket.create_connection((host, port), timeout=1.0).close()


def test_the_embedded_broker_starts_again_on_its_own_data(tmp_path: Path) -> None:
    wanted = topics.specs(Topics(replication_factor=1, min_insync_replicas=1), Media())
    for expected in (6, 0):
        with embedded_broker(tmp_path) as address:
            admin = open_admin(admin_config(Kafka(bootstrap_servers=address)), lambda _: None)
            assert len(topics.create(admin, wanted)) == expected

"""The embedded broker lives exactly as long as whoever started it."""

import subprocess
import sys
from pathlib import Path

from sluice.demo.embedded_broker import embedded_broker
from sluice.kafka import topics
from sluice.kafka.client import admin_config, open_admin
from sluice.settings import Kafka, Media, Topics
from tests.support import commands
from tests.support.brokers import EMBEDDED

pytestmark = [*EMBEDDED]
HOLDER = """
import pathlib, sys, time
from sluice.demo.embedded_broker import embedded_broker
with embedded_broker(pathlib.Path(sys.argv[1])) as address:
    print(address, flush=True)
    time.sleep(600)
"""


def test_the_embedded_broker_dies_with_whoever_started_it(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        began = process.stdout.readline().strip()
        running = commands.running_in(tmp_path)
        process.kill()
    assert began
    assert len(running) > 1
    commands.await_end_in(tmp_path)


def test_the_embedded_broker_starts_again_on_its_own_data(tmp_path: Path) -> None:
    wanted = topics.specs(Topics(replication_factor=1, min_insync_replicas=1), Media())
    for expected in (6, 0):
        with embedded_broker(tmp_path) as address:
            admin = open_admin(admin_config(Kafka(bootstrap_servers=address)), lambda _: None)
            assert len(topics.create(admin, wanted)) == expected

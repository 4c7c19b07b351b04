"""The containers as the chart describes them, run here: the same arguments, variables and settings, other folders."""

import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from sluice.settings.environment import without_settings
from tests.chaos.stage import Stage
from tests.chaos.worker import SLUICE
from tests.helm.chart import Helm, Resource, example, merged
from tests.helm.pods import mounted, variables
from tests.helm.policies import consumer, of, one, pod
from tests.support.brokers import EMBEDDED
from tests.support.ports import free_port

pytestmark = [*EMBEDDED]

PORT = 9464


@pytest.fixture
def made(helm: Helm, embedded_address: str, tmp_path: Path) -> list[Resource]:
    """Render the chart for the embedded broker, with topics that are there."""
    stage = Stage(embedded_address, tmp_path / "stage", partitions=2)
    stage.folder.mkdir()
    stage.set_up()
    names = {"images": stage.topics.images, "verdicts": stage.topics.verdicts, "quality": stage.topics.quality,
             "dead_letters": stage.topics.dead_letters}  # fmt: skip
    copies = {"partitions": 2, "replication_factor": 1, "min_insync_replicas": 1}
    kafka = {"bootstrap_servers": embedded_address, "group_id": stage.kafka.group_id}
    return helm.render(merged(example("demo"), {"settings": {"kafka": kafka, "topics": names | copies}}))


def start(container: Mapping[str, Any], made: list[Resource], folder: Path, port: int) -> "subprocess.Popen[bytes]":
    """Start what a container runs: what it would find at /etc/sluice, /run/sluice and at the port is elsewhere."""
    config = mounted(made, folder / "config", {"/run/sluice": str(folder), f": {PORT}": f": {port}"})
    given = variables(container) | {"SLUICE_CONFIG": str(config / "settings.yaml"), "HOME": str(folder)}
    environment = without_settings() | given | {"TMPDIR": str(folder)}
    return subprocess.Popen([SLUICE, *container["args"]], cwd=folder, env=environment, stdout=None, stderr=None)


def asked(probe: Mapping[str, Any], port: int) -> int:
    """Return what the kubelet would be told, 0 for nothing."""
    try:
        with urlopen(f"http://127.0.0.1:{port}{probe['httpGet']['path']}", timeout=probe["timeoutSeconds"]) as reply:
            return int(reply.status)
    except HTTPError as error:
        return error.code
    except (URLError, OSError):
        return 0


def test_the_consumer_starts_within_its_probes_and_leaves_within_its_grace(
    made: list[Resource], tmp_path: Path
) -> None:
    container, port = consumer(made), free_port()
    startup = container["startupProbe"]
    with start(container, made, tmp_path, port) as process:
        try:
            deadline = time.monotonic() + startup["periodSeconds"] * startup["failureThreshold"]
            while asked(startup, port) != 200:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
            while asked(container["readinessProbe"], port) != 200:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
            assert asked(container["livenessProbe"], port) == 200
            assert list(tmp_path.glob(f"*{variables(container)['SLUICE_KAFKA__TRANSACTIONAL_ID']}*")), "no journal"
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as page:
                assert b"\nsluice_ready" in page.read()
            process.send_signal(signal.SIGTERM)
            assert process.wait(pod(one(made, "StatefulSet"))["terminationGracePeriodSeconds"]) == 0
        finally:
            process.kill()


def test_the_doctor_finds_everything_well(made: list[Resource], tmp_path: Path) -> None:
    container = pod(of(made, "Pod")[0])["containers"][0]
    with start(container, made, tmp_path, PORT) as process:
        assert process.wait(240) == 0

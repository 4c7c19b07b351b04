"""The README's display service, taken from the page and run against a broker."""

import hashlib
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from confluent_kafka import Producer

from sluice.bus.client import open_admin
from sluice.bus.topics import create, specs
from sluice.settings import Settings
from sluice_schemas import Mode, PolicyRef, Source, Status, Timings, Verdict, encode

README = Path(__file__).parents[2] / "README.md"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ASK = """
import json, sys, threading, time
threading.Thread(target=follow, args=(sys.argv[1], "readme"), daemon=True).start()
while len(standing) < 2:
    time.sleep(0.05)
asked = [("shown", b"bytes"), ("shown", b"other bytes"), ("hidden", b"bytes"), ("unknown", b"bytes")]
print(json.dumps([show(*question) for question in asked]))
"""


def verdict(image_id: str, data: bytes, status: Status) -> Verdict:
    return Verdict(
        verdict_id=UUID(int=len(image_id)),
        image_id=image_id,
        image_sha256=hashlib.sha256(data).hexdigest(),
        status=status,
        policy=PolicyRef("p", 1, "d"),
        preprocess_digest="d",
        source=Source("images.generated.v1", 0, 0),
        timings_ms=Timings(),
        produced_at=NOW,
        mode=Mode.ENFORCE,
    )


@pytest.mark.embedded
def test_the_display_service_shows_only_allowed_bytes(embedded_address: str) -> None:
    [code] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    settings = Settings.model_validate({"topics": {"replication_factor": 1, "min_insync_replicas": 1}})
    admin = open_admin({"bootstrap.servers": embedded_address}, lambda _: None)
    create(admin, specs(settings.topics, settings.media))
    producer = Producer({"bootstrap.servers": embedded_address})
    for image_id, status in (("shown", Status.ALLOW), ("hidden", Status.BLOCK)):
        producer.produce("images.verdicts.v1", encode(verdict(image_id, b"bytes", status)), image_id)
    assert producer.flush(60) == 0
    command = [sys.executable, "-c", code + ASK, embedded_address]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    assert json.loads(answer.stdout) == [True, False, False, False]

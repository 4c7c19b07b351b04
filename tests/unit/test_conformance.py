"""The conformance vectors: in step with their maker, met by this gate, and without a gap."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from sluice_schemas import Decision, VerdictView, Why
from sluice_schemas.signing import KeyRing
from sluice_schemas.verdict_view import trusting
from tests.support.gate_vectors import FILE, text

VECTORS: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))["vectors"]


def decide(vector: dict[str, Any]) -> Decision:
    """Answer as a service in any language would: from the JSON alone."""
    config = vector["config"]
    ring = None if config["keys"] is None else KeyRing.of(json.dumps(config["keys"]))
    standing = VerdictView(check=ring.check if ring else trusting, clock_skew=timedelta(seconds=config["clock_skew_s"]))
    for message in vector["messages"]:
        value = None if message["value"] is None else bytes.fromhex(message["value"])
        headers = tuple((name, bytes.fromhex(content)) for name, content in message["headers"])
        standing.fold(message["key"].encode(), value, headers)
    for partition, position in vector["positions"].items():
        standing.reached(int(partition), position)
    standing.aim({int(partition): end for partition, end in vector["ends"].items()})
    return standing.may_show(
        vector["image_id"],
        vector["presented_sha256"],
        minimum_policy_version=config["minimum_policy_version"],
        now=datetime.fromisoformat(vector["now"]),
    )


def test_the_file_is_what_its_maker_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "run python -m tests.support.gate_vectors"


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_gate_gives_the_expected_answer(vector: dict[str, Any]) -> None:
    found = decide(vector)
    assert {"show": found.show, "reason": found.reason, "alert": found.alert} == vector["expected"]


def test_every_reason_has_a_vector_and_every_vector_its_own_name() -> None:
    assert {vector["expected"]["reason"] for vector in VECTORS} == set(Why)
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS) > 60

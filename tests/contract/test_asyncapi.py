"""The AsyncAPI document says what the contract says, and AsyncAPI's own parser has nothing against it."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastavro.schema import parse_schema
from typer.testing import CliRunner

from sluice.cli import app
from sluice_schemas import CloudEvent, Trace
from sluice_schemas.asyncapi import AVRO, document
from sluice_schemas.headers import KEY_ID, SIGNATURE
from sluice_schemas.released import newest
from sluice_schemas.topics import TOPICS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/asyncapi.yaml"
NPM = ROOT / "tests/npm"


def references(node: Any) -> Iterator[str]:
    """Yield every reference within `node`."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_the_page_is_in_step() -> None:
    done = CliRunner().invoke(app, ["topics", "asyncapi", "--check", str(PAGE)])
    assert done.exit_code == 0, done.output


def test_a_page_out_of_step_is_found(tmp_path: Path) -> None:
    page = tmp_path / "asyncapi.yaml"
    page.write_text(PAGE.read_text(encoding="utf-8").replace("images.verdicts.v1", "images.verdicts.v2"))
    done = CliRunner().invoke(app, ["topics", "asyncapi", "--check", str(page)])
    assert done.exit_code == 1
    assert "sluice topics asyncapi >" in done.output


def test_the_page_is_the_document() -> None:
    assert yaml.safe_load(PAGE.read_text(encoding="utf-8")) == document()


def test_every_reference_leads_somewhere() -> None:
    found = list(references(document()))
    assert len(found) > 3 * len(TOPICS)
    for reference in found:
        node: Any = document()
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_every_topic_carries_the_newest_schema_of_its_event(topic: Any) -> None:
    channel = document()["channels"][topic.name]
    event = topic.event.__name__
    assert channel["address"] == topic.name
    assert channel["bindings"]["kafka"]["topicConfiguration"] == {"cleanup.policy": [topic.cleanup]}
    assert list(channel["messages"]) == [event]
    payload = document()["components"]["messages"][event]["payload"]
    assert payload == {"schemaFormat": AVRO, "schema": newest(event).definition}
    parse_schema(payload["schema"])


def test_it_reads_images_and_sends_what_goes_out() -> None:
    does = {(operation["action"], operation["channel"]["$ref"]) for operation in document()["operations"].values()}
    assert does == {("receive", "#/channels/images.generated.v1")} | {
        ("send", f"#/channels/{topic.name}") for topic in TOPICS if topic.direction == "out"
    }


def test_its_headers_are_those_that_events_have() -> None:
    trace = Trace(traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01", tracestate="x=y")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    event = CloudEvent(id="i", source="s", type="t", time=now, subject="j", causation_id="c", trace=trace)
    names = [name for name, _ in event.headers()]
    assert list(document()["components"]["schemas"]["headers"]["properties"]) == [*names, SIGNATURE, KEY_ID]


def complaints(text: str) -> list[str]:
    """Return the errors and warnings of AsyncAPI's parser."""
    node = shutil.which("node")
    if node is None or not (NPM / "node_modules/@asyncapi/parser").is_dir():
        pytest.skip("needs node and: npm ci --prefix tests/npm --ignore-scripts")
    script = [node, str(NPM / "asyncapi.js")]
    done = subprocess.run(script, input=text, capture_output=True, text=True, timeout=120, check=True)
    return [f"{found['path']}: {found['message']}" for found in json.loads(done.stdout) if found["severity"] < 2]


@pytest.mark.npm
def test_the_parser_takes_it() -> None:
    assert complaints(PAGE.read_text(encoding="utf-8")) == []


@pytest.mark.npm
@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("action: receive", "action: read", "operations.receiveImageGenerated.action"),
        ("#/components/messages/Verdict", "#/components/messages/Judgement", "does not exist"),
        ("          type: record", "          type: table", "components.messages.ImageGenerated.payload"),
    ],
)
def test_the_parser_sees_what_is_wrong(right: str, wrong: str, complaint: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert right in text
    assert any(complaint in found for found in complaints(text.replace(right, wrong, 1)))

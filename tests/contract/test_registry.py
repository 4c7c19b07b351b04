"""What Sluice needs of a schema registry, on the fake one and on a real one.

`SLUICE_TEST_REGISTRY` is the address of a registry (subjects it does not know yet are made up, so it may be shared), or
a command that runs one in the foreground on the port given as its last argument.
"""

import copy
import json
import os
import shlex
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from sluice_schemas import EVENTS, RegistryRefused, Verdict, WireError
from sluice_schemas.registry import ConfluentFraming, Registry, connect
from sluice_schemas.released import newest, released
from sluice_schemas.topics import TOPICS, subject_of
from tests.contract.fake_registry import FakeRegistry
from tests.support.ports import free_port
from tests.unit.schemas_strategies import IMAGE, VERDICT

SETTING = "SLUICE_TEST_REGISTRY"
ROOTS = ("", "/apis/ccompat/v7")  # where registries put Confluent's API
START_S = 180.0


def find_root(address: str, alive: Callable[[], bool]) -> str:
    """Return the address and path that answer with a list of subjects, once something does."""
    deadline = time.monotonic() + START_S
    with httpx.Client(trust_env=False, timeout=2.0) as client:
        while time.monotonic() < deadline and alive():
            for root in ROOTS:
                try:
                    response = client.get(f"{address.rstrip('/')}{root}/subjects")
                except httpx.HTTPError:
                    time.sleep(0.1)  # between two looks at a process that starts
                    continue
                if response.is_success and isinstance(response.json(), list):
                    return f"{address.rstrip('/')}{root}"
    pytest.fail(f"no schema registry answers at {address}")


@contextmanager
def started(command: str) -> Iterator[str]:
    """Run a registry on a free port for as long as the context lasts."""
    port = free_port()
    process = subprocess.Popen([*shlex.split(command), str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield find_root(f"http://127.0.0.1:{port}", lambda: process.poll() is None)
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Find or start the registry named by the environment."""
    setting = os.environ.get(SETTING, "")
    if not setting:
        pytest.skip(f"{SETTING} is not set: the address of a schema registry, or a command that starts one")
    if setting.startswith(("http://", "https://")):
        yield find_root(setting, lambda: True)
    else:
        with started(setting) as found:
            yield found


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.registry)])
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    """Reach a registry, fake or real."""
    if request.param == "fake":
        client = Registry(FakeRegistry().client())
    else:
        client = connect(request.getfixturevalue("address"))
    yield client
    client.close()


@pytest.fixture
def topic() -> str:
    """Make up a topic no registry has heard of."""
    return f"t-{uuid.uuid4().hex}"


def test_every_version_of_every_event_is_registered_and_read_back(registry: Registry, topic: str) -> None:
    for schema in released():
        subject = subject_of(f"{topic}.{schema.event}")
        registry.require(subject)
        registered = registry.register(subject, schema.text)
        assert registry.look_up(subject, schema.text) == registered
        assert registry.register(subject, schema.text) == registered
        assert registry.schema(registered.id) == schema.definition


def test_every_topic_of_the_contract_has_the_subject_of_its_name() -> None:
    assert [topic.subject for topic in TOPICS] == [f"{topic.name}-value" for topic in TOPICS]


def with_field(definition: dict[str, Any], field: dict[str, Any]) -> str:
    """Return a schema with one more field."""
    changed = copy.deepcopy(definition)
    changed["fields"].append(field)
    return json.dumps(changed)


@pytest.mark.parametrize("event", EVENTS)
def test_a_breaking_version_is_refused_and_an_additive_one_taken(
    registry: Registry, topic: str, event: type[Any]
) -> None:
    subject, schema = subject_of(topic), newest(event.__name__)
    registry.require(subject)
    assert registry.compatible(subject, schema.text)
    registry.register(subject, schema.text)
    breaking = with_field(schema.definition, {"name": "later", "type": "string"})
    additive = with_field(schema.definition, {"name": "later", "type": ["null", "string"], "default": None})
    assert not registry.compatible(subject, breaking)
    with pytest.raises(RegistryRefused) as caught:
        registry.register(subject, breaking)
    assert caught.value.status == 409
    assert registry.compatible(subject, additive)
    registry.register(subject, additive)


def test_an_unknown_schema_and_an_unknown_subject_are_told_from_a_wrong_address(registry: Registry, topic: str) -> None:
    with pytest.raises(RegistryRefused) as caught:
        registry.schema(2**30)
    assert (caught.value.status, caught.value.code) == (404, 40403)
    with pytest.raises(RegistryRefused) as caught:
        registry.look_up(subject_of(topic), newest("Verdict").text)
    assert (caught.value.status, caught.value.code) == (404, 40401)


def test_a_framed_event_is_read_by_another_client(registry: Registry, topic: str) -> None:
    data, headers = ConfluentFraming(registry, auto_register=True).encode(topic, VERDICT)
    assert data[:1] == b"\0"
    assert ConfluentFraming(registry).decode(topic, data, headers, Verdict) == VERDICT


def test_nothing_is_registered_unless_asked(registry: Registry, topic: str) -> None:
    with pytest.raises(RegistryRefused):
        ConfluentFraming(registry).encode(topic, VERDICT)
    ConfluentFraming(registry, auto_register=True).encode(topic, VERDICT)
    assert ConfluentFraming(registry).encode(topic, VERDICT)


def test_an_event_of_a_newer_schema_is_read_by_its_id(registry: Registry, topic: str) -> None:
    definition = newest("ImageGenerated").definition
    newer = with_field(definition, {"name": "later", "type": ["null", "string"], "default": None})
    registered = registry.register(subject_of(topic), newer)
    data, _ = ConfluentFraming(registry, auto_register=True).encode(f"{topic}.old", IMAGE)
    framed = b"\0" + registered.id.to_bytes(4, "big") + data[5:] + b"\2" + b"\4hi"
    assert ConfluentFraming(registry).decode(topic, framed, (), type(IMAGE)) == IMAGE


def test_an_id_the_registry_does_not_know_is_a_data_error(registry: Registry, topic: str) -> None:
    with pytest.raises(WireError) as caught:
        ConfluentFraming(registry).decode(topic, b"\0\x40\0\0\0body", (), Verdict)
    assert caught.value.reason == "unknown_schema_id"

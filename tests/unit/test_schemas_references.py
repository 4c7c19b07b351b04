"""Schemas that refer to others of the registry are resolved: nested, shared, missing, in a circle, without end."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from sluice_schemas import ImageGenerated, RegistryDown, WireError, encode
from sluice_schemas.registry import ConfluentFraming, Registry
from sluice_schemas.registry_client import MAX_REFERENCES
from sluice_schemas.released import newest
from tests.unit.schemas_strategies import IMAGE

BODY = encode(IMAGE)[10:]


def parts() -> tuple[Any, dict[str, Any]]:
    """Return the schema of an image event with its parts only named, and the parts by name."""
    schema = newest("ImageGenerated").definition
    found = {}
    for at in schema["fields"]:
        if isinstance(at["type"], dict) and at["type"]["type"] == "record":
            found[at["type"]["name"]] = at["type"] | {"namespace": "io.sluice"}
            at["type"] = f"io.sluice.{at['type']['name']}"
    return schema, found


EVENT, PARTS = parts()


def to(*subjects: str, version: Any = 1) -> list[dict[str, Any]]:
    """Return references to the first versions of subjects."""
    return [{"name": f"io.sluice.{subject}", "subject": subject, "version": version} for subject in subjects]


@dataclass
class World:
    """A registry with the event's schema as 7 and whatever subjects a test gives it."""

    references: Any
    event: Any = field(default_factory=lambda: EVENT)
    subjects: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    otherwise: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(404)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        self.calls.append(request.url.path)
        match request.url.path.strip("/").split("/"):
            case ["schemas", "ids", "7"]:
                return self._schema(self.event, self.references)
            case ["schemas", "types"]:
                return httpx.Response(200, json=["AVRO"])
            case ["subjects", subject, "versions", "1"] if subject in self.subjects:
                return self._schema(*self.subjects[subject])
            case _:
                return self.otherwise(request)

    def _schema(self, schema: Any, references: Any) -> httpx.Response:
        return httpx.Response(200, json={"schema": json.dumps(schema), "references": references})

    def read(self, body: bytes = BODY) -> ImageGenerated:
        """Read an image event under id 7."""
        client = httpx.Client(base_url="http://registry.test/", transport=httpx.MockTransport(self.answer))
        data = b"\0\0\0\0\7" + body
        return ConfluentFraming(Registry(client)).decode("t", data, (), ImageGenerated)

    def reason(self) -> str:
        """Why it is refused."""
        with pytest.raises(WireError) as caught:
            self.read()
        return caught.value.reason


def test_a_part_that_is_a_schema_of_its_own_is_read() -> None:
    world = World(to(*PARTS), subjects={name: (part, []) for name, part in PARTS.items()})
    assert world.read() == IMAGE


def test_parts_of_parts_are_read_and_a_shared_one_is_asked_for_once() -> None:
    world = World(to(*PARTS), subjects={"Seal": ({"type": "fixed", "name": "Seal", "namespace": "s", "size": 0}, None)})
    for name, part in PARTS.items():
        sealed = part | {"fields": [*part["fields"], {"name": "seal", "type": "s.Seal"}]}
        world.subjects[name] = (sealed, to("Seal"))
    assert world.read() == IMAGE
    assert world.calls.count("/subjects/Seal/versions/1") == 1


def chain(length: int) -> World:
    """Return a registry whose event refers to T0, that to T1, and so on."""
    world = World(to(*PARTS, "T0"), subjects={name: (part, []) for name, part in PARTS.items()})
    for at in range(length):
        last = at == length - 1
        inner: Any = "null" if last else ["null", f"io.sluice.T{at + 1}"]
        schema = {
            "type": "record",
            "name": f"T{at}",
            "namespace": "io.sluice",
            "fields": [{"name": "f", "type": inner}],
        }
        world.subjects[f"T{at}"] = (schema, [] if last else to(f"T{at + 1}"))
    world.event = EVENT | {"fields": [*EVENT["fields"], {"name": "more", "type": "io.sluice.T0"}]}
    return world


def test_a_long_chain_of_references_is_followed() -> None:
    assert chain(MAX_REFERENCES - len(PARTS)).read(BODY + b"\2\2\0") == IMAGE


def test_a_longer_one_is_refused_and_what_it_costs_is_bounded() -> None:
    world = chain(2 * MAX_REFERENCES)
    assert world.reason() == "unresolvable_schema"
    assert len(world.calls) <= MAX_REFERENCES + 1


def test_a_circle_of_references_is_refused() -> None:
    part = PARTS["Image"]
    world = World(
        to(*PARTS), subjects={"Image": (part, to("Generator")), "Generator": (PARTS["Generator"], to("Image"))}
    )
    assert world.reason() == "unresolvable_schema"
    assert len(world.calls) == 3  # each once: the event, the image, the generator


def test_a_schema_that_refers_to_itself_is_refused() -> None:
    assert World(to(*PARTS), subjects={name: (part, to(name)) for name, part in PARTS.items()}).reason() == (
        "unresolvable_schema"
    )


@pytest.mark.parametrize("status", [400, 403, 404, 302, 200])
def test_a_reference_that_cannot_be_had_is_the_schemas_fault(status: int) -> None:
    assert World(to(*PARTS), otherwise=lambda _: httpx.Response(status)).reason() == "unresolvable_schema"


def test_a_reference_that_fails_now_is_waited_for() -> None:
    with pytest.raises(RegistryDown):
        World(to(*PARTS), otherwise=lambda _: httpx.Response(503)).read()


@pytest.mark.parametrize(
    "references",
    [
        [],
        7,
        [7],
        [{"name": "io.sluice.Image"}],
        [{"subject": "Image", "version": "newest"}],
        {"Image": 1},
        to("Image", version=[1]),
        to("Image"),
    ],
)
def test_references_that_say_nothing_of_use_are_refused(references: Any) -> None:
    assert World(references, subjects={name: (part, []) for name, part in PARTS.items()}).reason() == (
        "unresolvable_schema"
    )


def test_a_name_that_is_defined_twice_is_refused() -> None:
    subjects: dict[str, Any] = {name: (part, []) for name, part in PARTS.items()}
    subjects["Other"] = (PARTS["Image"] | {"fields": []}, [])
    assert World(to(*PARTS, "Other"), subjects=subjects).reason() == "unresolvable_schema"


def test_a_reference_that_is_no_avro_is_the_schemas_fault() -> None:
    assert World(to("Image"), subjects={"Image": ("nonsense", [])}).reason() == "unresolvable_schema"


def test_a_subject_cannot_change_the_path() -> None:
    world = World(to("../../secret?x"))
    assert world.reason() == "unresolvable_schema"
    assert world.calls[-1] == "/subjects/../../secret?x/versions/1"  # decoded by the test's client: quoted on the wire

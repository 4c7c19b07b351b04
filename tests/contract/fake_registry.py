"""A schema registry in memory that answers as Confluent's API says; it passes the contract tests of the real one."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

import avro.schema
import httpx
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

_SPACE = UUID(int=0)


def reads(reader: str, writer: str) -> bool:
    """Tell whether Apache Avro's own checker lets the reader schema read the writer's data."""
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    result = checker.get_compatibility(avro.schema.parse(reader), avro.schema.parse(writer))
    return bool(result.compatibility is SchemaCompatibilityType.compatible)


@dataclass(slots=True)
class FakeRegistry:
    """Subjects with their versions; ids count over all subjects. `calls` are the paths that were asked for."""

    ids: dict[str, int] = field(default_factory=dict)
    subjects: dict[str, list[str]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    failure: Callable[[httpx.Request], httpx.Response] | None = None

    def client(self) -> httpx.Client:
        """Return an HTTP client that talks to this registry."""
        return httpx.Client(base_url="http://registry.test/", transport=httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:  # noqa: PLR0911 -- one return a route
        """Answer one request."""
        self.calls.append(f"{request.method} {request.url.path}")
        if self.failure is not None:
            return self.failure(request)
        body = json.loads(request.content or b"{}")
        match request.url.path.strip("/").split("/"):
            case ["subjects", subject, "versions"]:
                return self._register(subject, _canonical(body))
            case ["subjects", subject]:
                return self._look_up(subject, _canonical(body))
            case ["schemas", "ids" | "guids" as kind, key]:
                return self._schema(kind, key)
            case ["compatibility", "subjects", subject, "versions", "latest"]:
                return self._compatible(subject, _canonical(body))
            case ["schemas", "types"]:
                return httpx.Response(200, json=["AVRO"])
            case ["config", _]:
                return _json(body)
            case _:
                return _error(404, 404)

    def _compatible(self, subject: str, schema: str) -> httpx.Response:
        if subject not in self.subjects:
            return _error(404, 40401)
        return _json({"is_compatible": self._fits(subject, schema)})

    def _register(self, subject: str, schema: str) -> httpx.Response:
        if not self._fits(subject, schema):
            return _error(409, 409)
        versions = self.subjects.setdefault(subject, [])
        if schema not in versions:
            versions.append(schema)
        self.ids.setdefault(schema, len(self.ids) + 1)
        return _json(self._known(schema))

    def _look_up(self, subject: str, schema: str) -> httpx.Response:
        if subject not in self.subjects:
            return _error(404, 40401)
        return _json(self._known(schema)) if schema in self.subjects[subject] else _error(404, 40403)

    def _schema(self, kind: str, key: str) -> httpx.Response:
        part = "id" if kind == "ids" else "guid"
        for schema in self.ids:
            if str(self._known(schema)[part]) == key:
                return _json({"schema": schema})
        return _error(404, 40403)

    def _fits(self, subject: str, schema: str) -> bool:
        """Tell whether FULL_TRANSITIVE lets this schema in."""
        earlier = self.subjects.get(subject, [])
        return all(reads(schema, other) and reads(other, schema) for other in earlier)

    def _known(self, schema: str) -> dict[str, Any]:
        return {"id": self.ids[schema], "guid": str(uuid5(_SPACE, schema))}


def _canonical(body: dict[str, Any]) -> str:
    return json.dumps(json.loads(body["schema"]))


def _json(body: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, json=body)


def _error(status: int, code: int) -> httpx.Response:
    return httpx.Response(status, json={"error_code": code, "message": "no"})

"""What the chart repeats of the code and of itself: `python -m tests.helm.generate` writes it, a test compares.

values.schema.json gets the schema of the settings, README.md the table of values.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from sluice.settings import Settings

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm/sluice"
BEGIN, END = "<!-- begin: python -m tests.helm.generate -->", "<!-- end -->"
OWNED = frozenset({
    ("kafka", "transactional_id"),
    ("poison", "journal_folder"),
    ("telemetry", "heartbeat_file"),
    ("telemetry", "http_host"),
    ("telemetry", "http_port"),
    ("telemetry", "ready_file"),
})  # fmt: skip
"""Settings that the chart itself decides."""

WIDTH = 120
DROPPED = frozenset({"$defs", "title", "description", "default", "properties", "anyOf"})

Key = tuple[str, ...]


def settings() -> dict[str, Any]:
    """Return the schema of the values `settings`: the whole tree but for secrets and what the chart decides."""
    whole = Settings.model_json_schema()
    return _plain(whole, whole["$defs"], ())


def _plain(found: Mapping[str, Any], definitions: Mapping[str, Any], path: Key) -> dict[str, Any]:
    """Return a schema without references and without what only people read."""
    if "$ref" in found:
        found = definitions[found["$ref"].rpartition("/")[2]]
    made = {key: value for key, value in found.items() if key not in DROPPED}
    if "properties" in found:
        made["properties"] = {
            name: _plain(field, definitions, (*path, name))
            for name, field in found["properties"].items()
            if (*path, name) not in OWNED and not _secret(field)
        }
    if "anyOf" in found:
        made["anyOf"] = [_plain(option, definitions, path) for option in found["anyOf"]]
    return made


def _secret(field: Mapping[str, Any]) -> bool:
    return field.get("format") == "password"


def schema() -> str:
    """Return values.schema.json with the settings as they are now."""
    found = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    found["properties"]["settings"] = settings()
    return _pretty(found) + "\n"


def _pretty(value: Any, indent: str = "", label: str = "") -> str:
    """Return JSON in which whatever fits is on one line."""
    line = f"{indent}{label}{json.dumps(value)}"
    if len(line) < WIDTH or not isinstance(value, dict):
        return line
    parts = [_pretty(part, f"{indent}  ", f"{json.dumps(name)}: ") for name, part in value.items()]
    return f"{indent}{label}{{\n" + ",\n".join(parts) + f"\n{indent}}}"


def readme() -> str:
    """Return README.md with the table of values as they are now."""
    before, _, rest = (CHART / "README.md").read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    rows = [f"| `{'.'.join(path)}` | {_default(value)} | {text} |" for path, value, text in values()]
    return "\n".join([before + BEGIN, "", "| Value | Default | What |", "|---|---|---|", *rows, "", END + after])


def values() -> Iterator[tuple[Key, Any, str]]:
    """Yield path, default and comment of every value that has a comment, in the order of values.yaml."""
    text = (CHART / "values.yaml").read_text("utf-8")
    lines = text.splitlines()
    found = [(path, node, _above(lines, line)) for path, line, node in _keys(yaml.compose(text), ())]
    said = [path for path, _, comment in found if comment]
    for path, node, comment in found:
        if comment:
            grouped = any(other[: len(path)] == path and other != path for other in said)
            yield path, None if grouped else yaml.safe_load(yaml.serialize(node)), comment


def _keys(node: yaml.Node | None, above: Key) -> Iterator[tuple[Key, int, yaml.Node]]:
    if isinstance(node, yaml.MappingNode) and not node.flow_style:  # what stands on one line has one comment
        for key, value in node.value:
            path = (*above, key.value)
            yield path, key.start_mark.line, value
            yield from _keys(value, path)


def _above(lines: list[str], line: int) -> str:
    """Return the comment that stands right above the key that begins a line."""
    first = line
    while first > 0 and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return " ".join(text.lstrip().lstrip("#").strip() for text in lines[first:line])


def _default(value: Any) -> str:
    return "" if value is None else f"`{value if isinstance(value, str) and value else json.dumps(value)}`"


if __name__ == "__main__":
    (CHART / "values.schema.json").write_text(schema(), "utf-8")
    (CHART / "README.md").write_text(readme(), "utf-8")

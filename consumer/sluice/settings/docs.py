"""The reference of all settings, made from the tree itself."""

import json
from collections.abc import Iterator, Mapping
from inspect import getdoc
from typing import Any

from pydantic import SecretStr

from sluice.settings import Settings
from sluice.settings.sources import LEAVES, Key, variable

HEAD = """\
# Settings

Made by `sluice config docs`; a test keeps it in step with the code.

The first source that names a setting wins: an environment variable (an empty one counts as unset), `.env` in the
working folder, a file in the folder `SLUICE_SECRETS_DIR` names (`kafka__sasl_password`), the YAML file given with
`--config` or named by `SLUICE_CONFIG`, the default. A name that no setting has is an error in each of them.
A list may be written in a variable as `a,b` or as JSON, a mapping as JSON. `sluice config show` tells each value and
where it came from.
"""

_BOUNDS = (("exclusiveMinimum", ">"), ("minimum", ">="), ("exclusiveMaximum", "<"), ("maximum", "<="))


def markdown() -> str:
    """Return the reference as Markdown."""
    return "\n".join([HEAD, *_sections()])


def _sections() -> Iterator[str]:
    schema = Settings.model_json_schema()
    for name, field in Settings.model_fields.items():
        yield f"## {name}\n\n{getdoc(field.annotation)}\n"
        yield "| Setting | Variable | Allowed | Default | What |"
        yield "|---|---|---|---|---|"
        for key in LEAVES:
            if key[0] == name:
                yield _row(key, schema)
        yield ""


def _row(key: Key, schema: Mapping[str, Any]) -> str:
    field = LEAVES[key]
    default = field.get_default(call_default_factory=True, validated_data={})
    cells = (
        f"`{'.'.join(map(str, key))}`",
        f"`{variable(key)}`",
        allowed(_schema_at(key, schema), schema),
        _default(default),
        field.description or "",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _schema_at(key: Key, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found = schema
    for part in key:
        found = _resolved(found, schema)["properties"][part]
    return found


def _resolved(found: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = found.get("$ref", "")
    target: Mapping[str, Any] = schema["$defs"][reference.rpartition("/")[2]] if reference else found
    return target


def allowed(found: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return in words what a JSON schema allows."""
    found = _resolved(found, schema)
    if "anyOf" in found:
        options = [option for option in found["anyOf"] if option.get("type") != "null"]
        text = " or ".join(dict.fromkeys(allowed(option, schema) for option in options))
        return f"{text}, or empty" if len(options) < len(found["anyOf"]) else text
    if "enum" in found or "const" in found:
        return ", ".join(f"`{choice}`" if choice else "empty" for choice in found.get("enum", [found.get("const")]))
    if found["type"] == "array":
        return f"list of {allowed(found['items'], schema)}"
    if found["type"] == "object":
        return "mapping"
    kind = {"password": "secret text", "path": "path"}.get(found.get("format", ""), _KINDS[found["type"]])
    bounds = [f"{sign} {_figure(found[name])}" for name, sign in _BOUNDS if name in found]
    if "maxLength" in found and kind == "text":
        bounds.append(f"of at most {_figure(found['maxLength'])} characters")
    if "pattern" in found:
        bounds.append(f"like `{found['pattern']}`")
    return f"{kind} {' and '.join(bounds)}".strip()


def _figure(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) and not number.is_integer() else f"{int(number):,}"


_KINDS = {"string": "text", "integer": "integer", "number": "number", "boolean": "`true`, `false`"}


def _default(value: Any) -> str:
    if value is None or value in ("", (), {}) or isinstance(value, SecretStr):
        return "empty"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"

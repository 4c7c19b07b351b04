"""Published custom resource definitions as JSON schemas that refuse what an API server would refuse or drop.

`python -m tests.helm.published NOTE FILE...` writes one for each definition into `published/`, without its prose.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).with_name("published")
KEPT = ("type", "enum", "required", "pattern", "format", "minimum", "maximum", "minItems", "maxItems", "minLength",
        "maxLength", "oneOf", "anyOf", "allOf", "not")  # fmt: skip
VERSIONS = ("v1", "v1alpha1")
"""The versions that the chart speaks."""


def schemas(definition: Mapping[str, Any], note: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield file name and schema of each version of a definition that the chart speaks."""
    spec = definition["spec"]
    for version in spec["versions"]:
        if version["name"] in VERSIONS:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["apiVersion"] = {"const": f"{spec['group']}/{version['name']}"}
            schema["properties"]["metadata"] = {"type": "object"}
            schema["properties"].pop("status", None)
            kind = spec["names"]["kind"]
            yield f"{kind}-{version['name']}.json", {"$comment": f"{spec['group']}: {note}; Apache-2.0", **schema}


def strict(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a structural schema in which a field that is not named is an error."""
    made: dict[str, Any] = {key: found[key] for key in KEPT if key in found}
    if "pattern" in made:
        made["pattern"] = made["pattern"].replace("^(?i)", "(?i)^")  # Go's place for flags is not Python's
    if found.get("x-kubernetes-int-or-string"):
        made = {"type": ["integer", "string"]}
    if "properties" in found:
        made["properties"] = {name: strict(field) for name, field in found["properties"].items()}
        made["additionalProperties"] = bool(found.get("x-kubernetes-preserve-unknown-fields"))
    elif isinstance(found.get("additionalProperties"), dict):
        made["additionalProperties"] = strict(found["additionalProperties"])
    if "items" in found:
        made["items"] = strict(found["items"])
    return made


def of(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a custom resource. Raises FileNotFoundError when its kind is not known here."""
    version = resource["apiVersion"].rpartition("/")[2]
    found: dict[str, Any] = json.loads((FOLDER / f"{resource['kind']}-{version}.json").read_text())
    return found


if __name__ == "__main__":
    for file in sys.argv[2:]:
        for name, schema in schemas(yaml.safe_load(Path(file).read_text("utf-8")), sys.argv[1]):
            (FOLDER / name).write_text(json.dumps(schema, separators=(",", ":")) + "\n", "utf-8")

"""Helm in a process of its own, asked by lines of JSON: its library brings Go's runtime and signal handlers along."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "helm/sluice"
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
RELEASE, NAMESPACE = "sluice", "moderation"

Resource = dict[str, Any]


class Refused(Exception):
    """Helm refuses these values; the message is its own."""


class Helm:
    """Renders and lints the chart."""

    def __init__(self, child: "subprocess.Popen[str]") -> None:
        self._child = child

    def _ask(self, what: str, values: Mapping[str, Any], release: str = RELEASE) -> Any:
        assert self._child.stdin
        assert self._child.stdout
        self._child.stdin.write(json.dumps({"what": what, "values": values, "release": release}) + "\n")
        self._child.stdin.flush()
        reply = json.loads(self._child.stdout.readline())
        if "refused" in reply:
            raise Refused(reply["refused"])
        return reply["done"]

    def files(self, values: Mapping[str, Any], release: str = RELEASE) -> dict[str, str]:
        """Return what each template becomes. Raises Refused."""
        made: dict[str, str] = self._ask("render", values, release)
        return made

    def render(self, values: Mapping[str, Any], release: str = RELEASE) -> list[Resource]:
        """Return what would be installed, by kind and name. Raises Refused."""
        texts = [text for path, text in self.files(values, release).items() if path.endswith(".yaml")]
        found = [document for text in texts for document in yaml.safe_load_all(text) if document]
        return sorted(found, key=lambda resource: (resource["kind"], resource["metadata"]["name"]))

    def lint(self, values: Mapping[str, Any]) -> list[str]:
        """Return what Helm has against the chart, warnings included."""
        report = self._ask("lint", values)
        return [*report["errors"], *(found["error"] for found in report["messages"] if found["severity"] > 1)]


@contextmanager
def helm() -> Iterator[Helm]:
    """Start it; it ends with the block."""
    command = [sys.executable, "-m", "tests.helm.chart"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=CHART.parents[1], stdin=pipe, stdout=pipe, text=True) as child:
        yield Helm(child)
        assert child.stdin
        child.stdin.close()


def example(name: str) -> dict[str, Any]:
    """Return a set of values that ships with the chart."""
    found: dict[str, Any] = yaml.safe_load((CHART / "examples" / f"{name}.yaml").read_text("utf-8"))
    return found


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return one set of values laid over another, as Helm does."""
    made = dict(below)
    for key, value in above.items():
        lower = made.get(key)
        made[key] = merged(lower, value) if isinstance(lower, dict) and isinstance(value, dict) else value
    return made


def _serve() -> None:
    import helm_python  # noqa: PLC0415 -- only this process wants it

    with helm_python.Chart.load(CHART) as chart:
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                if asked["what"] == "lint":
                    done: Any = helm_python.lint(CHART, asked["values"], strict=True, namespace=NAMESPACE)
                else:
                    chart.validate_schema(asked["values"])
                    done = chart.render(asked["values"], name=asked["release"], namespace=NAMESPACE)
                reply = {"done": done}
            except helm_python.HelmError as error:
                reply = {"refused": str(error)}
            print(json.dumps(reply), flush=True)  # noqa: T201 -- its answer


if __name__ == "__main__":
    _serve()

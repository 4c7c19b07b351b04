"""What the examples become, written down whole, so that a change of a template shows in a review.

`python -m tests.helm.golden` writes it, a test compares. Dashboards and alerts have files and tests of their own.
"""

from pathlib import Path

import yaml

from tests.helm.chart import EXAMPLES, Helm, Resource, example, helm

FOLDER = Path(__file__).with_name("golden")
ELSEWHERE = "in a file of its own"


def text(made: list[Resource]) -> str:
    """Return resources as YAML, without what has files of its own and what hangs on it."""
    for resource in made:
        if resource["kind"] == "PrometheusRule":
            resource["spec"]["groups"] = ELSEWHERE
        elif "grafana_dashboard" in resource["metadata"].get("labels", {}):
            resource["data"] = dict.fromkeys(resource["data"], ELSEWHERE)
        elif resource["kind"] == "StatefulSet":
            resource["spec"]["template"]["metadata"]["annotations"]["checksum/config"] = "..."
    return yaml.safe_dump_all(made, sort_keys=True, width=120, allow_unicode=True)


def golden(asked: Helm, name: str) -> str:
    """Return what an example becomes now."""
    return text(asked.render(example(name)))


if __name__ == "__main__":
    with helm() as started:
        for file in EXAMPLES:
            (FOLDER / file.name).write_text(golden(started, file.stem), "utf-8")

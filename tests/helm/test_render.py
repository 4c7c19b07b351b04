"""The chart lints, renders what was reviewed, and everything in it is what Kubernetes and the operators know."""

import json
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.helm import golden, published
from tests.helm.chart import CHART, EXAMPLES, Helm, Resource, example, merged
from tests.helm.policies import of

NAMES = [file.stem for file in EXAMPLES]
OLDEST, NEWEST = "1.31", "1.37"
CORE = {"ConfigMap", "NetworkPolicy", "Pod", "PodDisruptionBudget", "Service", "ServiceAccount", "StatefulSet"}


@pytest.fixture(scope="module", autouse=True)
def read_once() -> Iterator[None]:
    """Let the validator read its schemas, some megabytes, once and not for each resource."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubernetes_validate.utils, "schema_contents", cache(kubernetes_validate.utils.schema_contents))
        yield


@pytest.mark.parametrize("name", NAMES)
def test_helm_has_nothing_against_it(helm: Helm, name: str) -> None:
    assert helm.lint(example(name)) == []


def test_helm_has_nothing_against_the_chart_alone(helm: Helm) -> None:
    assert helm.lint({}) == []


@pytest.mark.parametrize("name", NAMES)
def test_examples_become_what_was_reviewed(helm: Helm, name: str) -> None:
    stored = (golden.FOLDER / f"{name}.yaml").read_text("utf-8")
    assert golden.golden(helm, name) == stored, "if it is meant: python -m tests.helm.golden"


def test_there_is_no_golden_file_without_an_example() -> None:
    assert {file.name for file in golden.FOLDER.iterdir()} == {file.name for file in EXAMPLES}


def validate(resource: Resource) -> None:
    if resource["kind"] in CORE:
        for version in (OLDEST, NEWEST):
            kubernetes_validate.validate(resource, version, strict=True)
    else:
        jsonschema.validate(resource, published.of(resource), cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("name", NAMES)
def test_the_api_server_knows_every_field(helm: Helm, name: str) -> None:
    for resource in helm.render(example(name)):
        validate(resource)


@pytest.mark.parametrize("kind", ["StatefulSet", "KafkaUser", "PodMonitor", "ScaledObject"])
def test_a_field_that_nobody_knows_is_noticed(helm: Helm, kind: str) -> None:
    found = of(helm.render(example("mig-keda-strimzi")), kind)[0]
    found["spec"]["replica"] = 1
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError), match="replica"):
        validate(found)


def test_dashboards_and_alerts_are_the_files_that_others_use(helm: Helm) -> None:
    made = helm.render(example("gpu"))
    shown = {name: json.loads(text) for found in of(made, "ConfigMap") for name, text in found["data"].items()
             if name.endswith(".json")}  # fmt: skip
    assert shown == {file.name: json.loads(file.read_text("utf-8")) for file in (CHART / "dashboards").glob("*.json")}
    files = sorted((CHART / "alerts").glob("*.yaml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text("utf-8"))["groups"]]
    assert of(made, "PrometheusRule")[0]["spec"]["groups"] == groups
    assert len(shown) >= 4
    assert groups


def test_runbooks_are_where_they_are_published(helm: Helm) -> None:
    base = "https://wiki.example.com/sluice/"
    found = of(helm.render(merged(example("gpu"), {"monitoring": {"runbooks": base}})), "PrometheusRule")[0]
    urls = [rule["annotations"]["runbook_url"] for group in found["spec"]["groups"] for rule in group["rules"]
            if "alert" in rule]  # fmt: skip
    assert urls
    assert all(url.startswith(base) for url in urls)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_too_large_to_be_stored(helm: Helm, name: str) -> None:
    assert max(len(json.dumps(resource)) for resource in helm.render(example(name))) < 1_000_000


def test_names_follow_the_release(helm: Helm) -> None:
    plain = {found["metadata"]["name"] for found in helm.render(example("demo"), release="eu")}
    assert plain == {"eu-sluice", "eu-sluice-doctor"}
    assert {found["metadata"]["name"] for found in helm.render(example("demo"), release="sluice-eu")} == {
        "sluice-eu",
        "sluice-eu-doctor",
    }


def test_pods_begin_anew_when_settings_change(helm: Helm) -> None:
    def checksum(values: Resource) -> str:
        found = of(helm.render(merged(example("demo"), values)), "StatefulSet")[0]
        annotations: dict[str, str] = found["spec"]["template"]["metadata"]["annotations"]
        return annotations["checksum/config"]

    assert checksum({}) == checksum({"replicas": 2})
    assert checksum({}) != checksum({"settings": {"models": {"max_pass_tiles": 8}}})


def test_the_chart_is_of_this_version() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert chart["appVersion"] == project["version"]


def test_notes_say_what_to_do_next_and_what_is_missing(helm: Helm) -> None:
    notes = helm.files(example("demo"))["sluice/templates/NOTES.txt"]
    for words in ("helm --namespace moderation test", "\n  sluice top ", "starter", "GPU", "NetworkPolicy", "scrapes"):
        assert words in notes
    whole = helm.files(example("gpu"))["sluice/templates/NOTES.txt"]
    assert "WARNING" not in whole
    assert "events-cluster-ca-cert" in helm.files(example("mig-keda-strimzi"))["sluice/templates/NOTES.txt"]

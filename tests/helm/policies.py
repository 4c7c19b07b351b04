"""What must be true of everything that the chart makes, whatever the values: each with a defect that it notices."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tests.helm.chart import Resource

Resources = list[Resource]
Wrongs = Callable[[Resources], Iterator[str]]
Defect = Callable[[Resources], object]


@dataclass(frozen=True, slots=True)
class Policy:
    """A rule: what breaks it, as words, and a change to sound resources that must break it."""

    name: str
    wrongs: Wrongs
    defect: Defect


def of(resources: Resources, *kinds: str) -> Resources:
    """Return the resources of these kinds."""
    return [resource for resource in resources if resource["kind"] in kinds]


def one(resources: Resources, kind: str) -> Resource:
    """Return the only resource of a kind."""
    (found,) = of(resources, kind)
    return found


def pod(resource: Resource) -> dict[str, Any]:
    """Return the pod's specification."""
    spec: dict[str, Any] = (
        resource["spec"]["template"]["spec"] if resource["kind"] == "StatefulSet" else resource["spec"]
    )
    return spec


def pods(resources: Resources) -> list[dict[str, Any]]:
    """Return the specification of every pod."""
    return [pod(resource) for resource in of(resources, "StatefulSet", "Pod")]


def containers(resources: Resources) -> list[dict[str, Any]]:
    """Return every container, those included that only prepare."""
    return [found for spec in pods(resources) for found in (*spec.get("initContainers", ()), *spec["containers"])]


def consumer(resources: Resources) -> dict[str, Any]:
    """Return the container that judges."""
    found: dict[str, Any] = pod(one(resources, "StatefulSet"))["containers"][0]
    return found


def volumes(resources: Resources) -> list[dict[str, Any]]:
    """Return every volume of every pod."""
    return [volume for spec in pods(resources) for volume in spec["volumes"]]


def labels(resource: Resource) -> dict[str, str]:
    """Return the labels of the pods that a resource makes, or its own."""
    made = resource["spec"]["template"] if resource["kind"] == "StatefulSet" else resource
    found: dict[str, str] = made["metadata"]["labels"]
    return found


def settings(resources: Resources) -> dict[str, Any]:
    """Return the settings file of the consumers."""
    (found,) = [made for made in of(resources, "ConfigMap") if "settings.yaml" in made["data"]]
    given: dict[str, Any] = yaml.safe_load(found["data"]["settings.yaml"])
    return given


def every(seen: Callable[[Resources], list[dict[str, Any]]], sound: Callable[[dict[str, Any]], bool]) -> Wrongs:
    """Return a rule that asks the same of each: what is not sound is wrong."""

    def wrongs(resources: Resources) -> Iterator[str]:
        yield from (str(found.get("name", found)) for found in seen(resources) if not sound(found))

    return wrongs

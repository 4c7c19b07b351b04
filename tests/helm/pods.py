"""What the kubelet makes of a container's description."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.helm.chart import NAMESPACE, Resource
from tests.helm.policies import of

NAME = "sluice-3"


def variables(container: Mapping[str, Any]) -> dict[str, str]:
    """Return a container's variables, those that name a pod filled in, and one for every number of cores."""
    known = {"POD_NAME": NAME, "POD_NAMESPACE": NAMESPACE}
    found = {variable["name"]: variable.get("value", "1") for variable in container["env"]} | known
    return {name: value.replace("$(POD_NAME)", NAME).replace("$(POD_NAMESPACE)", NAMESPACE)
            for name, value in found.items()}  # fmt: skip


def mounted(made: list[Resource], folder: Path, elsewhere: Mapping[str, str]) -> Path:
    """Write the settings' ConfigMap as its volume shows it: links to links, with hidden folders beside.

    What `elsewhere` names is replaced.
    """
    (found,) = [found for found in of(made, "ConfigMap") if "settings.yaml" in found["data"]]
    hidden = folder / "..2026_01_01"
    hidden.mkdir(parents=True)
    (folder / "..data").symlink_to(hidden.name)
    for name, text in found["data"].items():
        replaced = text
        for old, new in elsewhere.items():
            replaced = replaced.replace(old, new)
        (hidden / name).write_text(replaced, "utf-8")
        (folder / name).symlink_to(f"..data/{name}")
    return folder

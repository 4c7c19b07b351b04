"""Each distribution declares what it imports, and what only watches and steers imports nothing heavy."""

import ast
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sluice.core.extras import EXTRAS

ROOT = Path(__file__).parents[2]
PLACES: Mapping[str, Mapping[str, str]] = {
    "consumer/sluice": {
        "demo/*": "demo",
        "media/*": "moderator",
        "media/fetching/s3.py": "s3",
        "models/*": "moderator",
        "models/nudenet.py": "nudenet",
        "models/onnx.py": "opinions",
        "models/open_nsfw.py": "opennsfw",
        "services/moderator/*": "moderator",
    },
    "schemas/sluice_schemas": {"registry_client.py": "registry", "signing.py": "signing"},
    "producer_sim/sluice_sim": {"train.py": "train", "training/*": "train"},
}
"""The extras that a file may use besides the base, by distribution and place."""

NAMES = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "opentelemetry": "opentelemetry-api",
    "opentelemetry.exporter.otlp.proto.http": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry.exporter.prometheus": "opentelemetry-exporter-prometheus",
    "opentelemetry.sdk": "opentelemetry-sdk",
    "yaml": "pyyaml",
}
"""Distributions whose modules have another name."""

LIGHT = ("config", "dlq", "doctor", "frame", "kafka", "keys", "lag", "policy", "tail", "top", "topics")
"""Modules of the command line that a base installation runs, every import in them included."""

PRIVATE = ("confluent-kafka", "opentelemetry-exporter-prometheus")
"""Of these the consumer uses what no release promises."""


def declared(package: str, *extras: str) -> set[str]:
    """Return what a distribution asks for, alone or with some extras."""
    project = project_of(package)
    found: set[str] = set()
    chosen = [text for extra in extras for text in project["optional-dependencies"][extra]]
    for text in [*project["dependencies"], *chosen]:
        requirement = Requirement(text)
        if requirement.name == project["name"]:
            found |= declared(package, *requirement.extras)
        else:
            found.add(canonicalize_name(requirement.name))
    return found


def project_of(package: str) -> dict[str, Any]:
    """Return what a distribution says of itself."""
    file = ROOT / package.partition("/")[0] / "pyproject.toml"
    file = file if file.exists() else ROOT / "pyproject.toml"
    project: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    return project


def imports(tree: ast.AST, *, lazy: bool) -> Iterator[str]:
    """Yield what is imported when a module runs, with `lazy` also what its functions import; a name is dotted."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif lazy or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imports(node, lazy=lazy)


@cache
def imported(file: Path, *, lazy: bool) -> frozenset[str]:
    """Return what a file imports."""
    return frozenset(imports(ast.parse(file.read_text(encoding="utf-8")), lazy=lazy))


def distribution(name: str) -> str | None:
    """Return the distribution that holds an imported name; none for Python's own."""
    parts = name.split(".")
    if parts[0] in sys.stdlib_module_names:
        return None
    prefixes = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((NAMES[prefix] for prefix in prefixes if prefix in NAMES), canonicalize_name(parts[0]))


def undeclared(package: str, source: Path) -> list[str]:
    """Return what the files of a package below `source` import without a declaration that holds for their place."""
    own, found = canonicalize_name(Path(package).name), []
    for file in sorted(source.rglob("*.py")):
        where = file.relative_to(source)
        extras = [extra for place, extra in PLACES[package].items() if fnmatch(str(where), place)]
        needed = {distribution(name) for name in imported(file, lazy=True)} - {None, own}
        found += [f"{where}: {name}" for name in needed - declared(package, *extras)]
    return found


def files_of(name: str) -> Iterator[Path]:
    """Yield the files of ours that run when a dotted name is imported: its module, and the packages above."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        module = ROOT / "consumer" / Path(*parts[:length])
        yield from (file for file in (module / "__init__.py", module.with_suffix(".py")) if file.is_file())


def reached(commands: Iterable[str]) -> set[str]:
    """Return the distributions that these modules of the command line import, by themselves or by what they import."""
    found: set[str] = set()
    waiting = [file for command in commands for file in files_of(f"sluice.cli.{command}")]
    lazy, seen = set(waiting), set()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        for name in imported(file, lazy=file in lazy):
            if name.startswith("sluice."):
                waiting += files_of(name)
            elif held := distribution(name):
                found.add(held)
    return found


@pytest.mark.parametrize("package", PLACES)
def test_a_distribution_declares_what_it_imports(package: str) -> None:
    assert undeclared(package, ROOT / package) == []


@pytest.mark.parametrize(
    ("package", "file", "line"),
    [
        ("consumer/sluice", "top/view.py", "import torch"),
        ("consumer/sluice", "models/clip.py", "import cv2"),
        ("consumer/sluice", "services/monitor.py", "from PIL import Image"),
        ("schemas/sluice_schemas", "wire.py", "import httpx"),
        ("producer_sim/sluice_sim", "scenes.py", "import torch"),
        ("producer_sim/sluice_sim", "scenes.py", "from sluice.core import errors"),
    ],
)
def test_an_import_out_of_place_is_found(package: str, file: str, line: str, tmp_path: Path) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(f"def later():\n    {line}\n")
    assert undeclared(package, tmp_path) == [f"{file}: {distribution(line.split()[1])}"]


def test_what_watches_and_steers_imports_only_the_base() -> None:
    assert reached(LIGHT) <= declared("consumer/sluice")


@pytest.mark.parametrize("command", ["run", "moderate", "models"])
def test_the_look_above_sees_what_a_command_that_judges_imports(command: str) -> None:
    assert reached([command]) & EXTRAS["moderator"].keys()


def test_commands_ask_for_all_of_the_extra_that_they_need() -> None:
    base = declared("consumer/sluice")
    assert EXTRAS["moderator"].keys() == declared("consumer/sluice", "moderator") - base
    assert EXTRAS["demo"].keys() == declared("consumer/sluice", "demo") - base - {"noida-db"}
    assert all(distribution(module) == name for names in EXTRAS.values() for name, module in names.items())


@pytest.mark.parametrize("name", PRIVATE)
def test_what_is_used_in_private_has_an_upper_bound(name: str) -> None:
    [requirement] = [one for one in map(Requirement, project_of("consumer/sluice")["dependencies"]) if one.name == name]
    assert "<" in {specifier.operator for specifier in requirement.specifier}

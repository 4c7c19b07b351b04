"""What is installed is listed with hashes (`make lock`), as constraints.txt pins it, and comes from no named index."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sluice.core.extras import EXTRAS

ROOT = Path(__file__).parents[2]
LISTS = {path.stem: path for path in sorted((ROOT / "requirements").glob("*.txt"))}
ELSEWHERE = {"win32", "emscripten"}  # uv lists for every platform, and Sluice runs on Linux and macOS
TORCHS = re.compile(r"torch|triton|(cuda|nvidia)-(?!ml-py$)[a-z0-9-]+")
OURS = {"sluice", "sluice-schemas", "sluice-sim"}
ADVICE = "run: make lock"


def pinned(text: str) -> dict[str, Requirement]:
    """Return the requirements of a list by name."""
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    found = [Requirement(line.split("--hash")[0].strip()) for line in lines]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def listed(name: str) -> dict[str, Requirement]:
    """Return what a list installs where Sluice runs."""
    found = pinned(LISTS[name].read_text(encoding="utf-8"))
    return {key: one for key, one in found.items() if not any(word in str(one.marker) for word in ELSEWHERE)} | {
        key: one for key, one in found.items() if "!=" in str(one.marker)
    }


CONSTRAINTS = pinned((ROOT / "constraints.txt").read_text(encoding="utf-8"))
PROJECTS = {
    folder: tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for folder in ("schemas", ".", "producer_sim")
}
WATCHING = ("schemas", ".")
"""The projects of a base installation."""


def named(projects: Iterable[str], *extras: str) -> Iterator[Requirement]:
    """Yield what these projects ask for by name, with these extras."""
    for project in map(PROJECTS.__getitem__, projects):
        optional = project["optional-dependencies"]
        chosen = [text for extra in extras for text in optional.get(extra, [])]
        for text in [*project["dependencies"], *chosen]:
            requirement = Requirement(text)
            if requirement.name != "sluice-schemas" and requirement.extras and requirement.name in OURS:
                yield from named(projects, *requirement.extras)
            elif requirement.name not in OURS:
                yield requirement


@pytest.mark.parametrize(
    ("name", "extras"),
    [
        ("base", []), ("run", ["moderator", "s3"]), ("gpu", ["moderator", "s3", "gpu"]), ("demo", ["demo"]),
        ("dev", ["dev"]), ("bench", ["bench"]), ("fuzz", ["fuzz"]),
    ],
)  # fmt: skip
def test_a_list_has_all_that_is_asked_for(name: str, extras: list[str]) -> None:
    found = listed(name) | listed("torch")
    for requirement in named(PROJECTS if extras else WATCHING, *extras, "registry", "signing"):
        one = found.get(canonicalize_name(requirement.name))
        assert one, f"{requirement} is not in requirements/{name}.txt; {ADVICE}"
        (pin,) = one.specifier
        assert requirement.specifier.contains(pin.version, prereleases=True), f"{one} is not {requirement}; {ADVICE}"


def test_the_list_of_a_base_installation_has_nothing_that_judges() -> None:
    assert not listed("base").keys() & EXTRAS["moderator"].keys()


@pytest.mark.parametrize("name", LISTS)
def test_a_list_has_the_versions_of_the_constraints_and_a_hash_for_each(name: str) -> None:
    for key, one in listed(name).items():
        if not TORCHS.fullmatch(key) or key == "torch":
            assert key in CONSTRAINTS, f"{key} is not in constraints.txt"
            assert CONSTRAINTS[key].specifier == one.specifier, f"{key}; {ADVICE}"
    blocks = LISTS[name].read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    assert blocks
    assert all(re.fullmatch(r"[^#]+?( +--hash=sha256:[0-9a-f]{64})+", block) for block in blocks), name


@pytest.mark.parametrize("name", sorted(set(LISTS) - {"torch"}))
def test_torch_and_what_it_alone_needs_are_in_their_own_list(name: str) -> None:
    """A machine's own build of torch has other hashes, and its CUDA is gigabytes that a CPU never needs."""
    assert not [key for key in listed(name) if TORCHS.fullmatch(key)]


def test_nothing_names_an_index_and_none_stands_beside_another() -> None:
    files = [*LISTS.values(), *(ROOT / name for name in ("Makefile", "Dockerfile", "constraints.txt", ".ci/run"))]
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"extra-index-url|https?://(?!127\.0\.0\.1)|--find-links|--trusted-host", text), path


def test_an_index_of_its_own_is_for_torch_alone() -> None:
    commands = [
        line
        for name in ("Makefile", "Dockerfile")
        for line in (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
        if "--index-url" in line
    ]
    assert len(commands) == 2
    assert all(re.search(r"--index-url[^;]* torch\b\s*(; fi)?$", line) for line in commands), commands


def test_every_install_of_others_is_held_to_hashes() -> None:
    for name in ("Makefile", "Dockerfile"):
        text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
        for install in re.findall(r"(?:pip|PIP\)) install ([^\n;&]*)", text):
            ours = "/wheels/*.whl" in install or "--editable" in install
            torch = install.rstrip().endswith(" torch")
            assert ours or torch or "--require-hashes" in install, install
            assert torch or "--no-deps" in install, install

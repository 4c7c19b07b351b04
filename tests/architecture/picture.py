"""Draw the packages and who imports whom, from the code: `python -m tests.architecture.picture` puts it into the docs.

An arrow that a longer way of arrows says already is left out, for the whole is no picture otherwise.
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/architecture.md"
BEGIN, END = "<!-- begin: python -m tests.architecture.picture -->\n", "<!-- end -->"
OTHERS = ("sluice_schemas", "sluice_sim")

Imports = Mapping[str, frozenset[str]]


def layers() -> list[list[str]]:
    """Return the packages of `sluice` from top to bottom, as the import contract has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contract = project["tool"]["importlinter"]["contracts"][0]
    return [[name.strip() for name in layer.split("|")] for layer in contract["layers"] if layer != "__main__"]


def imports() -> Imports:
    """Return for each package what it imports of the others."""
    graph = grimp.build_graph("sluice", *OTHERS)
    packages = [*(f"sluice.{name}" for layer in layers() for name in layer), *OTHERS]
    found = {}
    for package in packages:
        inside = {package, *graph.find_descendants(package)}
        targets = {target for module in inside for target in graph.find_modules_directly_imported_by(module)}
        reached = {other for other in packages for target in targets if f"{target}.".startswith(f"{other}.")}
        found[package] = frozenset(reached - {package})
    return found


def reduced(found: Imports) -> Iterator[tuple[str, str]]:
    """Yield the imports that no longer way says already."""
    for package, targets in found.items():
        beyond = {far for target in targets for far in reach(found, target) if far != target}
        yield from ((package, target) for target in sorted(targets - beyond))


def reach(found: Imports, start: str) -> set[str]:
    """Return all packages that one comes to from `start`."""
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        for target in found[ahead.pop()] - seen:
            seen.add(target)
            ahead.append(target)
    return seen


def mermaid() -> str:
    """Return the picture in Mermaid's words."""
    lines = ["```mermaid", "flowchart TD"]
    lines += [f"  {_id(name)}[{name.removeprefix('sluice.')}]" for name in imports()]
    lines += [f"  {_id(package)} --> {_id(target)}" for package, target in reduced(imports())]
    return "\n".join([*lines, "```\n"])


def _id(name: str) -> str:
    return name.replace(".", "_")


def page() -> str:
    """Return the page with the picture as it should be."""
    text = PAGE.read_text("utf-8")
    head, _, rest = text.partition(BEGIN)
    return head + BEGIN + mermaid() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")

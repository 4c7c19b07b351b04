"""The shape of the tree: bounds on the tail, one place for settings, no clock where there is none by law."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("consumer", "schemas", "producer_sim")
FILES = sorted(path for folder in SOURCES for path in (ROOT / folder).rglob("*.py"))
TIMELESS = [
    path
    for package in ("core", "stream", "moderation")
    for path in sorted((ROOT / "consumer/sluice" / package).glob("*.py"))
    if path.name != "durable.py"  # which writes files
]
CATCH_ALL = {"consumer/sluice/moderation/pipeline.py": 1, "consumer/sluice/__main__.py": 1}
MAX_FILE, MAX_CLASS, MAX_FUNCTION = 300, 200, 40


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def nodes(path: Path) -> Iterator[ast.AST]:
    yield from ast.walk(ast.parse(path.read_text()))


def lines_of(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a definition, its docstring not counted: explaining more is never an offence."""
    last = node.end_lineno or node.lineno
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0
    return last - node.lineno + 1 - docstring


def test_the_tree_is_there() -> None:
    assert len(FILES) > 40
    assert len(TIMELESS) > 20


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_classes_and_functions_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_FILE
    for node in nodes(path):
        if isinstance(node, ast.ClassDef):
            assert lines_of(node) <= MAX_CLASS, f"class {node.name}"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert lines_of(node) <= MAX_FUNCTION, f"function {node.name}"


def test_everything_is_caught_at_two_lines_only() -> None:
    found: dict[str, int] = {}
    for path in FILES:
        for node in nodes(path):
            if isinstance(node, ast.ExceptHandler) and (
                node.type is None
                or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"})
            ):
                found[name(path)] = found.get(name(path), 0) + 1
    assert found == CATCH_ALL


def test_only_settings_read_the_environment() -> None:
    readers = {name(path) for path in FILES if "os.environ" in path.read_text() or "getenv" in path.read_text()}
    assert {reader for reader in readers if not reader.startswith("consumer/sluice/settings")} <= {
        "consumer/sluice/media/workers/pool.py",  # hands its children an environment without secrets
    }


@pytest.mark.parametrize("path", TIMELESS, ids=name)
def test_what_is_pure_has_no_clock_no_sleep_and_no_dice(path: Path) -> None:
    imported = {alias.name for node in nodes(path) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in nodes(path) if isinstance(node, ast.ImportFrom)}
    assert not imported & {"time", "random", "os", "threading"}

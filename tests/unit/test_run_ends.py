"""A run of the tests ends, whatever a test does to its process: a lost worker, and a run that hangs."""

import subprocess
import sys
import tomllib
from pathlib import Path

import psutil

from sluice.settings.environment import without_settings

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240.0
LIMIT = (sys.executable, "-m", "tests.support.limit")


def suite(folder: Path, **files: str) -> list[str]:
    """Write test files with this project's options; return the command that runs them as `make test` does."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    options = " ".join(project["tool"]["pytest"]["ini_options"]["addopts"])
    (folder / "pytest.ini").write_text(f"[pytest]\naddopts = {options}\n", encoding="utf-8")
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text, encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (spread,) = (line.split("?=")[1].split() for line in makefile.splitlines() if line.startswith("TEST_ARGS ?="))
    return [sys.executable, "-m", "pytest", *("2" if word == "auto" else word for word in spread), str(folder)]


def ran(command: list[str]) -> tuple[int, str]:
    """Return the exit code and all that was said."""
    done = subprocess.run(
        command, cwd=ROOT, env=without_settings(), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_a_lost_worker_ends_the_run_and_its_test_is_named(tmp_path: Path) -> None:
    """Otherwise pytest-xdist waits without end for what it meant to give the worker."""
    dies = "import os\ndef test_well(): pass\ndef test_dies(): os.abort()\ndef test_never(): pass\n"
    others = {f"other{number}": "def test_well(): pass\n" for number in range(4)}
    code, said = ran(suite(tmp_path, dies=dies, **others))
    assert code == 1, said
    assert "crashed while running" in said
    assert "test_dies.py::test_dies" in said


def test_a_run_that_hangs_is_stopped_and_says_where(tmp_path: Path) -> None:
    began = tmp_path / "began"
    hangs = f"import time\ndef test_hangs():\n    open({str(began)!r}, 'w').close()\n    time.sleep(1000)\n"
    command = [*suite(tmp_path, hangs=hangs), "-p", "no:timeout"]
    for limit_s in (10, 50, 200):  # a crowded machine may not have come to the test when it is stopped
        code, said = ran([*LIMIT, str(limit_s), *command])
        assert code == 124, said
        assert f"took longer than {limit_s} s (TEST_LIMIT_S)" in said
        if began.exists():
            break
    assert "in test_hangs" in said
    left = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in left if str(tmp_path) in command]


def test_the_limit_passes_the_exit_code_on() -> None:
    assert ran([*LIMIT, "60", sys.executable, "-c", "raise SystemExit(5)"])[0] == 5
    assert ran([*LIMIT, "60", sys.executable, "-c", "pass"])[0] == 0

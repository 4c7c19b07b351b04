"""The real commands, in processes of their own or in this one, which then loads torch only once."""

import os
import subprocess
import sys
import time
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from sluice.__main__ import main
from sluice.settings.environment import without_settings

TIMEOUT_S = 600.0
GONE_WITHIN_S = 120.0


def environment(folder: Path) -> dict[str, str]:
    """Return an environment without settings of ours, whose temporary files go to `folder`."""
    return {**without_settings(), "TMPDIR": str(folder), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start `sluice` in `folder`."""
    return subprocess.Popen(
        [sys.executable, "-m", "sluice", *arguments],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `sluice` in `folder` to its end."""
    process = start(folder, *arguments)
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def run_here(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `sluice` in `folder` to its end as `run` does, but in this process."""
    out, err, code = StringIO(), StringIO(), 0
    here = patch.dict(os.environ, environment(folder), clear=True)
    said = patch.object(sys, "argv", ["sluice", *arguments])
    with here, said, chdir(folder), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def await_end_in(folder: Path) -> None:
    """Wait until no process names `folder`: one that was told to end may take a moment on a crowded machine."""
    deadline = time.monotonic() + GONE_WITHIN_S
    while left := running_in(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def running_in(folder: Path) -> list[str]:
    """Return the command lines of all processes that name `folder`."""
    listed = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line]

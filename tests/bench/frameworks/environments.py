"""A virtual environment for each framework: they pin clients of their own, and none of them belongs among ours."""

import subprocess
import venv
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CACHE = ROOT / ".venv" / "bench"
TIMEOUT_S = 600.0


class NotInstalled(Exception):
    """A framework cannot be installed here; says why."""


def python_of(name: str) -> Path:
    """Return the interpreter whose environment holds what `requirements-NAME.txt` says, made now if it is not there.

    Raises NotInstalled.
    """
    wanted = (HERE / f"requirements-{name}.txt").read_text()
    folder = CACHE / name
    python, installed = folder / "bin" / "python", folder / "installed.txt"
    if installed.is_file() and installed.read_text() == wanted:
        return python
    venv.create(folder, with_pip=True, clear=True)
    install = ("-m", "pip", "install", "--quiet", "--only-binary", ":all:", "-r", HERE / f"requirements-{name}.txt")
    try:
        subprocess.run(
            [python, *install], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S, check=True
        )
    except subprocess.CalledProcessError as refused:
        said: str = refused.stderr
        raise NotInstalled(f"{name}: {said.strip().splitlines()[-1]}") from None
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"{name}: pip took longer than {TIMEOUT_S:g} s") from None
    installed.write_text(wanted)
    return python

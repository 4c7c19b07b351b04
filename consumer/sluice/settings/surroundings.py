"""What a process finds around it and cannot work without, looked at before anything heavy."""

import os
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from sluice.core.errors import BadSettings
from sluice.settings import Settings

_STRIPPED = 2
_PROBE = bytes(4096)  # a full disk gives room for a name, and for nothing in it


def check(settings: Settings) -> None:
    """Raise BadSettings, a line for each, where the interpreter, the temporary folder or a file of ours is no good."""
    _refuse([*_interpreter(), *_temporary(), *_files(settings)])


def check_process() -> None:
    """Raise BadSettings where the interpreter or the temporary folder is no good; no file of a consumer is looked at."""
    _refuse([*_interpreter(), *_temporary()])


def _refuse(lines: Sequence[str]) -> None:
    if lines:
        raise BadSettings("\n".join(lines))


def _interpreter() -> Iterator[str]:
    if sys.flags.optimize >= _STRIPPED:
        yield (
            f"PYTHONOPTIMIZE = {sys.flags.optimize}: must be 0 or 1; with 2 Python drops the docstrings that the"
            " libraries of the models read"
        )


def _temporary() -> Iterator[str]:
    named = next((name for name in ("TMPDIR", "TEMP", "TMP") if os.environ.get(name)), None)
    try:
        folder = Path(os.environ[named] if named else tempfile.gettempdir())
    except FileNotFoundError as error:
        yield f"TMPDIR is not set, and no usual folder for temporary files can be written: {error.strerror}"
        return
    if why := _unwritable(folder):
        yield f"{named or 'TMPDIR'} = {str(folder)!r}: must be a folder that can be written ({why})"


def _files(settings: Settings) -> Iterator[str]:
    telemetry = settings.telemetry
    for name in ("heartbeat_file", "ready_file"):
        file: Path | None = getattr(telemetry, name)
        if file is None:
            continue
        if why := _unwritable(file.parent) or _no_file(file):
            yield f"telemetry.{name} = {str(file)!r}: must be a file in a folder that can be written ({why})"


def _no_file(file: Path) -> str:
    """Return why a path can name no file, empty if it can."""
    try:
        return "it is a folder" if stat.S_ISDIR(file.stat().st_mode) else ""
    except FileNotFoundError:
        return ""
    except OSError as error:
        return error.strerror or type(error).__name__


def _unwritable(folder: Path) -> str:
    """Return why nothing can be written into a folder, empty if something can."""
    try:
        with tempfile.NamedTemporaryFile(prefix=".sluice-", dir=folder) as probe:
            probe.write(_PROBE)
            probe.flush()
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""

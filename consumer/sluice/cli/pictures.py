"""What a command line names as pictures: files as they are, folders walked, everything else refused at once."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from sluice.core.printable import printable

SUFFIXES = frozenset({".avif", ".bmp", ".gif", ".heic", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""What counts as a picture in a folder. Some of these are never judged; a report that left them out would hide them."""


def gathered(named: Sequence[Path]) -> list[Path]:
    """Return the files that are named and, sorted, the pictures in and below the folders that are named.

    Links to folders are not followed, so that none leads in a circle. Raises typer.BadParameter that names everything
    that is not there, cannot be read, or holds no picture: a mistyped name is found before the models load.
    """
    found: list[Path] = []
    wrong: list[str] = []
    for path in named:
        files = sorted(_walked(path, wrong)) if path.is_dir() else [path]
        trouble = [why for why in map(_trouble, files) if why] or ([] if files else [_about(path, "no picture in it")])
        wrong += trouble
        found += files
    if wrong:
        raise typer.BadParameter("; ".join(wrong), param_hint="IMAGE")
    return list(dict.fromkeys(found))


def _walked(folder: Path, wrong: list[str]) -> Iterator[Path]:
    def refused(error: OSError) -> None:
        wrong.append(_about(Path(str(error.filename)), error.strerror or type(error).__name__))

    for above, _, names in os.walk(folder, onerror=refused):
        for name in names:
            if Path(name).suffix.lower() in SUFFIXES:
                yield Path(above, name)


def _trouble(file: Path) -> str:
    if not os.path.lexists(file):
        return _about(file, "no such file")
    if not file.is_file():
        return _about(file, "not a file")
    return "" if os.access(file, os.R_OK) else _about(file, "cannot be read")


def _about(path: Path, why: str) -> str:
    return f"{printable(str(path))}: {why}"

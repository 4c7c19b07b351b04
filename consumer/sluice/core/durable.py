"""Files that are replaced whole: a reader finds the old text or the new one, whenever a life ends. And reading them."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path


def write(file: Path, text: str, *, synced: bool = True) -> None:
    """Put `text` in place of `file` in one step. Raises OSError, and leaves the old file as it was.

    `synced` outlives the end of the machine, too; what only tells how things are now goes without. Something that is
    no file and lies in the way is moved aside.
    """
    part = file.with_name(f"{file.name}.part")
    descriptor = _opened(part)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as written:
            written.write(text)
            written.flush()
            if synced:
                os.fsync(descriptor)
        if file.is_dir() and not file.is_symlink():
            _aside(file)
        part.replace(file)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise
    if synced:
        _sync_folder(file.parent)


def read(file: Path, most: int) -> bytes:
    """Return what a regular file of at most `most` bytes holds: nothing waits for a writer, or never ends.

    Raises OSError, or ValueError for a name with a zero byte.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        data = bytearray()
        while regular and len(data) <= most and (piece := os.read(descriptor, most + 1 - len(data))):
            data += piece
    finally:
        os.close(descriptor)
    if not regular:
        raise OSError(errno.EINVAL, "it is no regular file", str(file))
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most:,} bytes", str(file))
    return bytes(data)


def _opened(part: Path) -> int:
    """Make the file anew, whatever an earlier life left there; nothing is written through a link."""
    if part.is_dir() and not part.is_symlink():
        _aside(part)
    part.unlink(missing_ok=True)
    return os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def _aside(folder: Path) -> None:
    for number in range(100):
        place = folder.with_name(f"{folder.name}.aside{number or ''}")
        if not place.exists():
            folder.rename(place)
            return
    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(folder))


def _sync_folder(folder: Path) -> None:
    """Let the new name last as well; some file systems cannot, and then their own order has to do."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

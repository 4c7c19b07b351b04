"""file: references, under the roots that settings name."""

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from sluice.core.errors import Refused, Unfetchable
from sluice.media.fetching.circuit_breaker import Transient

_PIECE = 1 << 20
_NO_PATH = frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL})
_NO_FILE = frozenset({errno.ENXIO, errno.ENODEV})  # a socket, a device without a driver


def read(path: bytes, roots: Sequence[Path], max_bytes: int) -> bytes:
    """Read a regular file below one of `roots`, symbolic links resolved first.

    Raises Refused when it lies elsewhere or is no regular file, Unfetchable when it is not there or too large,
    Transient when the disk fails.
    """
    if not roots:
        raise Refused("reference_path", "SLUICE_FETCH__FILE_ROOTS is empty")
    try:
        place = Path(os.fsdecode(path)).resolve(strict=True)
        if not any(place.is_relative_to(root.resolve()) for root in roots):
            raise Refused("reference_path", "not below SLUICE_FETCH__FILE_ROOTS")
        # The path holds no link now; O_NOFOLLOW refuses one put there since, O_NONBLOCK a pipe without a writer.
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        data = _content(descriptor, max_bytes)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Unfetchable("not_found", "no such file") from error
    except (PermissionError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise Unfetchable("forbidden", "the file may not be read") from error
    except OSError as error:
        raise _refusal(error) from error
    if len(data) > max_bytes:
        raise Unfetchable("too_large", f"over {max_bytes} bytes")
    return data


def _refusal(error: OSError) -> Refused | Unfetchable | Transient:
    """Tell what the path is to blame for, which no waiting mends, from what the disk is."""
    if error.errno in _NO_PATH:
        return Unfetchable("not_found", "no such file")
    if error.errno in _NO_FILE:
        return Refused("reference_path", "not a regular file")
    return Transient(f"error {error.errno}")


def _content(descriptor: int, max_bytes: int) -> bytes:
    """Read one byte more than allowed at most, and close."""
    data = bytearray()
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Refused("reference_path", "not a regular file")
        while len(data) <= max_bytes and (piece := os.read(descriptor, min(_PIECE, max_bytes + 1 - len(data)))):
            data += piece
    finally:
        os.close(descriptor)
    return bytes(data)

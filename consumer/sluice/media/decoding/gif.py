"""The frames of a GIF, each cut out as a GIF of its own, so that they are composed by the rules and not by Pillow's.

Pillow paints what no frame covers in the background colour or in colour 0; browsers leave it transparent, and a shape
may hide in the difference. (CompuServe, "Graphics Interchange Format, version 89a".)
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

from sluice.core.errors import Unreadable

_SCREEN = struct.Struct("<6sHHBBB")
_BOX = struct.Struct("<HHHHB")
_TABLE, _INTERLACED = 0x80, 0x40
_EXTENSION, _IMAGE, _END = 0x21, 0x2C, 0x3B
_GRAPHIC_CONTROL = 0xF9


class Disposal(IntEnum):
    """What becomes of a frame before the next is drawn."""

    KEEP = 1
    CLEAR = 2
    RESTORE = 3


@dataclass(frozen=True, slots=True)
class GifFrame:
    """One frame: where it goes, what becomes of it, and itself as a file; `colours` is the length of its table."""

    left: int
    top: int
    width: int
    height: int
    disposal: Disposal
    colours: int
    file: bytes


@dataclass(frozen=True, slots=True)
class Gif:
    """A canvas and what is drawn on it."""

    width: int
    height: int
    frames: tuple[GifFrame, ...]


def parse(data: bytes, max_frames: int) -> Gif:
    """Take a GIF apart; Unreadable when it ends early, has too many frames, or draws beyond its canvas."""
    try:
        return _parse(data, max_frames)
    except (IndexError, struct.error) as error:
        raise Unreadable("truncated", "a GIF without its end") from error


def _parse(data: bytes, max_frames: int) -> Gif:
    _, width, height, flags, _, _ = _SCREEN.unpack_from(data)
    shared, position = _table(data, _SCREEN.size, flags)
    frames: list[GifFrame] = []
    control = b""
    while (block := data[position]) != _END:
        if block == _EXTENSION:
            if (end := _after_extension(data, position, last=bool(frames))) is None:
                break
            if data[position + 1] == _GRAPHIC_CONTROL:
                control = data[position:end]
            position = end
        elif block == _IMAGE:
            if len(frames) == max_frames:
                raise Unreadable("too_many_frames", f"over {max_frames}")
            frame, position = _frame(data, position + 1, shared, control)
            if frame.left + frame.width > width or frame.top + frame.height > height:
                raise Unreadable("corrupt", "a frame beyond its canvas")
            frames.append(frame)
            control = b""
        else:
            raise Unreadable("corrupt", "an unknown block")
    return Gif(width, height, tuple(frames))


def _frame(data: bytes, position: int, shared: bytes, control: bytes) -> tuple[GifFrame, int]:
    left, top, width, height, flags = _BOX.unpack_from(data, position)
    own, start = _table(data, position + _BOX.size, flags)
    end = _after_blocks(data, start + 1)  # one byte of LZW code size leads
    table = own or shared
    if not table or not width or not height:
        raise Unreadable("corrupt", "a frame without colours or size")
    bits = (len(table) // 3 - 1).bit_length()
    file = (
        _SCREEN.pack(b"GIF89a", width, height, _TABLE | (bits - 1), 0, 0)
        + table
        + control
        + bytes([_IMAGE])
        + _BOX.pack(0, 0, width, height, flags & _INTERLACED)
        + data[start:end]
        + bytes([_END])
    )
    disposal = (control[3] >> 2) & 7 if control else 0
    known = Disposal(disposal) if disposal in (Disposal.CLEAR, Disposal.RESTORE) else Disposal.KEEP
    return GifFrame(left, top, width, height, known, len(table) // 3, file), end


def _table(data: bytes, position: int, flags: int) -> tuple[bytes, int]:
    """Return the colour table that `flags` announce, empty if none, and what follows it."""
    if not flags & _TABLE:
        return b"", position
    end = position + (6 << (flags & 7))
    if end >= len(data):
        raise IndexError
    return data[position:end], end


def _after_extension(data: bytes, position: int, *, last: bool) -> int | None:
    """Return the position after an extension; None for one that is cut off and may be the last thing in the file."""
    try:
        return _after_blocks(data, position + 2)
    except IndexError:
        if last and data[position + 1 : position + 2] not in {b"", bytes([_GRAPHIC_CONTROL])}:
            return None
        raise


def _after_blocks(data: bytes, position: int) -> int:
    """Return the position after a run of sub-blocks."""
    while size := data[position]:
        position += size + 1
    return position + 1

"""What one life of the process notes for the next, in a file: where records stood in the log, nothing of what they are.

The file is for recovery, so nothing in it, and nothing in its place, keeps a process from starting: notes that cannot
be understood are begun anew, with a warning.
"""

import hashlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sluice.core import durable
from sluice.core.errors import BadSettings
from sluice.core.log_events import log_event
from sluice.core.records import JournalEntry, OffsetRange, Partition

_logger = logging.getLogger(__name__)
_VERSION = 1
_MAX_BYTES = 16 * 1024 * 1024  # a hundred bytes a partition of each flight are a few hundred kilobytes at most
_MAX_SPANS = 10_000  # several flights of more partitions than one process reads; each record is looked up among them
_MAX_NAME = 120  # with its escapes and endings well below the 255 bytes of file systems
_OFFSETS = range(2**63)


class Journal:
    """Satisfies the `Journal` seam; one file per transactional id, since no two live processes share one."""

    def __init__(self, folder: Path, transactional_id: str) -> None:
        self._file = folder / f"{_file_name(transactional_id)}.journal"
        self._failed = False

    def open(self) -> JournalEntry:
        """Return what the last life noted, nothing if it left in order. Raises BadSettings where no file can be."""
        notes = self._last()
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._write(notes)
        except OSError as error:
            raise BadSettings(
                f"poison.journal_folder = {str(self._file.parent)!r}: {self._file} cannot be written"
                f" ({error.strerror})",
                setting="poison.journal_folder",
                remedy="name a folder that outlives the process and that it may write to",
            ) from error
        return notes

    def __call__(self, notes: JournalEntry) -> None:
        """Keep `notes` in place of the last ones; where that fails, say so once: judging goes on without."""
        try:
            self._write(notes)
        except OSError as error:
            if not self._failed:
                _logger.warning("%s cannot be written: %s; poison would go unnoticed", self._file, error.strerror)
            self._failed = True

    def _last(self) -> JournalEntry:
        """Read the notes; damaged or foreign notes say nothing of our records."""
        try:
            return _notes(json.loads(durable.read(self._file, _MAX_BYTES).decode()))
        except (FileNotFoundError, NotADirectoryError):
            return JournalEntry()
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            log_event("journal_begun_anew", file=str(self._file), error=type(error).__name__)
            return JournalEntry()

    def _write(self, notes: JournalEntry) -> None:
        plain = {"version": _VERSION, "flying": _plain(notes.flying), "suspects": _plain(notes.suspects)}
        durable.write(self._file, json.dumps(plain))


def _file_name(transactional_id: str) -> str:
    name = quote(transactional_id, safe="")
    digest = hashlib.sha256(transactional_id.encode()).hexdigest()
    return name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}-{digest[:16]}"


def _plain(spans: Iterable[OffsetRange]) -> list[list[str | int]]:
    return [[s.partition.topic, s.partition.index, s.first, s.end, s.deaths, s.alone] for s in spans]


def _notes(plain: dict[str, Any]) -> JournalEntry:
    """Read notes. Raises ValueError, TypeError or KeyError when they are none of ours."""
    if plain["version"] != _VERSION:
        raise ValueError("another version")
    if len(plain["flying"]) + len(plain["suspects"]) > _MAX_SPANS:
        raise ValueError("too many spans")
    return JournalEntry(tuple(map(_span, plain["flying"])), tuple(map(_span, plain["suspects"])))


def _span(plain: list[Any]) -> OffsetRange:
    topic, *numbers = plain
    if type(topic) is not str or not topic.isascii() or not topic.isprintable():
        raise ValueError("no topic")
    if any(type(number) is not int or number not in _OFFSETS for number in numbers):
        raise ValueError("no number")
    index, first, end, deaths, alone = numbers
    if not (first < end and alone <= deaths) or (alone and end - first > 1):
        raise ValueError("no span; only a single record is alone")
    return OffsetRange(Partition(topic, index), first, end, deaths, alone)

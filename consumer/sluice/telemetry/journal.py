"""What one life of the process notes for the next, in a file: where records stood in the log, nothing of what they are.

The file is written anew beside itself and renamed over the old one, so a reader finds whole notes whenever the writer
dies. It is not synced: what was written to the kernel outlives the process, and the machine's end is no record's doing.
"""

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from sluice.core.domain import Notes, Partition, Span
from sluice.core.errors import BadSettings

_logger = logging.getLogger(__name__)


class Journal:
    """Satisfies the `Journal` seam; one file per transactional id, since no two live processes share one."""

    def __init__(self, folder: Path, transactional_id: str) -> None:
        self._file = folder / f"{quote(transactional_id, safe='')}.journal"
        self._part = self._file.with_suffix(".part")
        self._failed = False

    def open(self) -> Notes:
        """Return what the last life noted, nothing if it left in order. Raises BadSettings where no file can be."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            notes = _read(self._file.read_text()) if self._file.exists() else Notes()
            self._write(notes)
        except OSError as error:
            raise BadSettings(
                f"poison.journal_folder: {self._file} cannot be read and written ({error.strerror});"
                " name a folder that outlives the process and that it may write to"
            ) from error
        return notes

    def __call__(self, notes: Notes) -> None:
        """Keep `notes` in place of the last ones; where that fails, say so once: judging goes on without."""
        try:
            self._write(notes)
        except OSError as error:
            if not self._failed:
                _logger.warning("%s cannot be written: %s; poison would go unnoticed", self._file, error.strerror)
            self._failed = True

    def _write(self, notes: Notes) -> None:
        self._part.write_text(
            json.dumps({"version": 1, "flying": _plain(notes.flying), "suspects": _plain(notes.suspects)})
        )
        self._part.replace(self._file)


def _plain(spans: Iterable[Span]) -> list[list[str | int]]:
    return [[s.partition.topic, s.partition.index, s.first, s.end, s.deaths, s.alone] for s in spans]


def _read(text: str) -> Notes:
    """Read notes; what is none of ours says nothing, since whoever wrote it did not die of our records."""
    try:
        plain = json.loads(text)
        return Notes(_spans(plain["flying"]), _spans(plain["suspects"]))
    except (ValueError, TypeError, KeyError):
        _logger.warning("the poison journal cannot be understood and is begun anew")
        return Notes()


def _spans(plain: Iterable[tuple[str, int, int, int, int, int]]) -> tuple[Span, ...]:
    return tuple(Span(Partition(topic, index), *numbers) for topic, index, *numbers in plain)

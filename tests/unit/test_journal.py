"""The notes of one life reach the next one whole, and hold nothing but places."""

import subprocess
import sys
from pathlib import Path

import pytest

from sluice.core.domain import Notes, Partition, Span
from sluice.core.errors import BadSettings
from sluice.telemetry.journal import Journal

PLACE = Partition("images", 3)
NOTES = Notes((Span(PLACE, 4, 9),), (Span(PLACE, 2, 5, 2, 1), Span(Partition("images", 5), 0, 1, 1)))

ENDLESS_WRITER = """
import sys
from pathlib import Path
from sluice.core.domain import Notes, Partition, Span
from sluice.telemetry.journal import Journal
journal = Journal(Path(sys.argv[1]), "replica-0")
journal.open()
spans = tuple(Span(Partition("images", index), 0, 1) for index in range(500))
print("ready", flush=True)
while True:
    journal(Notes(spans))
    journal(Notes(spans[:1]))
"""


def test_what_was_written_last_is_read_by_the_next_life(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "new" / "folder", "replica-0")
    assert journal.open() == Notes()
    journal(Notes())
    journal(NOTES)
    assert Journal(tmp_path / "new" / "folder", "replica-0").open() == NOTES


def test_every_replica_has_a_file_of_its_own_whatever_its_id(tmp_path: Path) -> None:
    for number, name in enumerate(["a", "b", "../a", "a/b", ".."]):
        journal = Journal(tmp_path / "journals", name)
        assert journal.open() == Notes()
        journal(Notes((Span(PLACE, number, number + 1),)))
    assert len(list((tmp_path / "journals").iterdir())) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["journals"]


def test_a_writer_killed_at_any_moment_leaves_whole_notes(tmp_path: Path) -> None:
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", ENDLESS_WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout
        with writer, writer.stdout:
            assert writer.stdout.readline() == "ready\n"
            writer.kill()
        assert len(Journal(tmp_path, "replica-0").open().flying) in {0, 1, 500}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"flying": 1, "suspects": []}', '{"flying": [[1]], "suspects": []}'])
def test_notes_that_cannot_be_understood_accuse_nobody(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "replica-0.journal").write_text(text)
    assert Journal(tmp_path, "replica-0").open() == Notes()
    assert "cannot be understood" in caplog.text


def test_a_folder_that_cannot_be_is_a_wrong_setting_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadSettings, match=r"poison\.journal_folder"):
        Journal(tmp_path / "file" / "folder", "replica-0").open()


def test_a_folder_that_is_gone_later_is_said_once_and_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path / "folder", "replica-0")
    journal.open()
    (tmp_path / "folder").rename(tmp_path / "elsewhere")
    journal(NOTES)
    journal(NOTES)
    assert caplog.text.count("cannot be written") == 1

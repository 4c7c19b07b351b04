"""The notes of one life reach the next one whole, and hold nothing but places."""

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sluice.core.errors import BadSettings
from sluice.core.records import JournalEntry, OffsetRange, Partition
from sluice.state.crash_journal import Journal

PLACE = Partition("images", 3)
NOTES = JournalEntry(
    (OffsetRange(PLACE, 4, 9),), (OffsetRange(PLACE, 2, 3, 2, 1), OffsetRange(Partition("images", 5), 0, 1, 1))
)

ENDLESS_WRITER = """
import sys
from pathlib import Path
from sluice.core.records import JournalEntry, Partition, OffsetRange
from sluice.state.crash_journal import Journal
journal = Journal(Path(sys.argv[1]), "replica-0")
journal.open()
spans = tuple(OffsetRange(Partition("images", index), 0, 1) for index in range(500))
print("ready", flush=True)
while True:
    journal(JournalEntry(spans))
    journal(JournalEntry(spans[:1]))
"""


def test_what_was_written_last_is_read_by_the_next_life(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "new" / "folder", "replica-0")
    assert journal.open() == JournalEntry()
    journal(JournalEntry())
    journal(NOTES)
    assert Journal(tmp_path / "new" / "folder", "replica-0").open() == NOTES


def test_every_replica_has_a_file_of_its_own_whatever_its_id(tmp_path: Path) -> None:
    for number, name in enumerate(["a", "b", "../a", "a/b", ".."]):
        journal = Journal(tmp_path / "journals", name)
        assert journal.open() == JournalEntry()
        journal(JournalEntry((OffsetRange(PLACE, number, number + 1),)))
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


GOOD = {"version": 1, "flying": [["images", 3, 4, 9, 0, 0]], "suspects": []}


def altered(**changes: object) -> bytes:
    return json.dumps(GOOD | changes).encode()


def one(*span: object) -> bytes:
    return altered(flying=[list(span)])


DAMAGED = {
    "empty": b"",
    "cut off": altered()[:-7],
    "no UTF-8": b"\xff\xfe",
    "UTF-16": altered().decode().encode("utf-16"),
    "NUL": bytes(4096),
    "text": b"{",
    "list": b"[]",
    "null": b"null",
    "number": b"1",
    "string": b'"flying"',
    "deep": b"[" * 200_000,
    "deep in a field": b'{"version": 1, "flying": ' + b"[" * 200_000,
    "long number": b'{"version": 1, "suspects": [], "flying": [["images", 1, 2, ' + b"9" * 5000 + b", 0, 0]]}",
    "no version": b'{"flying": [], "suspects": []}',
    "another version": altered(version=2),
    "number for spans": altered(flying=1),
    "text for spans": altered(flying="abc"),
    "mapping for spans": altered(flying={"a": 1}),
    "null for spans": altered(suspects=None),
    "short span": one("images"),
    "long span": one("images", 1, 2, 3, 4, 5, 6),
    "empty span": one(),
    "text for a span": altered(flying=["abcdef"]),
    "text for numbers": one("images", "1", "2", "3", "4", "5"),
    "float": one("images", 1, 2.0, 3, 0, 0),
    "bool": one(*["images", True, 2, 3, 0, 0]),
    "null in a span": one("images", 1, None, 3, 0, 0),
    "negative": one("images", -1, 2, 3, 0, 0),
    "too large": one("images", 1, 2, 2**63, 0, 0),
    "infinite": b'{"version": 1, "suspects": [], "flying": [["images", 1, 2, Infinity, 0, 0]]}',
    "backwards": one("images", 1, 3, 2, 0, 0),
    "nothing": one("images", 1, 3, 3, 0, 0),
    "more alone than deaths": one("images", 1, 2, 3, 1, 2),
    "many alone": one("images", 1, 0, 2**62, 9, 9),
    "too many": altered(flying=[["images", 1, at, at + 1, 0, 0] for at in range(10_001)]),
    "number for a topic": one(7, 1, 2, 3, 0, 0),
    "half a character": one("\ud800", 1, 2, 3, 0, 0),
    "control characters": one("a\nb", 1, 2, 3, 0, 0),
}


def begun_anew(folder: Path, log: pytest.LogCaptureFixture) -> bool:
    """Open the journal, which must start from nothing, say so, and work from then on."""
    assert Journal(folder, "replica-0").open() == JournalEntry()
    said = "journal_begun_anew" in log.messages
    journal = Journal(folder, "replica-0")
    journal.open()
    journal(NOTES)
    return said and Journal(folder, "replica-0").open() == NOTES


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_damaged_notes_accuse_nobody_and_are_begun_anew(
    tmp_path: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "replica-0.journal").write_bytes(data)
    assert begun_anew(tmp_path, caplog)


def test_a_huge_file_is_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (tmp_path / "replica-0.journal").open("wb") as file:
        file.truncate(1 << 40)
    assert begun_anew(tmp_path, caplog)


@pytest.mark.parametrize("name", ["replica-0.journal", "replica-0.journal.part"])
@pytest.mark.parametrize("what", ["folder", "full folder", "pipe", "loop", "link to nowhere", "unreadable", "device"])
def test_what_stands_in_the_place_of_the_journal_is_no_hindrance(
    tmp_path: Path, what: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / name
    if what in ("folder", "full folder"):
        place.mkdir()
        if what == "full folder":
            (place / "file").write_text("kept")
    elif what == "pipe":
        os.mkfifo(place)
    elif what == "unreadable":
        place.write_bytes(b"{")  # root reads it all the same
        place.chmod(0)
    else:
        place.symlink_to({"loop": place, "link to nowhere": tmp_path / "nowhere", "device": Path("/dev/zero")}[what])
    said = begun_anew(tmp_path, caplog)
    assert said or name.endswith(".part") or what == "link to nowhere"
    assert Journal(tmp_path, "replica-0").open() == NOTES
    assert [file.read_text() for file in tmp_path.rglob("file")] == (["kept"] if what == "full folder" else [])


def test_notes_are_on_the_disk_before_they_take_the_place_of_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, rename = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    Journal(tmp_path, "replica-0").open()
    assert steps == ["file", "rename", "folder"]


def test_a_disk_that_is_full_leaves_the_last_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path, "replica-0")
    journal.open()
    journal(NOTES)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        journal(JournalEntry())
    assert Journal(tmp_path, "replica-0").open() == NOTES
    assert [file.name for file in tmp_path.iterdir()] == ["replica-0.journal"]


@pytest.mark.parametrize("name", ["x" * 249, "ü" * 249, "%" * 249])
def test_a_long_id_has_a_file_too(tmp_path: Path, name: str) -> None:
    for number, replica in enumerate((name + "0", name + "1")):
        Journal(tmp_path, replica).open()
        Journal(tmp_path, replica)(JournalEntry((OffsetRange(PLACE, number, number + 1),)))
    assert Journal(tmp_path, name + "0").open() == JournalEntry((OffsetRange(PLACE, 0, 1),))


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

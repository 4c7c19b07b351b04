"""What `moderate` takes: files, folders with pictures below; everything else is a usage error before models load."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from sluice.cli.pictures import gathered


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return [folder / name for name in names]


def test_a_folder_is_walked_in_order_and_only_pictures_are_taken(tmp_path: Path) -> None:
    touch(tmp_path, "b.PNG", "a.jpg", "sub/deep/c.webp", "notes.txt", "README")
    (tmp_path / "sub/loop").symlink_to(tmp_path)
    found = [str(file.relative_to(tmp_path)) for file in gathered([tmp_path])]
    assert found == ["a.jpg", "b.PNG", "sub/deep/c.webp"]


def test_a_file_that_is_named_is_taken_whatever_its_name_and_once(tmp_path: Path) -> None:
    [file] = touch(tmp_path, "without-suffix")
    assert gathered([file, file]) == [file]


def test_a_name_that_is_no_text_is_found(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.png")
    touch(tmp_path, name)
    assert [file.name for file in gathered([tmp_path])] == [name]


def test_all_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.png")
    bad = [tmp_path / name for name in ("typo\x1b.png", "empty", "dangling.png", "pipe.png")]
    with pytest.raises(typer.BadParameter) as found:
        gathered([*bad, *touch(tmp_path, "good.png")])
    assert found.value.message.count(str(tmp_path)) == 4
    assert "typo\\x1b.png: no such file" in found.value.message
    assert "good.png" not in found.value.message


def test_a_mistyped_name_is_a_usage_error_and_loads_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys; sys.argv = ['sluice', 'moderate', 'nope.png']\n"
        "from sluice.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)\n"
    )
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout == "2 False\n"
    assert "nope.png" in found.stderr

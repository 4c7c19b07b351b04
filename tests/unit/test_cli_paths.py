"""Every option and argument that names a path reads `~`, refuses what is not there, and steers no terminal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from typer.main import get_command

from sluice.cli import app
from sluice.cli.frame import existing_file, named_path
from sluice.core.errors import BadSettings
from sluice.models import files
from sluice.settings.sources import load

READERS = (named_path, existing_file)


def parameters(command: Any, name: str = "sluice") -> Iterator[tuple[str, Any]]:
    """Yield what every parameter of every command reads, with the words that call it."""
    for parameter in command.params:
        yield f"{name} {parameter.name}", parameter.type_descriptor
    for word, below in getattr(command, "commands", {}).items():
        yield from parameters(below, f"{name} {word}")


def is_path(annotation: Any) -> bool:
    return annotation is Path or Path in get_args(annotation)


def test_every_path_of_the_command_line_is_read_by_one_of_two_functions() -> None:
    found = {name: said for name, said in parameters(get_command(app)) if is_path(said.annotation)}
    assert len(found) > 15
    assert [name for name, said in found.items() if said.parameter_info.parser not in READERS] == []


@pytest.mark.parametrize("read", READERS)
def test_home_is_read_as_a_shell_would(read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.png").write_bytes(b"x")
    assert read("~/a.png") == tmp_path / "a.png"
    with pytest.raises(typer.BadParameter, match="home"):
        read("~nobody-has-this-name/a.png")


@pytest.mark.parametrize(("name", "why"), [("absent\x1b[31m", "no such file"), ("folder", "not a file")])
def test_a_file_that_must_be_there_is_missed_by_name(name: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(typer.BadParameter) as found:
        existing_file(tmp_path / name)
    assert found.value.message.endswith(why)
    assert found.value.message.isprintable()


@pytest.mark.parametrize("variable", ["SLUICE_CONFIG", "SLUICE_SECRETS_DIR"])
def test_a_home_that_nobody_has_is_a_wrong_setting(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "~nobody-has-this-name/sluice")
    with pytest.raises(BadSettings, match=rf"{variable} = '~nobody-has-this-name/sluice': names the home"):
        load()


def test_so_it_is_in_a_bundles_name() -> None:
    with pytest.raises(BadSettings, match=r"models\.bundle = '~nobody-has-this-name/b': names the home"):
        files.locate("~nobody-has-this-name/b")

"""The page on the architecture shows the code as it is."""

import importlib
import re

import pytest

from tests.architecture.picture import OTHERS, PAGE, ROOT, imports, layers, page, reach, reduced

TEXT = PAGE.read_text("utf-8")
PLACES = re.findall(r"^\| Where [^|]+\| `([\w.]+)` in `([\w/.]+)` \|$", TEXT, re.MULTILINE)


def test_the_picture_is_that_of_the_imports() -> None:
    assert page() == TEXT, "run: python -m tests.architecture.picture"


def test_what_is_left_out_of_the_picture_follows_from_it() -> None:
    found = imports()
    drawn = {package: frozenset(target for source, target in reduced(found) if source == package) for package in found}
    assert {package: reach(drawn, package) for package in found} == {
        package: reach(found, package) for package in found
    }


def test_every_package_stands_in_the_table() -> None:
    table = TEXT.partition("| package |")[2].partition("## Where")[0]
    named = set(
        re.findall(r"`(\w+)`", "\n".join(line.split("|")[1] for line in table.splitlines() if line.count("|") > 2))
    )
    assert named == {name for layer in layers() for name in layer} | set(OTHERS)


def test_there_are_five_places() -> None:
    assert len(PLACES) == 5


@pytest.mark.parametrize(("name", "file"), PLACES)
def test_what_people_look_for_is_where_the_page_says(name: str, file: str) -> None:
    module = importlib.import_module(file.partition("/")[2].removesuffix(".py").replace("/", "."))
    assert (ROOT / file).is_file()
    found = module
    for part in name.split("."):
        found = getattr(found, part)

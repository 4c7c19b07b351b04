"""What the pages name is there: files, headings, settings, metrics, commands and their options."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree as ET

import pytest
import typer

from sluice.cli import app
from sluice.core.metrics import MetricName
from sluice.core.yaml_documents import dotted
from sluice.settings import Settings
from sluice.settings.sources import LEAVES, variable

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")])
OF_TODAY = [page for page in PAGES if page.name != "CHANGELOG.md"]
OF_SETTINGS = [page for page in OF_TODAY if page.parent.name != "schemas"]  # there `policy.version` is a verdict's
PICTURES = sorted((ROOT / "docs").glob("*.svg"))
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
CODE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"(?:^\$ |`)(sluice [a-z][^`#\n|>]*)", re.MULTILINE)
METRIC = re.compile(r"(?:sluice|kafka)\.[a-z_.]+")  # attributes of spans begin with `messaging.` too
SETTING = re.compile(rf"(?:{'|'.join(Settings.model_fields)})\.[a-z0-9_]+")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def code(page: Path) -> Iterator[str]:
    """Yield what a page sets as code within its text."""
    yield from CODE.findall(re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def unknown(line: str) -> str:
    """Return the first word of a command line that Sluice does not know; empty when it knows all."""
    command = typer.main.get_command(app)
    for word in shlex.split(line)[1:]:
        if word.startswith("-"):
            known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
            if word.partition("=")[0] not in known | {"--help"}:
                return word
        elif commands := getattr(command, "commands", None):
            if word not in commands:
                return word
            command = commands[word]
    return ""


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        there = page.parent / target if target else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), f"{target}#{anchor}"


@pytest.mark.parametrize("page", OF_SETTINGS, ids=name)
def test_every_setting_a_page_names_is_one(page: Path) -> None:
    names = {dotted(key) for key in LEAVES}
    variables = {variable(key) for key in LEAVES}
    for text in code(page):
        if SETTING.fullmatch(text):
            assert text in names
        if re.fullmatch(r"SLUICE_[A-Z]+__[A-Z0-9_]+", text):
            assert text in variables


@pytest.mark.parametrize("page", OF_TODAY, ids=name)
def test_every_metric_a_page_names_is_one(page: Path) -> None:
    metrics = get_args(MetricName)
    for text in code(page):
        if METRIC.fullmatch(text) and not SETTING.fullmatch(text):
            assert text in metrics


@pytest.mark.parametrize("page", OF_TODAY, ids=name)
def test_every_command_a_page_names_is_one(page: Path) -> None:
    for line in COMMAND.findall(page.read_text(encoding="utf-8")):
        assert not unknown(line), line


@pytest.mark.parametrize("picture", PICTURES, ids=name)
def test_every_picture_is_on_a_page_that_says_what_it_shows(picture: Path) -> None:
    assert ET.parse(picture).getroot().get("viewBox")  # noqa: S314 -- our own file
    shown = re.compile(rf"!\[([^\]]{{20,}})\]\([^)]*\b{re.escape(picture.name)}\)")
    assert any(shown.search(page.read_text(encoding="utf-8")) for page in PAGES)


def test_pages_were_found() -> None:
    assert {"README.md", "docs/offsets.md", "schemas/README.md"} <= {name(page) for page in PAGES}
    assert len(PICTURES) > 5
    assert sum(len(COMMAND.findall(page.read_text(encoding="utf-8"))) for page in PAGES) > 30

"""Nothing from outside steers a terminal or breaks JSON, on whatever stream it is printed."""

import io
import json
import sys
from collections.abc import Callable

import pytest
from rich.text import Text

from sluice.cli import frame
from sluice.core.printable import json_text, printable
from sluice.report.markup import element
from sluice.report.table import table
from sluice.telemetry import logs
from tests.support import findings as made

HOSTILE = (
    "\x1b[31mred", "\x1b]0;title\x07", "bell\x07", "two\nlines", "over\rwritten", "back\x08", "\u202egpj.exe",
    "\u2066x\u2069",
    "\u200b", "\ufeff", "\x9b31m", "\x00", "\x7f", "half\udcff", "\ud800", "\u2028", "\u00a0", "\U000e0041",
    "\u00ad", "\t",
)  # fmt: skip
HARMLESS = ("plain name.png", "Grüße.png", "日本語.jpg", "😀.webp", "a\\x1b", "[red]x[/red]")


def steers(text: str) -> bool:
    return any(not character.isprintable() for character in text if character != "\n")


@pytest.mark.parametrize("text", HOSTILE)
def test_what_steers_or_hides_becomes_a_visible_escape(text: str) -> None:
    shown = printable(text)
    assert "\n" not in shown
    assert not steers(shown)
    shown.encode("utf-8")


@pytest.mark.parametrize("text", HARMLESS)
def test_what_people_can_read_stays(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize("text", HOSTILE + HARMLESS)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_reads_back_the_same_and_steers_nothing(text: str, *, ascii_only: bool) -> None:
    said = json_text({text: [text]}, ascii_only=ascii_only)
    assert json.loads(said) == {text: [text]}
    assert not steers(said)
    assert said.isascii() or not ascii_only


WAYS: dict[str, Callable[[str], None]] = {
    "a table": lambda text: frame.show((text, "b"), [(text, [text]), ({"a": text}, Text(text))], title=text),
    "a line": frame.say,
    "JSON": lambda text: frame.emit({text: text}),
    "JSON lines": lambda text: frame.line({text: text}),
    "a report": lambda text: frame.console().print(table([made.rejected(text, text)])),
    "whatever is printed": lambda text: frame.console().print(Text(text)),
}


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize("way", WAYS)
def test_however_it_is_printed_nothing_steers_and_nothing_fails(
    text: str, encoding: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = [io.TextIOWrapper(io.BytesIO(), encoding, errors="backslashreplace") for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    WAYS[way](text)
    for stream in streams:
        stream.seek(0)
        assert not steers(stream.read())


def test_drawings_fall_back_where_a_stream_knows_ascii_only(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    frame.console().print(Text("▁▃█ ━━ ●"))
    stream.seek(0)
    assert stream.read() == "_,# -- *\n"


@pytest.mark.parametrize("text", HOSTILE)
def test_nor_does_it_in_a_page(text: str) -> None:
    assert not steers(element("p", text, title=text).replace("\t", ""))


@pytest.mark.parametrize("text", HOSTILE)
def test_nor_in_the_log_that_a_person_watches(text: str) -> None:
    written = logs._printable(None, "info", {"event": text, "topic": text})
    assert not any(steers(str(said)) for said in written.values())

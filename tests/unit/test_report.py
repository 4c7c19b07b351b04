"""The report of one-shot moderation: a page that escapes and asks nobody, a table, JSON."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from io import BytesIO, StringIO

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from sluice.media.decoding.preview import jpeg
from sluice.report.finding import Finding, counts, nearest
from sluice.report.markup import Html, element, join
from sluice.report.page import page
from sluice.report.table import as_json, table
from sluice_schemas import Status
from tests.support import findings as made

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
EVIL = "<script>alert('x')</script>\"&.png"


class Outline(HTMLParser):
    """Element names, attributes and text of a document."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def findings() -> list[Finding]:
    return [
        made.judged("quiet.png", Status.ALLOW, prompt="a red circle"),
        made.judged("loud.png", Status.BLOCK, fired="sd.c04"),
        made.rejected("broken.png"),
    ]


def test_text_is_escaped_and_html_is_not() -> None:
    assert element("p", "a<b", element("b", "&"), title='"') == '<p title="&quot;">a&lt;b<b>&amp;</b></p>'
    assert join("<", Html("<br>")) == "&lt;<br>"
    assert element("img", alt="x", src=None, http_equiv="y", class_="z") == '<img alt="x" http-equiv="y" class="z">'


def test_no_name_prompt_or_reason_becomes_markup() -> None:
    found = made.judged(EVIL, Status.ALLOW, prompt=EVIL)
    found = replace(found, outcome=replace(found.outcome, verdict=replace(found.verdict, reasons=(EVIL,))))
    outline = Outline(page([found, made.rejected(EVIL, EVIL)], NOW))
    assert "script" not in outline.names
    assert outline.text.count(EVIL) == 5  # two headings, the prompt, a reason, an explanation


def test_the_page_asks_nobody_for_anything() -> None:
    found = replace(findings()[0], preview=jpeg(np.zeros((8, 8, 3), np.uint8)))
    outline = Outline(page([found], NOW))
    addresses = [value or "" for name, value in outline.attributes if name in {"src", "href", "srcset", "data"}]
    assert [address.partition(",")[0] for address in addresses] == ["data:image/jpeg;base64"]
    assert "url(" not in page([found], NOW)
    assert any("default-src 'none'" in (value or "") for _, value in outline.attributes)


def test_only_what_may_be_shown_is_shown_without_being_asked() -> None:
    picture = jpeg(np.zeros((8, 8, 3), np.uint8))
    for status in Status:
        shown = page([replace(made.judged("x", status), preview=picture)], NOW)
        assert ('figure class="hidden"' in shown) is (status is not Status.ALLOW)


def test_every_margin_has_a_bar_on_the_side_its_sign_says() -> None:
    shown = page([made.judged("x", Status.BLOCK, fired="sd.c04")], NOW)
    bars = re.findall(r"left:([\d.]+)%;width:([\d.]+)%", shown)
    assert len(bars) == 20
    right = [(left, width) for left, width in bars if float(left) == 50]
    assert len(right) == 1
    assert all(float(left) + float(width) == pytest.approx(50, abs=0.02) for left, width in bars if left != "50.00")


def test_bars_share_a_scale_across_images() -> None:
    small, large = (made.judged("x", Status.BLOCK, fired="sd.c04") for _ in range(2))
    verdict = replace(large.verdict, concepts=made.concepts("sd.c04", 0.4))
    large = replace(large, outcome=replace(large.outcome, verdict=verdict))
    widths = [float(width) for width in re.findall(r"left:50.00%;width:([\d.]+)%", page([small, large], NOW))]
    assert widths == pytest.approx([50 * 0.031 / 0.4, 50.0], abs=0.01)


def test_the_table_names_status_reason_margin_and_what_judged() -> None:
    console = Console(file=StringIO(), width=200)
    console.print(table(findings()))
    text = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO above
    for expected in ("INDETERMINATE", "truncated", "c04 +0.031", "0.287", "1 BLOCK", "policy test v1", "a1a1a1a1a1a1"):
        assert expected in text


def test_a_name_with_markup_is_printed_as_it_is() -> None:
    console = Console(file=StringIO(), width=200)
    console.print(table([made.rejected("[red]x[/red].png")]))
    assert "[red]x[/red].png" in console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO above


def test_json_holds_every_margin_and_survives_json() -> None:
    judged, blocked, broken = (json.loads(json.dumps(as_json(finding))) for finding in findings())
    assert len(blocked["verdict"]["concepts"]) == 20
    assert judged["quality"]["clip"]["cosine"] == 0.287
    assert broken["quality"] is None
    assert broken["dead_letter"]["error"]["reason"] == "truncated"
    assert blocked["verdict"]["verdict_id"] == "00000000-0000-0000-0000-000000000000"


def test_counts_go_by_severity_and_nearest_by_margin() -> None:
    assert list(counts(reversed(findings()))) == [Status.ALLOW, Status.BLOCK, Status.INDETERMINATE]
    assert [concept.id for concept in nearest(made.concepts("sd.c09"), 1)] == ["sd.c09"]


def test_a_preview_is_a_jpeg_of_the_pixels_it_was_given() -> None:
    pixels = np.full((20, 30, 3), (200, 30, 30), np.uint8)
    picture = Image.open(BytesIO(jpeg(pixels)))
    assert (picture.format, picture.size) == ("JPEG", (30, 20))
    assert picture.getexif() == {}

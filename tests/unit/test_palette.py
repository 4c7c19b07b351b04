"""A status has one colour wherever it is shown."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sluice.report import page, palette, table
from sluice_schemas import Status

BOARDS = sorted((Path(__file__).parents[2] / "helm/sluice/dashboards").glob("*.json"))
DARK = {str(status): colour.dark for status, colour in palette.STATUS.items()}


def test_every_status_has_a_colour_of_its_own() -> None:
    assert set(palette.STATUS) == set(Status)
    for ground in ("light", "dark"):
        colours = [getattr(colour, ground) for colour in palette.STATUS.values()]
        assert len(set(colours)) == len(colours)
        assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)


def test_the_terminal_and_the_report_take_them_from_the_palette() -> None:
    assert {str(status): style for status, style in table.STYLE.items()} == DARK
    style = page._style()
    for status, colour in palette.STATUS.items():
        assert re.findall(rf"--{status.lower()}: (#\w+)", style) == [colour.light, colour.dark]


@pytest.mark.parametrize("board", BOARDS, ids=lambda path: path.stem)
def test_a_dashboard_shows_statuses_and_percentiles_in_their_colours(board: Path) -> None:
    panels = [panel for panel in json.loads(board.read_text("utf-8"))["panels"] if panel["type"] == "timeseries"]
    for panel in panels:
        legends = [target.get("legendFormat", "") for target in panel["targets"]]
        wanted = {name: colour for name, colour in palette.PERCENTILE.items() if name in legends}
        assert fixed(panel) == wanted | (DARK if "{{status}}" in legends else {}), panel["title"]


def fixed(panel: dict[str, Any]) -> dict[str, str]:
    """Return the series of a panel that have a colour of their own."""
    return {
        each["matcher"]["options"]: change["value"]["fixedColor"]
        for each in panel["fieldConfig"].get("overrides", [])
        for change in each["properties"]
        if change["id"] == "color"
    }

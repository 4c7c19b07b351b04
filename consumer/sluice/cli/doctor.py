"""`sluice doctor`: everything that must be right before `sluice run`, and a fix for what is not."""

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

import typer
from rich.text import Text

from sluice.cli.frame import FOUND, AsJson, emit, loaded, show
from sluice.core.errors import BadSettings

if TYPE_CHECKING:
    from sluice.doctor import Row

STYLES: dict[Literal["ok", "warn", "fail"], str] = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Look at settings, policy, weights, device, disk, brokers, topics, permissions and clock.

    Exit status 1 when something fails; a warning does not.
    """
    rows = _rows(context)
    if as_json:
        emit([asdict(row) for row in rows])
    else:
        show(("", "what", "found", "fix"), [(Text(r.state, STYLES[r.state]), r.what, r.found, r.fix) for r in rows])
    if any(row.state == "fail" for row in rows):
        raise typer.Exit(FOUND)


def _rows(context: typer.Context) -> "list[Row]":
    from sluice.doctor import Row, examine

    try:
        found = loaded(context)
    except BadSettings as error:
        return [Row("settings", "fail", line, "sluice config docs") for line in str(error).splitlines()]
    said = sum(origin != "default" for origin in found.origins.values())
    return [Row("settings", "ok", f"{said} set, the rest by default"), *examine(found.settings, time.time())]

"""The colour of each status: the same in the terminal, in the report and on the dashboards."""

from collections.abc import Mapping
from dataclasses import dataclass

from sluice_schemas import Status


@dataclass(frozen=True, slots=True)
class Colour:
    """One colour as #rrggbb, for a light ground and for a dark one; terminals and dashboards take the second."""

    light: str
    dark: str


STATUS: Mapping[Status, Colour] = {
    Status.ALLOW: Colour("#1a8a4c", "#3fc17c"),
    Status.BLUR: Colour("#b7791f", "#e0a53a"),
    Status.REVIEW: Colour("#6d4fd2", "#a18bf5"),
    Status.BLOCK: Colour("#d22f3d", "#ff6470"),
    Status.INDETERMINATE: Colour("#6b7480", "#94a0ad"),
}

PERCENTILE: Mapping[str, str] = {"p50": "#5fa8f5", "p95": "#e0a53a", "p99": "#ff6470"}
"""From calm to alarming."""


def css() -> str:
    """Return the status colours as variables of a style sheet, such as `--allow`."""
    light = "".join(f" --{status.lower()}: {colour.light};" for status, colour in STATUS.items())
    dark = "".join(f" --{status.lower()}: {colour.dark};" for status, colour in STATUS.items())
    return f":root {{{light} }}\n@media (prefers-color-scheme: dark) {{ :root {{{dark} }} }}\n"

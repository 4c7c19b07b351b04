"""Findings that are no ratio of two ways: rows of figures, as text for people and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Cell = str | float


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with the same columns. Numbers are shown to three figures, the rest of them in the JSON."""

    what: str
    rows: Sequence[Mapping[str, Cell]]

    def as_text(self) -> str:
        """Return the table with a column for each key of the first row."""
        names = list(self.rows[0])
        lines = [names, *([_shown(row[name]) for name in names] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        shown = ("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
        return "\n".join((self.what, *shown))

    def as_json(self) -> dict[str, object]:
        """Return the figures, rounded to what means something."""
        return {"what": self.what, "rows": [{k: _rounded(v) for k, v in row.items()} for row in self.rows]}


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return the percentiles that count of ages and the like, in the unit of the values."""
    return {f"p{percent}": float(np.percentile(values, percent)) for percent in (50, 95, 99)}


def _shown(cell: Cell) -> str:
    if isinstance(cell, str):
        return cell
    return f"{cell:.0f}" if abs(cell) >= 100 else f"{cell:.3g}"


def _rounded(cell: Cell) -> Cell:
    return round(cell, 4) if isinstance(cell, float) else cell

"""What a trial found, counted: a table for people, JSON for machines."""

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

from sluice.settings import MIB
from tests.hostile.comparison import Agreement, Comparison
from tests.hostile.trial import Result


@dataclass(slots=True)
class Tally:
    """The results of one family, or of all."""

    files: int = 0
    pictures: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    max_cpu_s: float = 0.0
    max_wall_s: float = 0.0
    max_resident_mib: float = 0.0

    def add(self, result: Result) -> None:
        """Count one result."""
        self.files += 1
        self.pictures += not result.reason
        self.reasons.update([result.reason] if result.reason else [])
        self.verdicts.update([result.status.value] if result.status else [])
        self.max_cpu_s = max(self.max_cpu_s, round(result.cpu_s, 3))
        self.max_wall_s = max(self.max_wall_s, round(result.wall_s, 3))
        self.max_resident_mib = max(self.max_resident_mib, round(result.resident_bytes / MIB, 1))


@dataclass(slots=True)
class Report:
    """Everything a long run found."""

    seed: int
    families: dict[str, Tally] = field(default_factory=dict)
    total: Tally = field(default_factory=Tally)
    complaints: dict[str, tuple[str, ...]] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)
    templates_survived: bool = True
    agreements: Counter[str] = field(default_factory=Counter)
    max_distance: float = 0.0
    different: dict[str, float] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether nothing happened that may not."""
        return not self.complaints and not self.different and self.templates_survived

    def add(self, result: Result) -> None:
        """Count one file."""
        self.families.setdefault(result.name.partition("/")[0], Tally()).add(result)
        self.total.add(result)
        if result.complaints:
            self.complaints[result.name] = result.complaints

    def compare(self, comparison: Comparison) -> None:
        """Count one file that a browser saw as well."""
        self.agreements[comparison.agreement.value] += 1
        if comparison.agreement is Agreement.DIFFERENT:
            self.different[comparison.name] = round(comparison.distance, 2)
        else:
            self.max_distance = max(self.max_distance, round(comparison.distance, 2))

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        families = {name: _plain(tally) for name, tally in self.families.items()}
        return {**_plain(self), "families": families, "total": _plain(self.total), "clean": self.clean}

    def as_text(self) -> str:
        """Return a table: one line per family, then what was wrong."""
        head = f"{'family':14}{'files':>7}{'pictures':>10}{'CPU s':>8}{'wall s':>8}{'MiB':>7}  unreadable"
        rows = [_row(name, tally) for name, tally in (*self.families.items(), ("all", self.total))]
        wrong = [f"{name}: {', '.join(found)}" for name, found in self.complaints.items()]
        wrong += [f"{name}: the browser shows something else ({far})" for name, far in self.different.items()]
        tail = [
            f"verdicts: {_counts(self.total.verdicts)}",
            f"decoders that died: {_counts(self.deaths)}; templates survived: {self.templates_survived}",
            f"against the browser: {_counts(self.agreements)}; largest distance of the same: {self.max_distance}",
            "clean" if self.clean else f"NOT CLEAN: {len(wrong)} files",
        ]
        return "\n".join([head, *rows, *wrong, *tail])


def _plain(counted: Tally | Report) -> dict[str, Any]:
    """Return the fields of a value; `asdict` of Python 3.11 takes counters apart wrongly."""
    return {part.name: getattr(counted, part.name) for part in fields(counted)}


def _row(name: str, tally: Tally) -> str:
    costs = f"{tally.max_cpu_s:8.2f}{tally.max_wall_s:8.2f}{tally.max_resident_mib:7.0f}"
    return f"{name:14}{tally.files:7}{tally.pictures:10}{costs}  {_counts(tally.reasons)}"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common()) or "none"

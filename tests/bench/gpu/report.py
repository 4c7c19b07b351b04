"""What was measured, as tables; what was not says so."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MISSING = "not yet measured"
GOAL_IMAGES_PER_S, GOAL_EFFICIENCY = 2500, 0.85


def markdown(found: Mapping[str, Any]) -> str:
    """Return every table of METHOD.md, filled with what was found."""
    blocks = [
        f"# {found.get('device', MISSING)}, {found.get('size', 'ViT-L/14')} with random weights",
        _section("What the device reaches in a large product", _ceilings(found.get("ceiling"))),
        _section(
            f"Images a second for verdict and CLIP score together (goal {GOAL_IMAGES_PER_S:,} through one tower)",
            _images(found.get("images"), found.get("ceiling")),
        ),
        _section("Prompts a second through the text tower", _prompts(found.get("prompts"))),
        _section("Guard band", _flips(found.get("flips"))),
        _section(f"End to end on 512 px JPEG (goal {GOAL_EFFICIENCY})", _end_to_end(found.get("end-to-end"))),
    ]
    return "\n\n".join(blocks) + "\n"


def _section(title: str, lines: Iterable[str]) -> str:
    return "\n".join((f"## {title}", "", *lines))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_line(head), _line(["---"] * len(head)), *(_line(row) for row in rows)]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _ceilings(found: Any) -> list[str]:
    rows = [(each["precision"], f"{each['tflop_per_s']:.3g}") for each in found or ()]
    return _table(("precision", "TFLOP/s"), rows or [(MISSING, "")])


def _images(found: Any, ceilings: Any) -> list[str]:
    """One row for each way, one column for each batch size; the share is that of the best one."""
    if not found:
        return _table(("precision", "towers", "way", "batch 1 to 256", "share of the ceiling"), [(MISSING, *[""] * 4)])
    batches = sorted({row["batch"] for row in found["rows"]})
    lines: dict[tuple[str, int, str], dict[int, float]] = {}
    for row in found["rows"]:
        lines.setdefault((row["precision"], row["towers"], row["way"]), {})[row["batch"]] = row["per_s"]
    most = {each["precision"]: each["tflop_per_s"] * 1e12 for each in ceilings or ()}
    rows = []
    for (precision, towers, way), per_s in lines.items():
        done = max(per_s.values()) * found["flop"] * towers
        share = f"{done / most[precision]:.0%}" if precision in most else MISSING
        cells = (f"{per_s[batch]:,.0f}" if batch in per_s else "" for batch in batches)
        rows.append((precision, str(towers), way, *cells, share))
    return _table(("precision", "towers", "way", *map(str, batches), "share of the ceiling"), rows)


def _prompts(found: Any) -> list[str]:
    rows = [(each["precision"], str(each["tokens"]), f"{each['per_s']:,.0f}") for each in found or ()]
    return _table(("precision", "tokens", "prompts a second"), rows or [(MISSING, "", "")])


def _flips(found: Any) -> list[str]:
    rows: list[tuple[str, ...]] = [
        (
            each["where"],
            str(each["pictures"]),
            f"{each['largest']:.1e}",
            f"{each['band']:g}",
            f"{each['factor']:.1f}",
            f"{each['share']:.1%}",
            str(each["flips"]),
            str(each["flips_without"]),
        )
        for each in found or ()
    ]
    head = ("where", "pictures", "largest difference", "band", "band / difference", "looked at again", "flips")
    return _table((*head, "flips without a second look"), rows or [(MISSING, *[""] * 7)])


def _end_to_end(found: Any) -> list[str]:
    if not found:
        return _table(("way", "events a second"), [(MISSING, "")])
    rates = {name: sorted(per_s)[len(per_s) // 2] for name, per_s in found["per_s"].items()}
    rows = [(name, f"{rate:,.1f}") for name, rate in rates.items()]
    return _table(("way", "events a second"), [*rows, ("efficiency", f"{found['ratio']:.2f}")])

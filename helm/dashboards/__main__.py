"""`python -m helm.dashboards` writes the dashboards; with `--check` it compares, and exits 1 where they differ."""

import sys
from pathlib import Path

from helm.dashboards.grafana import to_json
from helm.dashboards.internals import INTERNALS
from helm.dashboards.models import MODELS
from helm.dashboards.overview import OVERVIEW
from helm.dashboards.quality import QUALITY

FOLDER = Path(__file__).parents[1] / "sluice" / "dashboards"
BOARDS = (OVERVIEW, INTERNALS, MODELS, QUALITY)


def main(arguments: list[str]) -> int:
    """Write or compare every dashboard; return the exit code."""
    files = {FOLDER / f"{board.uid}.json": to_json(board) for board in BOARDS}
    if arguments == ["--check"]:
        stale = [file.name for file, text in files.items() if not file.exists() or file.read_text() != text]
        for name in stale:
            sys.stderr.write(f"{name} is not what helm/dashboards says; run python -m helm.dashboards\n")
        return bool(stale)
    for file, text in files.items():
        file.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

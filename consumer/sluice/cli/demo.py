"""`sluice demo`: the whole road on this machine, watched, and held against the truth."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from sluice.cli.frame import FOUND, INTERRUPTED, check_writable, console, named_path, print_error, say
from sluice.cli.signals import stop_by
from sluice.core.errors import BadSettings
from sluice.core.extras import needs
from sluice.settings import surroundings

if TYPE_CHECKING:
    from sluice.demo.plan import Plan
    from sluice.demo.run import Ending
    from sluice.demo.snapshot import Snapshot

LINE_EVERY_S = 2.0


@needs("demo")
def demo(
    *,
    events: Annotated[int, typer.Option(min=1, help="How many images, 2 % of them broken or hostile.")] = 2000,
    seed: Annotated[int, typer.Option(help="The same seed sends the same events.")] = 1,
    rate: Annotated[float, typer.Option(min=0, help="Events a second; 0 for as fast as they can be sent.")] = 25.0,
    workers: Annotated[int, typer.Option(min=1, max=6, help="Consumers; they share the partitions.")] = 1,
    kills: Annotated[int, typer.Option(min=0, max=5, help="How often a consumer is killed on the way (kill -9).")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", parser=named_path, help="Write the report there.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the folder: logs, settings, pictures, topics.")] = False,
) -> None:
    """Moderate drawn images on a local broker and report what was lost, duplicated, wrong and slow.

    Nothing outside a temporary folder is touched. Exit code 0: every event was answered exactly once, in order and in
    time; 1: not so; else that of the process that failed.
    """
    check_writable("--json", json_file)
    surroundings.check_process()
    from sluice.demo.plan import Plan
    from sluice.demo.processes import ProcessFailed
    from sluice.demo.run import run

    plan = Plan(events, seed, rate_per_s=rate, workers=workers, kills=kills)
    stop_by(_interrupt)
    with _folder(keep=keep) as folder, _shown() as show:
        try:
            ending = run(plan, folder, show, clock=time.monotonic)
        except ProcessFailed as failure:
            print_error(failure)
            raise typer.Exit(failure.exit_code) from None
        except KeyboardInterrupt:
            say("interrupted; everything is stopped")
            raise typer.Exit(INTERRUPTED) from None
    _report(plan, ending, json_file)
    if not ending.well:
        raise typer.Exit(FOUND)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


@contextmanager
def _folder(*, keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="sluice-demo-"))
    try:
        yield folder
    finally:
        if keep:
            say(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _shown() -> Iterator[Callable[["Snapshot"], None]]:
    """Show snapshots: a live view on a terminal, a line now and then elsewhere. All of it goes to stderr."""
    from rich.live import Live

    from sluice.demo.view import line, live

    screen = console(stderr=True)
    if not screen.is_terminal:
        yield _now_and_then(lambda snapshot: say(line(snapshot)))
        return
    with Live(console=screen, auto_refresh=False) as view:
        yield lambda snapshot: view.update(live(snapshot), refresh=True)


def _now_and_then(tell: "Callable[[Snapshot], None]") -> "Callable[[Snapshot], None]":
    """Tell about a snapshot when it is time again or something else is being done."""
    told_s, told = 0.0, ""

    def show(snapshot: "Snapshot") -> None:
        nonlocal told_s, told
        if snapshot.doing != told or snapshot.elapsed_s - told_s >= LINE_EVERY_S:
            told_s, told = snapshot.elapsed_s, snapshot.doing
            tell(snapshot)

    return show


def _report(plan: "Plan", ending: "Ending", json_file: Path | None) -> None:
    from sluice.demo.view import closing

    for note in ending.notes:
        say(note)
    console().print(closing(ending.report, plan))
    if not ending.complete:
        say("not everything was answered in time")
    if json_file:
        report = {**ending.report.as_json(), "complete": ending.complete, "notes": list(ending.notes)}
        try:
            json_file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise BadSettings(f"--json {json_file}: cannot be written: {error.strerror}") from error

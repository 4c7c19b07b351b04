"""What every command shares: the global options, how to print, and what an error says last."""

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from sluice.core import errors
from sluice.core.errors import DependencyDown, Fatal, Rejection, SluiceError
from sluice.core.printable import json_text, printable
from sluice.settings import Settings
from sluice.settings.section import at_home
from sluice.settings.sources import Loaded, load

PLAIN = str.maketrans("▁▂▃▄▅▆▇█━●…", "_.,-=+*#-*~")
"""What stands for the characters of our drawings where a stream has none but ASCII."""

PIPE_WIDTH = 1_000_000
"""Columns that a table may have which no terminal shows: enough for whatever it holds, and nothing is filled up."""

OK, FOUND, USAGE, NOT_ALLOWED, NOT_JUDGED, DATA, UNEXPECTED, LATER, INTERRUPTED = 0, 1, 2, 3, 4, 65, 70, 75, 130

EXIT_CODES: Mapping[int, str] = {
    OK: "done",
    FOUND: "a check found something",
    USAGE: "usage",
    NOT_ALLOWED: "some images are not ALLOW",
    NOT_JUDGED: "some images could not be judged",
    DATA: "input that cannot be judged",
    errors.BrokerLost.exit_code: "no broker",
    UNEXPECTED: "a defect of Sluice",
    errors.Fenced.exit_code: "fenced",
    errors.DeviceLost.exit_code: "device lost",
    errors.TooManyDeadLetters.exit_code: "too many dead letters",
    errors.WeightsNotAttested.exit_code: "weights not attested",
    LATER: "not available now, try later",
    errors.ImagesExpired.exit_code: "images were deleted before they were read, and kafka.expired_images is stop",
    errors.SelfTestFailed.exit_code: "the self-test failed, or was too late",
    errors.Denied.exit_code: "refused by the brokers: password, certificate, permission",
    errors.BadSettings.exit_code: "bad settings, or an extra is not installed",
    errors.NoDecoders.exit_code: "decoder processes do not start",
    INTERRUPTED: "interrupted",
}

NEXT: Mapping[type[SluiceError], str] = {
    errors.BadPolicy: "sluice policy show balanced (docs/policy.md: all it may say)",
    errors.BadSettings: "sluice config docs",
    errors.WeightsNotAttested: "sluice models list",
    errors.BrokerLost: "sluice doctor",
    errors.Denied: "sluice doctor",
    errors.DependencyDown: "sluice doctor",
    errors.DeviceLost: "sluice doctor",
    errors.NoDecoders: "sluice doctor",
    errors.SelfTestFailed: "sluice doctor",
    errors.Fenced: "sluice config show (kafka.transactional_id must be unique per live process)",
    errors.TooManyDeadLetters: "sluice dlq list",
}
"""The command that helps after an error whose remedy names none."""


def named_path(text: str | Path) -> Path:
    """Return the path that a command line names, `~` expanded: quotes and `--option=~/x` keep a shell from doing it.

    Every option and argument that names a path is read by this or by `existing_file`. Raises typer.BadParameter.
    """
    try:
        return Path(at_home(Path(text)))
    except ValueError as error:
        raise typer.BadParameter(f"{printable(str(text))}: {error}") from None


def existing_file(text: str | Path) -> Path:
    """Return the path of a file that is there to be read. Raises typer.BadParameter."""
    path = named_path(text)
    if not path.is_file():
        raise typer.BadParameter(f"{printable(str(path))}: {'not a file' if path.exists() else 'no such file'}")
    if not os.access(path, os.R_OK):
        raise typer.BadParameter(f"{printable(str(path))}: cannot be read")
    return path


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Check = Annotated[
    Path | None,
    typer.Option("--check", metavar="FILE", parser=named_path, help="Compare with this file instead of printing."),
]


@dataclass(slots=True)
class Invocation:
    """The global options of one call."""

    config: Path | None = None
    debug: bool = False


def loaded(context: typer.Context) -> Loaded:
    """Return the settings of this call and where they came from."""
    return load(context.ensure_object(Invocation).config)


def settings_of(context: typer.Context) -> Settings:
    """Return the settings of this call."""
    return loaded(context).settings


class Screen(Console):
    """A console on which nothing that comes from outside steers the terminal, or stops a stream that knows ASCII only.

    Text passes through `printable` before it is laid out, so that widths are right; this is the last gate.
    """

    def print(self, *objects: Any, **how: Any) -> None:
        """Print; where no terminal shows it, lines end with their last word and not where the widest one ends."""
        if self.is_terminal:
            super().print(*objects, **how)
            return
        with self.capture() as printed:
            super().print(*objects, **how)
        self.file.write(re.sub(r" +$", "", printed.get(), flags=re.MULTILINE))

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render with every text made printable, and drawings by plain characters where there are no others."""
        plain = not self.encoding.startswith("utf")
        for segment in super().render(renderable, options):
            text = segment.text
            if not segment.control and text != "\n":
                text = printable(text.translate(PLAIN) if plain else text, keep="\n")
            yield Segment(text, segment.style, segment.control)


def console(*, stderr: bool = False) -> Console:
    """Return a console; data goes to stdout, everything else to stderr."""
    stream = sys.stderr if stderr else sys.stdout
    return Screen(file=stream, width=None if stream.isatty() else PIPE_WIDTH, highlight=False)


def check_writable(option: str, file: Path | None) -> None:
    """Refuse, before the work whose result it would hold, a file that cannot be written. Raises typer.BadParameter."""
    if file is None:
        return
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise typer.BadParameter(f"{printable(str(file))} cannot be written", param_hint=option)


def say(text: str) -> None:
    """Print a line for people to stderr."""
    console(stderr=True).print(Text(printable(text)), soft_wrap=True)


def emit(data: Any) -> None:
    """Print one JSON value to stdout."""
    typer.echo(json_text(data, indent=2, ascii_only=_knows_ascii_only()))


def line(data: Any) -> None:
    """Print one JSON value on one line to stdout, at once."""
    typer.echo(json_text(data, ascii_only=_knows_ascii_only()))


def _knows_ascii_only() -> bool:
    return not (sys.stdout.encoding or "").lower().startswith("utf")


def print_or_compare(text: str, file: Path | None, origin: str, command: str) -> None:
    """Print to stdout what `command` makes, or exit where `file` holds something else than `origin`."""
    if file is None:
        typer.echo(text, nl=False)
    elif not file.is_file() or file.read_text("utf-8") != text:
        say(f"{file} is not what {origin}; run: {command} > {file}")
        raise typer.Exit(FOUND)


def show(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """Print a table to stdout."""
    table = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(printable(_cell(cell))) for cell in row))
    console().print(table)


def print_error(error: Exception) -> int:
    """Print to stderr what went wrong and the next command to run; return the exit code."""
    if not isinstance(error, SluiceError):
        say(f"error: unexpected {type(error).__name__}; nothing more is said of it without --debug")
        return UNEXPECTED
    for line in str(error).splitlines() or [type(error).__name__]:
        say(f"error: {line}")
    command = next((NEXT[kind] for kind in type(error).__mro__ if kind in NEXT), None)
    if command and "sluice " not in error.remedy and not isinstance(error, errors.NotInstalled):
        say(f"next:  {command}")
    return exit_code(error)


def exit_code(error: SluiceError) -> int:
    """Return the documented exit code of an error."""
    if isinstance(error, Fatal):
        return error.exit_code
    return DATA if isinstance(error, Rejection) else LATER if isinstance(error, DependencyDown) else UNEXPECTED


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return json.dumps(value) if isinstance(value, dict) else str(value)

"""`sluice tail`: verdicts, quality events and dead letters as they come."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from sluice.cli.frame import AsJson, console, line, settings_of
from sluice.core.printable import printable
from sluice_schemas import DeadLetter, Event, Quality, Verdict

if TYPE_CHECKING:
    from sluice.kafka.reader import Start


class What(StrEnum):
    """What may be followed."""

    VERDICTS = "verdicts"
    QUALITY = "quality"
    DEAD_LETTERS = "deadletters"


KINDS: Mapping[What, type[Event]] = {
    What.VERDICTS: Verdict,
    What.QUALITY: Quality,
    What.DEAD_LETTERS: DeadLetter,
}


def tail(
    context: typer.Context,
    what: Annotated[What, typer.Argument(help="What to read.")],
    start: Annotated[
        str, typer.Option("--from", help="`earliest`, `latest`, or an offset (of every partition).")
    ] = "latest",
    follow: Annotated[
        bool | None, typer.Option("--follow/--no-follow", help="Go on past the present end. Default: if from latest.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="Stop after so many.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print events as they come, one line each (with --json: one JSON object per line), until Ctrl-C."""
    from sluice.cli.kafka import events, until_interrupted

    place = parse_start(start)
    with until_interrupted() as stopping:
        found = events(
            settings_of(context),
            KINDS[what],
            place,
            follow=place == "latest" if follow is None else follow,
            stopping=stopping,
        )
        for _, event in islice(found, limit):
            if as_json:
                line(plain_event(event))
            else:
                console().print(LINES[type(event)](event), soft_wrap=True)


def parse_start(text: str) -> "Start":
    """Return where to start. Raises typer.BadParameter."""
    if text == "earliest":
        return "earliest"
    if text == "latest":
        return "latest"
    if text.isdigit():
        return int(text)
    raise typer.BadParameter("must be earliest, latest or an offset", param_hint="--from")


def plain_event(event: Event) -> dict[str, Any]:
    """Return an event as JSON's types."""
    from dataclasses import asdict

    from sluice.report.table import plain

    found: dict[str, Any] = plain(asdict(event))
    return found


def _verdict(verdict: Verdict) -> Text:
    from sluice.report.table import STYLE

    why = printable(", ".join(verdict.reasons))
    about = printable(verdict.image_id)
    status = (f"{verdict.status:<13}", STYLE[verdict.status])
    return Text.assemble(f"{_time(verdict)} ", status, f" {about}", f"  {why}" if why else "")


def _quality(quality: Quality) -> Text:
    numbers = {
        "clip": quality.clip.cosine if quality.clip else None,
        "aesthetic": quality.aesthetic,
        "blur": quality.technical.blur,
        "noise": quality.technical.noise_sigma,
        "flat": quality.technical.flat,
    }
    said = "  ".join(f"{name} {value:.4g}" for name, value in numbers.items() if value is not None)
    return Text(f"{_time(quality)} {printable(quality.image_id)}  {said}")


def _dead_letter(letter: DeadLetter) -> Text:
    source = letter.source
    about = printable(f"{letter.image_id}  {source.topic}/{source.partition}/{source.offset}")
    error = (printable(f"{letter.error.stage}: {letter.error.reason}"), "red")
    return Text.assemble(
        f"{_time(letter)} ",
        error,
        f" {about}  {letter.value_size_bytes} bytes",
    )


def _time(event: Verdict | Quality | DeadLetter) -> str:
    return event.produced_at.isoformat(timespec="milliseconds")


LINES: Mapping[type[Event], Callable[[Any], Text]] = {Verdict: _verdict, Quality: _quality, DeadLetter: _dead_letter}

"""`sluice dlq`: the records that could not be judged, and putting them back."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.cli.frame import FOUND, AsJson, emit, say, settings_of, show
from sluice.cli.tail import plain_event
from sluice.core.deadline import Deadline
from sluice.settings import Settings
from sluice_schemas import DeadLetter

if TYPE_CHECKING:
    from sluice.core.records import Record

app = typer.Typer(no_args_is_help=True, help="Dead letters: list, show, put back.")

REQUEUE_TIMEOUT_S = 30.0
Reason = Annotated[str, typer.Option("--reason", help="Only those with this reason.")]
Place = tuple[str, DeadLetter]


@app.command("list")
def list_letters(
    context: typer.Context,
    reason: Reason = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Show the newest so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List dead letters; the first column is what `show` and `requeue` take."""
    found = [(place, letter) for place, letter in _letters(settings_of(context)) if reason in ("", letter.error.reason)]
    found.sort(key=lambda item: item[1].produced_at)
    newest = found[-limit:]
    if as_json:
        emit([{"place": place, **plain_event(letter)} for place, letter in newest])
        return
    show(("place", "when", "stage", "reason", "image", "bytes", "value"), [_row(*item) for item in newest])
    if len(newest) < len(found):
        say(f"{len(found) - len(newest)} older ones are not shown; --limit {len(found)} shows all")


@app.command("show")
def show_letter(
    context: typer.Context,
    which: Annotated[str, typer.Argument(help="Place (PARTITION/OFFSET) or image id.")],
    as_json: AsJson = False,
) -> None:
    """Show one dead letter with the error, the headers and where the record stood."""
    found = [item for item in _letters(settings_of(context)) if _is(which, *item)]
    if not found:
        raise _absent([which])
    if as_json:
        emit([{"place": place, **plain_event(letter)} for place, letter in found])
        return
    for place, letter in found:
        show(("field", "value"), [("place", place), *_fields(letter)])


@app.command()
def requeue(
    context: typer.Context,
    which: Annotated[list[str] | None, typer.Argument(help="Places (PARTITION/OFFSET) or image ids.")] = None,
    reason: Reason = "",
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which.")] = False,
    as_json: AsJson = False,
) -> None:
    """Publish records again, as they came, to the images topic; each gets a new verdict.

    A letter without its value (see dead_letters.include_inline_images) cannot be put back: exit status 1.
    """
    if not (which or reason or everything):
        raise typer.BadParameter("name places or image ids, or give --reason or --all")
    settings = settings_of(context)
    letters = [item for item in _letters(settings) if _wanted(which or [], reason, *item)]
    if absent := [name for name in which or [] if not any(_is(name, *item) for item in letters)]:
        raise _absent(absent)
    rows = [(place, letter.image_id, _put_back(settings, letter, dry_run=dry_run)) for place, letter in letters]
    if as_json:
        emit([dict(zip(("place", "image_id", "result"), row, strict=True)) for row in rows])
    else:
        show(("place", "image", "result"), rows)
    if any(result == NOT_CARRIED for _, _, result in rows):
        raise typer.Exit(FOUND)


NOT_CARRIED = "not carried"


def _put_back(settings: Settings, letter: DeadLetter, *, dry_run: bool) -> str:
    from sluice.kafka.client import open_producer, plain_producer_config
    from sluice.kafka.reader import requeue as publish

    if letter.value is None and letter.value_sha256 is not None:
        return NOT_CARRIED
    if dry_run:
        return "would be put back"
    producer = open_producer(plain_producer_config(settings.kafka), lambda _: None)
    publish(producer, letter, settings.topics.images, Deadline.after(REQUEUE_TIMEOUT_S, time.monotonic))
    return "put back"


def _letters(settings: Settings) -> Iterator[Place]:
    from sluice.cli.kafka import events, until_interrupted

    with until_interrupted() as stopping:
        for record, letter in events(settings, DeadLetter, "earliest", follow=False, stopping=stopping):
            yield _place(record), letter


def _place(record: "Record") -> str:
    return f"{record.partition.index}/{record.offset}"


def _is(which: str, place: str, letter: DeadLetter) -> bool:
    return which in (place, letter.image_id)


def _wanted(which: list[str], reason: str, place: str, letter: DeadLetter) -> bool:
    named = not which or any(_is(name, place, letter) for name in which)
    return named and reason in ("", letter.error.reason)


def _row(place: str, letter: DeadLetter) -> tuple[object, ...]:
    error = letter.error
    when = letter.produced_at.isoformat(timespec="seconds")
    carried = "carried" if letter.value is not None else "-"
    return place, when, error.stage, error.reason, letter.image_id, letter.value_size_bytes, carried


def _fields(letter: DeadLetter) -> Iterator[tuple[str, object]]:
    """Yield the fields for people: keys as text where they are, of a value that may be a megabyte its size alone."""
    for name, value in plain_event(letter).items():
        if name == "value" and letter.value is not None:
            yield name, f"{len(letter.value)} bytes; --json shows them"
        elif name == "key" and letter.key is not None:
            yield name, letter.key.decode(errors="backslashreplace")
        else:
            yield name, value


def _absent(which: list[str]) -> typer.BadParameter:
    return typer.BadParameter(f"no dead letter {', '.join(which)}; see: sluice dlq list", param_hint="WHICH")

"""`sluice config`: what the settings are, where they came from, and what they may be."""

from pathlib import Path
from typing import Annotated

import typer

from sluice.cli.frame import FOUND, AsJson, emit, loaded, say, show
from sluice.settings import Settings
from sluice.settings.docs import markdown

app = typer.Typer(no_args_is_help=True, help="Settings: values, origins, schema.")


@app.command("show")
def show_settings(context: typer.Context, as_json: AsJson = False) -> None:
    """Show every setting, its value and where it came from; secrets are masked."""
    rows = list(loaded(context).rows())
    if as_json:
        emit({name: {"value": value, "from": origin} for name, value, origin in rows})
    else:
        show(("setting", "value", "from"), rows)


@app.command()
def schema() -> None:
    """Print the JSON schema of the settings file."""
    emit(Settings.model_json_schema())


@app.command()
def metrics(
    check: Annotated[Path | None, typer.Option("--check", help="Compare with this file instead of printing.")] = None,
) -> None:
    """Print every metric with its names, its labels and its meaning, as Markdown."""
    from sluice.telemetry import reference

    _print_or_compare("metrics", reference.markdown(), check)


@app.command()
def logs(
    check: Annotated[Path | None, typer.Option("--check", help="Compare with this file instead of printing.")] = None,
) -> None:
    """Print every event of the log with its level, its meaning and its fields, as Markdown."""
    from sluice.core import events

    _print_or_compare("logs", events.markdown(), check)


@app.command()
def docs(
    check: Annotated[Path | None, typer.Option("--check", help="Compare with this file instead of printing.")] = None,
) -> None:
    """Print every setting with its variable, what is allowed, its default and its reason, as Markdown."""
    _print_or_compare("docs", markdown(), check)


def _print_or_compare(command: str, text: str, file: Path | None) -> None:
    if file is None:
        typer.echo(text, nl=False)
    elif not file.is_file() or file.read_text("utf-8") != text:
        say(f"{file} is not what the code says; run: sluice config {command} > {file}")
        raise typer.Exit(FOUND)

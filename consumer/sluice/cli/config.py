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
def docs(
    check: Annotated[Path | None, typer.Option("--check", help="Compare with this file instead of printing.")] = None,
) -> None:
    """Print every setting with its variable, what is allowed, its default and its reason, as Markdown."""
    if check is None:
        typer.echo(markdown(), nl=False)
    elif not check.is_file() or check.read_text("utf-8") != markdown():
        say(f"{check} is not what the settings say; run: sluice config docs > {check}")
        raise typer.Exit(FOUND)

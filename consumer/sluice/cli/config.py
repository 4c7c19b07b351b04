"""`sluice config`: what the settings are, where they came from, and what they may be."""

import typer

from sluice.cli.frame import AsJson, Check, emit, loaded, print_or_compare, show
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
    check: Check = None,
) -> None:
    """Print every metric with its names, its labels and its meaning, as Markdown."""
    from sluice.telemetry import reference

    print_or_compare(reference.markdown(), check, "the code says", "sluice config metrics")


@app.command()
def logs(
    check: Check = None,
) -> None:
    """Print every event of the log with its level, its meaning and its fields, as Markdown."""
    from sluice.core import log_events

    print_or_compare(log_events.markdown(), check, "the code says", "sluice config logs")


@app.command()
def docs(
    check: Check = None,
) -> None:
    """Print every setting with its variable, what is allowed, its default and its reason, as Markdown."""
    print_or_compare(markdown(), check, "the code says", "sluice config docs")

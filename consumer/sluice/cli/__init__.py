"""The command line. One module a command; a module imports what is heavy only when its command runs."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from sluice.cli import config, dlq, keys, models, policy, topics
from sluice.cli.demo import demo
from sluice.cli.doctor import doctor
from sluice.cli.frame import EXIT_CODES, Invocation, named_path
from sluice.cli.lag import lag
from sluice.cli.moderate import moderate
from sluice.cli.run import run
from sluice.cli.tail import tail
from sluice.cli.top import top
from sluice.cli.verify import verify

app = typer.Typer(
    name="sluice",
    help="Streaming moderation: image events in, exactly one verdict and one quality event per image out, over Kafka.",
    epilog="Exit codes: " + ", ".join(f"[bold]{code}[/bold] {what}" for code, what in EXIT_CODES.items()) + ".",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(demo)
app.command()(moderate)
app.command()(verify)
app.command()(run)
app.command()(doctor)
app.add_typer(topics.app, name="topics")
app.command()(top)
app.command()(lag)
app.command()(tail)
app.add_typer(dlq.app, name="dlq")
app.add_typer(models.app, name="models")
app.add_typer(policy.app, name="policy")
app.add_typer(keys.app, name="keys")
app.add_typer(config.app, name="config")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sluice {version('sluice')}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            parser=named_path,
            help="Settings (YAML); else SLUICE_CONFIG names them.",
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options that stand before the command."""
    del version
    invocation = context.ensure_object(Invocation)
    invocation.config, invocation.debug = config, debug

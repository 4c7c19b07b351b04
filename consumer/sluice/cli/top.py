"""`sluice top`: what consumers do now, whether images wait, and why."""

import time
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.cli.frame import AsJson, console, emit, line, settings_of
from sluice.core.errors import BadSettings, DependencyDown
from sluice.core.printable import printable

if TYPE_CHECKING:
    from sluice.top.poll import Poll

PIPED_WIDTH, PIPED_HEIGHT = 100, 60


def top(
    context: typer.Context,
    consumers: Annotated[
        list[str] | None,
        typer.Argument(metavar="HOST:PORT|URL", help="Where consumers serve /metrics. Default: the one here."),
    ] = None,
    every_s: Annotated[float, typer.Option("--every", min=0.5, metavar="SECONDS", help="How often to ask.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Ask twice, print what is seen, and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Watch consumers until Ctrl-C: throughput, age, lag, where time goes, verdicts, and what goes wrong.

    They are asked at /metrics, which telemetry.http_port switches on; figures are of the last ten seconds. One that
    does not answer is shown as such. Without a terminal it prints a line each time, with --json an object. With --once
    it exits with 75 when no consumer answers.
    """
    from sluice.top.poll import Poll

    with Poll(targets(context, consumers or [])) as poll, suppress(KeyboardInterrupt):
        if once:
            _once(poll, every_s, as_json=as_json)
        elif as_json or not console().is_terminal:
            _lines(poll, every_s, as_json=as_json)
        else:
            _live(poll, every_s)


def targets(context: typer.Context, consumers: list[str]) -> dict[str, str]:
    """Return names and base URLs. Raises typer.BadParameter, or BadSettings when none is named and none is here."""
    return dict(map(_target, consumers or [_here(context)]))


def _target(text: str) -> tuple[str, str]:
    from urllib.parse import urlsplit

    try:
        url = urlsplit(text if "://" in text else f"http://{text}")
        name = f"[{url.hostname}]:{url.port}" if ":" in (url.hostname or "") else f"{url.hostname}:{url.port}"
    except ValueError:
        url, name = urlsplit(""), ""
    if url.scheme not in ("http", "https") or not url.hostname or not url.port or url.path.strip("/") not in _PATHS:
        raise typer.BadParameter(f"{text}: must be HOST:PORT or http(s)://HOST:PORT", param_hint="HOST:PORT")
    return name, f"{url.scheme}://{name}"


_PATHS = ("", "metrics")
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 -- nothing is bound


def _here(context: typer.Context) -> str:
    telemetry = settings_of(context).telemetry
    if not telemetry.http_port:
        raise BadSettings(
            "telemetry.http_port is not set",
            setting="telemetry.http_port",
            remedy="set it as for the consumer, or: sluice top HOST:PORT",
        )
    return f"{_EVERYWHERE.get(telemetry.http_host, telemetry.http_host)}:{telemetry.http_port}"


def _once(poll: "Poll", every_s: float, *, as_json: bool) -> None:
    from sluice.top.view import draw

    poll.look()
    time.sleep(every_s)
    seen = poll.look()
    silent = [consumer for consumer in seen.consumers if consumer.figures is None]
    if len(silent) == len(seen.consumers):
        raise DependencyDown(f"consumer {silent[0].name}", silent[0].state.removeprefix("no answer: "))
    if as_json:
        emit(asdict(seen))
    else:
        out = console()
        width, height = (out.width, out.height) if out.is_terminal else (PIPED_WIDTH, PIPED_HEIGHT)
        out.print(draw(seen, poll.rates, width=width, height=height))


def _lines(poll: "Poll", every_s: float, *, as_json: bool) -> None:
    from sluice.top.view import line as in_one_line

    while True:
        seen = poll.look()
        if as_json:
            line(asdict(seen))
        else:
            typer.echo(printable(in_one_line(seen)))
        time.sleep(every_s)


def _live(poll: "Poll", every_s: float) -> None:
    from rich.live import Live

    from sluice.top.view import draw

    out = console()
    with Live(console=out, auto_refresh=False, screen=True) as live:
        while True:
            live.update(draw(poll.look(), poll.rates, width=out.width, height=out.height), refresh=True)
            time.sleep(every_s)

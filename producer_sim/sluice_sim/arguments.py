"""The command line's arguments, and the values they become."""

from argparse import Action, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol

from sluice_sim.broker import Broker, Topics
from sluice_sim.options import Options, Regression, Shares


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line; on a mistake, or for --help, argparse leaves the process."""
    parser = ArgumentParser("python -m sluice_sim", description=_ABOUT)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (about, groups) in _COMMANDS.items():
        command = commands.add_parser(name, help=about, description=about)
        for group in groups:
            group(command)
    arguments = parser.parse_args(argv)
    _check(parser, arguments)
    return arguments


def broker(arguments: Namespace) -> Broker:
    """Return where the brokers are."""
    return Broker(arguments.bootstrap_servers, dict(arguments.X))


def topics(arguments: Namespace) -> Topics:
    """Return the topics; those the command does not know keep their usual names."""
    usual = Topics()
    named = {item.name: getattr(arguments, f"{item.name}_topic", getattr(usual, item.name)) for item in fields(Topics)}
    return Topics(**named)


def options(arguments: Namespace) -> Options:
    """Return what to send."""
    worse = arguments.regression_at
    return Options(
        seed=arguments.seed,
        events=arguments.events or None,
        pictures=arguments.pictures,
        shares=Shares(**{item.name: getattr(arguments, item.name) for item in fields(Shares)}),
        regression=None if worse is None else Regression(worse, *arguments.regression_of),
        max_inline_bytes=arguments.max_inline_bytes,
    )


_ABOUT = "The outside world of Sluice: sends image events, and checks what comes back against the truth."


class _Adder(Protocol):
    """A parser or a group of its arguments."""

    def add_argument(self, *flags: str, **settings: Any) -> Action:
        """Add one argument."""


def _add(group: _Adder, flag: str, about: str, default: Any, **settings: Any) -> None:
    """Add an argument of its default's type, and say the default."""
    group.add_argument(
        flag, type=settings.pop("type", type(default)), default=default, help=f"{about} ({default})", **settings
    )


def _connection(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--bootstrap-servers", required=True, metavar="HOST:PORT[,...]", help="brokers; loopback or with TLS by -X"
    )
    parser.add_argument(
        "-X", action="append", type=_pair, default=[], metavar="KEY=VALUE", help="librdkafka option (TLS, SASL...)"
    )
    _add(parser, "--truth", "file for the truth about each event", Path("truth.jsonl"), type=Path, metavar="FILE")


def _input(parser: ArgumentParser) -> None:
    usual = Options()
    group = parser.add_argument_group("what is sent")
    _add(group, "--images-topic", "input topic", Topics().images, metavar="TOPIC")
    _add(group, "--seed", "same seed, same events", usual.seed)
    _add(group, "--events", "how many; 0 for no end", 2000)
    _add(group, "--rate", "events a second; 0 for as fast as possible", 0.0)
    _add(group, "--pictures", "pool of pictures that are used again; 0: one for each event", usual.pictures)
    _add(group, "--max-inline-bytes", "the consumer's limit, which one fault exceeds", usual.max_inline_bytes)
    group.add_argument("--regression-at", type=int, metavar="EVENT", help="one model version gets worse from here on")
    group.add_argument("--regression-at-s", type=float, metavar="S", help="likewise, in seconds; needs --rate")
    group.add_argument(
        "--regression-of",
        type=_version,
        default=("aurora", "1.5"),
        metavar="MODEL@VERSION",
        help="which one gets worse (aurora@1.5)",
    )
    group.add_argument("--store", type=Path, metavar="FOLDER", help="folder for pictures that are referred to (none)")
    _add(group, "--store-port", "port that serves the folder on loopback; 0: a free one", 0)
    group.add_argument("--otlp", action="store_true", help="start a trace per event, exported as OTEL_* variables say")
    shares = parser.add_argument_group("shares, 0 to 1")
    for item in fields(Shares):
        flag = "--" + item.name.replace("_", "-")
        _add(shares, flag, item.metadata["doc"].rstrip("."), item.default, metavar="SHARE")


def _linger(parser: ArgumentParser) -> None:
    _add(parser, "--linger-s", "serve pictures for so long after the last event", 0.0)


def _output(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("what is observed")
    for name in ("verdicts", "quality", "dead_letters"):
        flag = f"--{name.replace('_', '-')}-topic"
        _add(group, flag, "output topic", getattr(Topics(), name), metavar="TOPIC")
    _add(group, "--idle-s", "give up when nothing new came for so long", 60.0)
    group.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")


_COMMANDS = {
    "send": ("Send events and write the truth about them.", (_connection, _input, _linger)),
    "observe": ("Report on the events of a truth file, while it is written or afterwards.", (_connection, _output)),
    "run": ("Send and observe at once.", (_connection, _input, _output)),
}


def _check(parser: ArgumentParser, arguments: Namespace) -> None:
    """Turn seconds into an event number, and refuse what cannot be, with the argument's name."""
    if arguments.command == "observe":
        return
    if arguments.regression_at_s is not None:
        if not arguments.rate:
            parser.error("--regression-at-s needs --rate, or say --regression-at EVENT")
        arguments.regression_at = round(arguments.regression_at_s * arguments.rate)
    try:
        options(arguments)
    except ValueError as error:
        parser.error(str(error))


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def _version(text: str) -> tuple[str, str]:
    model, at, version = text.rpartition("@")
    if not (model and at and version):
        raise ArgumentTypeError(f"{text!r} is not MODEL@VERSION")
    return model, version

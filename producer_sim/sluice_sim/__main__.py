"""`python -m sluice_sim send|observe|run`: the simulator against any broker.

Exit codes: 0 all well; 1 the report finds something lost, duplicated, out of order, torn, misattributed or
unreadable; 2 wrong arguments; 69 the broker is not usable.
"""

import json
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from threading import Event, Thread
from time import monotonic

from sluice_sim import arguments as given
from sluice_sim.broker import BrokerUnusable
from sluice_sim.export import exporting
from sluice_sim.observer import Observer
from sluice_sim.report import Report
from sluice_sim.sender import Delivery, send
from sluice_sim.store import Store
from sluice_sim.stream import Stream
from sluice_sim.truth import TruthReader, TruthWriter

EXIT_NOT_EXACT = 1
EXIT_BROKER = 69
_SETTLE_S = 1.0  # after the last answer, how long to look for one too many
_SAY_EVERY_S = 2.0
_POLL_S = 0.1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = given.parse(argv)
    try:
        return {"send": _send, "observe": _observe, "run": _run}[arguments.command](arguments)
    except BrokerUnusable as error:
        _say(f"sluice_sim: {error}")
        return EXIT_BROKER
    except KeyboardInterrupt:
        return 130


def _send(arguments: Namespace) -> int:
    with _store(arguments) as store:
        _say(f"sent {_publish(arguments, store, stop=lambda: False)} events, their truth is in {arguments.truth}")
        if store and arguments.linger_s:
            _say(f"serving pictures on port {store.port} for {arguments.linger_s:.0f} s")
            Event().wait(arguments.linger_s)
    return 0


def _observe(arguments: Namespace, *, broken: Callable[[], bool] = lambda: False) -> int:
    truths = TruthReader(arguments.truth)
    with Observer(given.broker(arguments), truths, topics=given.topics(arguments)) as observer:
        _watch(observer, lambda: truths.complete, arguments.idle_s, broken=broken)
        report = observer.report()
    return _conclude(report, arguments, complete=truths.complete)


def _run(arguments: Namespace) -> int:
    arguments.truth.unlink(missing_ok=True)
    stop, failures = Event(), list[BrokerUnusable]()
    with _store(arguments) as store:

        def publish() -> None:
            try:
                _publish(arguments, store, stop=stop.is_set)
            except BrokerUnusable as error:
                failures.append(error)

        sender = Thread(target=publish, name="sender")
        sender.start()
        try:
            code = _observe(arguments, broken=lambda: bool(failures))
        finally:
            stop.set()
            sender.join()
    if failures:
        raise failures[0]
    return code


def _publish(arguments: Namespace, store: Store | None, *, stop: Callable[[], bool]) -> int:
    stream = Stream(given.options(arguments), now=lambda: datetime.now(UTC), shelf=store)
    delivery = Delivery(given.broker(arguments), given.topics(arguments).images, arguments.rate)
    traces = exporting() if arguments.otlp else nullcontext()
    with traces, arguments.truth.open("w", encoding="utf-8") as file:
        writer = TruthWriter(file)
        sent = send(stream, delivery, on_sent=writer, stop=stop)
        writer.end()
    return sent


@contextmanager
def _store(arguments: Namespace) -> Iterator[Store | None]:
    """Serve pictures from the folder that was asked for; without one, all of them go inline."""
    if arguments.store is None:
        yield None
        return
    with Store(arguments.store, port=arguments.store_port) as store:
        yield store


def _watch(observer: Observer, complete: Callable[[], bool], idle_s: float, *, broken: Callable[[], bool]) -> None:
    """Observe until all is answered, the sender broke, or nothing came for `idle_s`; say now and then how it goes."""
    busy_at = said_at = monotonic()
    while not broken():
        now = monotonic()
        if observer.poll(_POLL_S):
            busy_at = now
        settled = complete() and not observer.outstanding
        if now - busy_at >= (_SETTLE_S if settled else idle_s):
            return
        if now - said_at >= _SAY_EVERY_S:
            said_at = now
            _say(_line(observer.report()))


def _line(report: Report) -> str:
    mix = " ".join(f"{status} {count}" for status, count in sorted(report.status_counts.items()))
    return f"sent {report.published}  verdicts {report.verdicts}  under way {report.lost}  {mix}"


def _conclude(report: Report, arguments: Namespace, *, complete: bool) -> int:
    text = json.dumps(report.as_json(), indent=2)
    sys.stdout.write(text + "\n")
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")
    if not complete:
        _say(f"{arguments.truth} has no end: its sender is still at work, or died")
    return 0 if report.exactly_once and complete else EXIT_NOT_EXACT


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())

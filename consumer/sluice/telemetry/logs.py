"""Structured logs: one line per event of interest, to stderr, JSON unless a person is watching."""

import logging
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, MutableMapping
from typing import Any, Literal, cast

import structlog
from opentelemetry import trace

from sluice.core.log_events import EVENTS, EventName
from sluice.core.printable import printable

_QUIET = {
    "httpx": logging.WARNING,  # its INFO lines carry whole URLs, query strings included
    "httpcore": logging.WARNING,  # its DEBUG lines carry response headers, and a Location is a URL too
    "urllib3": logging.ERROR,  # its lines carry path and query of the collector's URL, which may be a token
    "opentelemetry.trace.span": logging.ERROR,  # its warnings repeat a stranger's tracestate
    "opentelemetry.util.re": logging.ERROR,  # its warnings repeat an OTEL_EXPORTER_OTLP_HEADERS it cannot read
}
"""Libraries whose lines may quote what must not be logged, and from which level on they do not."""

FIELDS = frozenset({"more", *(field for meaning in EVENTS.values() for field in meaning.fields)})
"""What a line may carry beside its words; what libraries attach to theirs is none of it."""

_CREDENTIALS = re.compile(r"(?<=//)[^\s/@]+(?=@)|(?<=\?)[^\s'\")>]+")
"""Userinfo and query of a URL, as messages of foreign exceptions quote them."""


def configure(level: str, form: Literal["auto", "console", "json"]) -> None:
    """Set up structlog and the standard library's logging alike; data goes to stdout, so lines go to stderr."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(FIELDS),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _trace_ids,
        structlog.processors.format_exc_info,
        _without_credentials,
    ]
    # structlog's own choice for a console shows the local variables of every frame: prompts, images, secrets.
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    if console:
        shared.append(_printable)
    renderer: structlog.typing.Processor = plain if console else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    lines = logging.StreamHandler(sys.stderr)
    lines.addFilter(RateLimitFilter(time.monotonic))
    lines.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=level, handlers=[lines], force=True)
    for library, least in _QUIET.items():
        logging.getLogger(library).setLevel(least)


class RateLimitFilter(logging.Filter):
    """Lets an event (of one dependency) through once in `every_s` seconds; the next line says how many were not."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._next_s: dict[tuple[str, str | None], float] = {}
        self._withheld: Counter[tuple[str, str | None]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether `record` is written."""
        event = str(record.msg)
        meaning = EVENTS.get(cast(EventName, event))
        if meaning is None or not meaning.every_s:
            return True
        now, key = self._clock(), (event, record.__dict__.get("dependency"))
        if now < self._next_s.get(key, now):
            self._withheld[key] += 1
            return False
        self._next_s[key] = now + meaning.every_s
        if more := self._withheld.pop(key, 0):
            record.more = more
        return True


def _printable(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Let nothing that others wrote steer the terminal that a person watches; JSON escapes by itself."""
    event.update({key: printable(said, keep="\n") for key, said in event.items() if isinstance(said, str)})
    return event


def _trace_ids(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def _without_credentials(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.update({key: _CREDENTIALS.sub("...", said) for key, said in event.items() if isinstance(said, str)})
    return event

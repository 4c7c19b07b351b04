"""Structured logs: one line per event of interest, to stderr, JSON unless a person is watching."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog
from opentelemetry import trace

_QUIET = {
    "httpx": logging.WARNING,  # its INFO lines carry whole URLs, query strings included
    "httpcore": logging.WARNING,  # its DEBUG lines carry response headers, and a Location is a URL too
    "opentelemetry.trace.span": logging.ERROR,  # its warnings repeat a stranger's tracestate
}
"""Libraries whose lines may quote what must not be logged, and from which level on they do not."""


def configure(level: str, form: Literal["auto", "console", "json"]) -> None:
    """Set up structlog and the standard library's logging alike; data goes to stdout, so lines go to stderr."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _trace_ids,
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=level, handlers=[lines], force=True)
    for library, least in _QUIET.items():
        logging.getLogger(library).setLevel(least)


def _trace_ids(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event

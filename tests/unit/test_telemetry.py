"""Logs for those who watch."""

import json
import logging
from typing import Literal
from uuid import uuid4

import pytest
import structlog

from sluice.telemetry import logs


@pytest.mark.usefixtures("restored_logging")
@pytest.mark.parametrize(
    "library",
    ["httpx", "httpcore.http11", "urllib3.connectionpool", "opentelemetry.trace.span", "opentelemetry.util.re"],
)
def test_libraries_that_quote_strangers_are_silent_at_any_level(
    capsys: pytest.CaptureFixture[str], library: str
) -> None:
    logs.configure("DEBUG", "json")
    logging.getLogger(library).debug("Location: https://host/path?secret=1")
    logging.getLogger(library).log(logging.INFO, "secret")
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("restored_logging")
def test_lines_are_json_on_stderr_for_structlog_and_the_standard_library(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "json")
    structlog.get_logger("a").info("ready", bundle="b")
    logging.getLogger("x").warning("broker %s", "gone")
    logging.getLogger("httpx").info("GET https://host/path?secret=1")
    captured = capsys.readouterr()
    first, second = (json.loads(line) for line in captured.err.splitlines())
    assert captured.out == ""
    assert (first["event"], first["bundle"], first["level"]) == ("ready", "b", "info")
    assert (second["event"], second["level"]) == ("broker gone", "warning")


@pytest.mark.usefixtures("restored_logging")
@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_of_a_library_shows_no_variables_and_no_credentials(
    capsys: pytest.CaptureFixture[str], form: Literal["json", "console"]
) -> None:
    hidden = str(uuid4())  # a traceback shows lines of this source, which do not hold it

    def fails(local: str) -> None:
        raise ValueError(f"cannot reach https://user:{local}@host/v1/traces?key={local} (timed out)")

    logs.configure("INFO", form)
    try:
        fails(hidden)
    except ValueError:
        logging.getLogger("x").exception("export to /v1/traces?key=%s failed", hidden)
    said = capsys.readouterr().err
    assert hidden not in said
    assert "cannot reach https://...@host/v1/traces?... (timed out)" in said
    assert "in fails" in said

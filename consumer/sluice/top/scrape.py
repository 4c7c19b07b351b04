"""Reading what a consumer says of itself over HTTP: metrics in Prometheus's text format, and why it is not ready."""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

import httpcore
from prometheus_client.parser import text_string_to_metric_families

from sluice.core.deadline import Deadline

MAX_BYTES = 16 * 1024 * 1024
READY = "sluice_ready"

Labels = frozenset[tuple[str, str]]
Series = tuple[str, Labels]
"""A name, such as `sluice_verdicts_total`, and its labels."""


@dataclass(frozen=True, slots=True)
class Page:
    """What one process said of itself: gauges as they stand, counters since it started.

    A histogram is its counters `_bucket`, `_sum` and `_count`. `failing`: the checks that keep it from being ready.
    """

    counters: Mapping[Series, float]
    gauges: Mapping[Series, float]
    failing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScrapeFailed:
    """There is no page, and why not in a few words."""

    why: str


def parse(text: str) -> Page:
    """Read a page. Raises ValueError for what is none."""
    counters: dict[Series, float] = {}
    gauges: dict[Series, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = frozenset(sample.labels.items())
            if family.type == "gauge" and not math.isnan(sample.value):
                gauges[sample.name, labels] = sample.value
            elif family.type != "gauge" and not sample.name.endswith("_created"):
                counters[sample.name, labels] = sample.value
    return Page(counters, gauges)


def scrape(base: str, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> Page | ScrapeFailed:
    """Fetch and read the page of the consumer at `base`, such as `http://host:9464`, within `timeout_s`."""
    deadline = Deadline.after(timeout_s, clock)
    try:
        status, body = _get(f"{base}/metrics", deadline)
        if status != HTTPStatus.OK:
            return ScrapeFailed(f"HTTP status {status}")
        page = parse(body.decode())
        unready = any(name == READY and not value for (name, _), value in page.gauges.items())
        return replace(page, failing=_failing(_get(f"{base}/readyz", deadline)[1])) if unready else page
    except httpcore.TimeoutException:
        return ScrapeFailed(f"no answer within {timeout_s:g} s")
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        return ScrapeFailed(str(error).rpartition("] ")[2].lower() or "hung up")
    except (ValueError, LookupError, TypeError, AttributeError):
        return ScrapeFailed("answers, but not as a consumer does")


def _get(url: str, deadline: Deadline) -> tuple[int, bytes]:
    timeouts = dict.fromkeys(("connect", "read", "write", "pool"), deadline.remaining_s)
    with httpcore.ConnectionPool() as pool, pool.stream("GET", url, extensions={"timeout": timeouts}) as response:
        body = bytearray()
        for part in response.iter_stream():
            body += part
            if deadline.over:
                raise httpcore.ReadTimeout
            if len(body) > MAX_BYTES:
                raise ValueError(url)
        return response.status, bytes(body)


def _failing(body: bytes) -> tuple[str, ...]:
    checks = json.loads(body)["checks"]
    return tuple(f"{name}: {check['found']}" for name, check in checks.items() if not check["ok"])

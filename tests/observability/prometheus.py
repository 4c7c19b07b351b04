"""A real Prometheus over a few seconds of life: it scrapes twice a second, and its rules' times are made short."""

import json
import math
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from tests.observability import files
from tests.support.ports import free_port

SCRAPE_S = 0.5
WINDOW = "10s"  # what stands for Grafana's $__rate_interval
SHORTER = 30  # by how much windows are shorter than in production, and never below WINDOW
SOONER = 600  # likewise how long an alert must hold
READY_WITHIN_S = 60.0
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Labels = frozenset[tuple[str, str]]
Series = Mapping[Labels, list[tuple[float, float]]]
"""Samples that are numbers, as (time, value), by labels."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Where it listens."""

    address: str

    def history(self, expr: str, start_s: float, end_s: float) -> Series:
        """Evaluate an expression over a span of time; what is not a finite number is left out."""
        asked = urlencode({"query": expr, "start": start_s, "end": end_s, "step": SCRAPE_S})
        found = self._ask(f"query_range?{asked}")["result"]
        series = {frozenset(one["metric"].items()): _numbers(one["values"]) for one in found}
        return {labels: samples for labels, samples in series.items() if samples}

    def now(self, expr: str) -> dict[Labels, float]:
        """Evaluate an expression now."""
        found = self._ask(f"query?{urlencode({'query': expr})}")["result"]
        return {frozenset(one["metric"].items()): float(one["value"][1]) for one in found}

    def firing(self) -> dict[str, list[str]]:
        """Return the alerts that fire now, with their descriptions."""
        found: dict[str, list[str]] = {}
        for alert in self._ask("alerts")["alerts"]:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append(alert["annotations"]["description"])
        return found

    def _ask(self, what: str) -> Any:
        with urlopen(f"http://{self.address}/api/v1/{what}", timeout=30) as answer:
            return json.load(answer)["data"]


@contextmanager
def scraping(targets: Mapping[str, str], folder: Path) -> Iterator[Prometheus]:
    """Run Prometheus over `targets`, addresses by the names of their jobs."""
    (folder / "rules.yaml").write_text(shortened(files.RULES.read_text()))
    jobs = [{"job_name": job, "static_configs": [{"targets": [address]}]} for job, address in targets.items()]
    often = {"scrape_interval": f"{SCRAPE_S * 1000:g}ms", "evaluation_interval": f"{SCRAPE_S * 1000:g}ms"}
    config = {"global": often, "rule_files": ["rules.yaml"], "scrape_configs": jobs}
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    server = Prometheus(f"127.0.0.1:{free_port()}")
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            ["prometheus", "--config.file=prometheus.yaml", "--storage.tsdb.path=data",
             f"--web.listen-address={server.address}", "--log.level=warn"],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            _await(server, process, folder / "prometheus.log")
            yield server
        finally:
            process.terminate()
            process.wait(30)


def shortened(rules: str) -> str:
    """Return the rules as they would be for a life of minutes instead of weeks."""
    rules = re.sub(r"\[(\d+)([smhd])\]", lambda window: f"[{_shorter(window, SHORTER, least_ms=10_000)}]", rules)
    rules = re.sub(r"offset (\d+)([smhd])", lambda past: f"offset {_shorter(past, SHORTER, least_ms=10_000)}", rules)
    return re.sub(r"for: (\d+)([smhd])", lambda wait: f"for: {_shorter(wait, SOONER, least_ms=0)}", rules)


def _shorter(time_span: re.Match[str], by: int, *, least_ms: int) -> str:
    return f"{max(least_ms, int(time_span[1]) * _SECONDS[time_span[2]] * 1000 // by)}ms"


def _numbers(values: list[tuple[float, str]]) -> list[tuple[float, float]]:
    return [(at, float(value)) for at, value in values if math.isfinite(float(value))]


def _await(server: Prometheus, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(URLError, ConnectionError), urlopen(f"http://{server.address}/-/ready", timeout=5):
            return
        time.sleep(0.1)
    raise AssertionError(f"Prometheus does not start: {log.read_text()}")

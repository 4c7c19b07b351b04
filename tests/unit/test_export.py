"""What is exported says who we are, and exporting keeps nobody from leaving."""

from collections.abc import Callable
from threading import Event

import pytest
from opentelemetry import trace
from opentelemetry.metrics import _internal as metrics
from opentelemetry.util._once import Once

from sluice.core.deadline import Deadline
from sluice.settings import Telemetry
from sluice.telemetry import export
from sluice.telemetry.metrics import Meter
from tests.support.collector import collector


def test_the_standard_variables_win_over_what_we_call_ourselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "moderation")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
    said = export._resource("1.0", "worker-0").attributes
    assert (said["service.name"], said["deployment.environment.name"]) == ("moderation", "staging")
    assert (said["service.version"], said["service.instance.id"]) == ("1.0", "worker-0")


def test_without_them_we_are_sluice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    monkeypatch.delenv("OTEL_RESOURCE_ATTRIBUTES", raising=False)
    assert export._resource("1.0", "worker-0").attributes["service.name"] == "sluice"


def test_leaving_ends_all_at_once_and_waits_for_none_beyond_the_deadline() -> None:
    hung, began, patience_s = Event(), [Event(), Event()], 60.0

    def hanging(mark: Event) -> Callable[[], None]:
        def end() -> None:
            mark.set()
            hung.wait(patience_s)

        return end

    export._end([hanging(mark) for mark in began], Deadline(0.0, lambda: 1.0))
    assert all(mark.wait(patience_s) for mark in began)
    hung.set()


def test_leaving_waits_for_what_is_on_its_way() -> None:
    sent: list[str] = []
    export._end([lambda: sent.append("spans"), lambda: sent.append("metrics")], Deadline(60.0, lambda: 0.0))
    assert sorted(sent) == ["metrics", "spans"]


@pytest.mark.parametrize(("wanted", "sent"), [(True, {"sluice.ready"}), (False, set[str]())])
def test_metrics_go_by_otlp_unless_they_are_not_wanted_there(
    monkeypatch: pytest.MonkeyPatch,
    wanted: bool,  # noqa: FBT001
    sent: set[str],
) -> None:
    """Spans go either way: one collector for traces alone is usual where Prometheus scrapes."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    monkeypatch.setattr(metrics, "_METER_PROVIDER", None)
    monkeypatch.setattr(metrics, "_METER_PROVIDER_SET_ONCE", Once())
    monkeypatch.setattr(metrics, "_PROXY_METER_PROVIDER", metrics._ProxyMeterProvider())
    with collector() as found:
        found.listen()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.address)
        meter = Meter()
        with export.exporting(Telemetry(otlp=True, otlp_metrics=wanted), "1", "worker-0", meter):
            meter("sluice.ready", 1, {})
            trace.get_tracer("test").start_span("judged").end()
    assert [span.name for span in found.spans()] == ["judged"]
    assert found.metric_names() & {"sluice.ready"} == sent

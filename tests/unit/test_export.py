"""What is exported says who we are, and exporting keeps nobody from leaving."""

from collections.abc import Callable
from threading import Event

import pytest

from sluice.core.deadline import Deadline
from sluice.telemetry import export


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

"""A group's coordinator that moves is asked again, and every other answer is one."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from sluice.kafka import cluster_checks
from sluice.kafka.acls import Acl, Role
from sluice.kafka.coordinator import PASSING, describe
from sluice.kafka.errors import TABLE

GROUP = SimpleNamespace(
    members=(), authorized_operations=(), partition_assignor="", type=SimpleNamespace(name="CLASSIC")
)


class Admin:
    """Answers each question about a group with the next error, and when none is left with the group."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.asked: list[float] = []

    def describe_consumer_groups(self, groups: list[str], *, request_timeout: float, **_: bool) -> dict[str, Any]:
        self.asked.append(request_timeout)
        future: Future[Any] = Future()
        if self.codes:
            future.set_exception(KafkaException(KafkaError(self.codes.pop(0))))
        else:
            future.set_result(GROUP)
        return dict.fromkeys(groups, future)

    def describe_topics(self, *_: object, **__: object) -> dict[str, Any]:
        return {}


def ask(admin: Admin, timeout_s: float = 60.0) -> Any:
    return describe(cast(AdminClient, admin), "g", timeout_s, sleep=lambda _: None)


@pytest.mark.parametrize("code", [code for code, each in TABLE.items() if each.meaning in PASSING])
def test_it_is_asked_again_while_it_moves(code: int) -> None:
    admin = Admin(code, code)
    assert ask(admin) is GROUP
    assert len(admin.asked) == 3
    assert admin.asked[0] >= admin.asked[1] >= admin.asked[2] > 0


def test_it_is_not_asked_beyond_the_timeout() -> None:
    with pytest.raises(KafkaException):
        ask(Admin(*[KafkaError.COORDINATOR_LOAD_IN_PROGRESS] * 10_000), timeout_s=0.05)


def test_what_it_refuses_is_not_asked_again() -> None:
    admin = Admin(KafkaError.GROUP_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaException):
        ask(admin)
    assert len(admin.asked) == 1


def test_the_doctor_waits_for_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sluice.kafka.coordinator._PAUSE_S", 0.001)
    moving = [KafkaError.COORDINATOR_LOAD_IN_PROGRESS] * 2
    found = cluster_checks.group(cast(AdminClient, Admin(*moving)), "g")
    assert found == cluster_checks.Group((), "classic", "")
    acl = Acl(Role.CONSUMER, "Read", "group", "g")
    refused = [*moving, KafkaError.GROUP_AUTHORIZATION_FAILED]
    assert cluster_checks.denied(cast(AdminClient, Admin(*refused)), [acl]) == [acl]

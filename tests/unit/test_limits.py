"""Settings beyond what the brokers allow, named with what is allowed."""

from typing import Any

import pytest

from sluice.bus.limits import Limits, beyond
from sluice.settings import Kafka

ALLOWED = {
    "transaction.max.timeout.ms": 900_000,
    "group.min.session.timeout.ms": 6000,
    "group.max.session.timeout.ms": 1_800_000,
}


@pytest.mark.parametrize(
    ("asked", "allowed", "named"),
    [
        ({}, ALLOWED, []),
        ({}, {}, []),
        ({"transaction_timeout_s": 900.0}, ALLOWED, []),
        ({"transaction_timeout_s": 900.001}, ALLOWED, ["kafka.transaction_timeout_s"]),
        ({"transaction_timeout_s": 900.001}, {}, []),
        ({"session_timeout_s": 5.999}, ALLOWED, ["kafka.session_timeout_s"]),
        ({"session_timeout_s": 6.0}, ALLOWED, []),
        ({"session_timeout_s": 1800.1, "transaction_timeout_s": 901.0}, ALLOWED,
         ["kafka.transaction_timeout_s", "kafka.session_timeout_s"]),
        ({"session_timeout_s": 1.0, "group_protocol": "consumer"}, ALLOWED, []),
    ],
)  # fmt: skip
def test_what_the_brokers_will_refuse_is_named(asked: dict[str, Any], allowed: Limits, named: list[str]) -> None:
    assert [said.split()[0] for said in beyond(Kafka(**asked), allowed)] == named

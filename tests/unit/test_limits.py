"""Settings beyond what the brokers allow, named with what is allowed."""

from concurrent.futures import Future
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from sluice.kafka.broker_limits import Limits, beyond, limits
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
        ({"session_timeout_s": 1800.1, "transaction_timeout_s": 901.0, "max_poll_interval_s": 1801.0}, ALLOWED,
         ["kafka.transaction_timeout_s", "kafka.session_timeout_s"]),
        ({"session_timeout_s": 1.0, "group_protocol": "consumer"}, ALLOWED, []),
    ],
)  # fmt: skip
def test_what_the_brokers_will_refuse_is_named(asked: dict[str, Any], allowed: Limits, named: list[str]) -> None:
    assert [each.settings for each in beyond(Kafka(**asked), allowed)] == [(name,) for name in named]


@dataclass
class Admin:
    """A cluster of brokers, each with settings of its own; None where it does not tell."""

    brokers: list[dict[str, str] | None]

    def describe_cluster(self, **_: object) -> Future[Any]:
        nodes = [SimpleNamespace(id=number) for number in range(len(self.brokers))]
        return answered(SimpleNamespace(nodes=nodes))

    def describe_configs(self, resources: list[Any], **_: object) -> dict[Any, Future[Any]]:
        (resource,) = resources
        settings = self.brokers[int(resource.name)]
        return {
            resource: answered(settings and {name: SimpleNamespace(value=value) for name, value in settings.items()})
        }


def answered(found: Any) -> Future[Any]:
    future: Future[Any] = Future()
    if found is None:
        future.set_exception(KafkaException(KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED)))
    else:
        future.set_result(found)
    return future


@pytest.mark.parametrize(
    ("brokers", "allowed"),
    [
        ([ALLOWED, {name: value // 2 for name, value in ALLOWED.items()}],
         {"transaction.max.timeout.ms": 450_000, "group.min.session.timeout.ms": 6000,
          "group.max.session.timeout.ms": 900_000}),
        ([None, {"transaction.max.timeout.ms": 5}], {"transaction.max.timeout.ms": 5}),
        ([None, None], {}),
        ([{"transaction.max.timeout.ms": "soon"}], {}),
    ],
)  # fmt: skip
def test_what_every_broker_allows_counts_as_far_as_they_tell(
    brokers: list[dict[str, object] | None], allowed: Limits
) -> None:
    texts = [{name: str(value) for name, value in told.items()} if told else None for told in brokers]
    assert limits(cast(AdminClient, Admin(texts)), 1.0) == allowed

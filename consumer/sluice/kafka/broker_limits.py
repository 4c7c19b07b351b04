"""What the brokers bound: how long a transaction may take, and how long a silent member of a group is believed."""

from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource  # its public name is not re-exported for type checkers

from sluice.core.errors import BadSettings
from sluice.settings import Kafka

TRANSACTION_MAX = "transaction.max.timeout.ms"
SESSION_MIN, SESSION_MAX = "group.min.session.timeout.ms", "group.max.session.timeout.ms"
TOO_LONG = f"longer than the brokers allow ({TRANSACTION_MAX})"
_SMALLEST_COUNTS = {TRANSACTION_MAX: True, SESSION_MIN: False, SESSION_MAX: True}

Limits = Mapping[str, int]
"""By the brokers' names, in ms; a name that no broker told is left out."""


def limits(admin: AdminClient, timeout_s: float) -> Limits:
    """Return what holds at every broker; empty when they do not tell, which takes DescribeConfigs on the cluster."""
    ask: Any = admin  # its type stubs know neither this call's result nor its options
    try:
        nodes = ask.describe_cluster(request_timeout=timeout_s).result().nodes
    except KafkaException:
        return {}
    brokers = [ConfigResource(ConfigResource.Type.BROKER, str(node.id)) for node in nodes]
    # One question each: only the broker that is asked knows its own settings.
    futures = [ask.describe_configs([broker], request_timeout=timeout_s)[broker] for broker in brokers]
    told = [settings for future in futures if (settings := _settings(future))]
    return {
        name: (min if smallest else max)(found)
        for name, smallest in _SMALLEST_COUNTS.items()
        if (found := [settings[name] for settings in told if name in settings])
    }


def beyond(kafka: Kafka, allowed: Limits) -> Iterator[BadSettings]:
    """Yield what of the settings the brokers will refuse: the setting, its value, what is allowed."""
    longest_ms = allowed.get(TRANSACTION_MAX)
    if longest_ms is not None and kafka.transaction_timeout_s * 1000 > longest_ms:
        setting, value = "kafka.transaction_timeout_s", f"{kafka.transaction_timeout_s:g}"
        allows = f"the brokers allow at most {longest_ms / 1000:g} ({TRANSACTION_MAX})"
        yield BadSettings(f"{setting} is {value}, {allows}", setting=setting, remedy="lower it")
    if kafka.group_protocol != "classic":
        return  # the session is the brokers' own
    least_ms, most_ms = allowed.get(SESSION_MIN, 0), allowed.get(SESSION_MAX, float("inf"))
    if not least_ms <= kafka.session_timeout_s * 1000 <= most_ms:
        setting, value = "kafka.session_timeout_s", f"{kafka.session_timeout_s:g}"
        allows = f"the brokers allow {least_ms / 1000:g} to {most_ms / 1000:g} ({SESSION_MIN}, {SESSION_MAX})"
        yield BadSettings(f"{setting} is {value}, {allows}", setting=setting, remedy="change it")


def _settings(future: Any) -> Limits:
    try:
        found = future.result()
    except KafkaException:
        return {}
    values = {name: str(found[name].value) for name in _SMALLEST_COUNTS if name in found}
    return {name: int(value) for name, value in values.items() if value.isdigit()}

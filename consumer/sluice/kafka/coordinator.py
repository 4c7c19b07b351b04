"""Questions to a group's coordinator, asked again while it moves: after a broker restarts, or for the first group."""

import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from sluice.core.deadline import Deadline
from sluice.kafka.client import error_of

PASSING = {
    KafkaError._TIMED_OUT,  # noqa: SLF001  public names
    KafkaError._TRANSPORT,  # noqa: SLF001
    KafkaError._WAIT_COORD,  # noqa: SLF001
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
}
"""What a coordinator that has just been made, or has moved, costs a question."""

_PAUSE_S = 0.1


def describe(
    admin: AdminClient,
    group: str,
    timeout_s: float,
    *,
    permissions: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Any:
    """Return what the coordinator says of a group, with what we may do there if asked for our `permissions`.

    Raises KafkaException, at the latest after `timeout_s`.
    """
    ask: Any = admin  # its type stubs do not know what is in the futures
    deadline = Deadline.after(timeout_s, time.monotonic)
    while True:
        timeout_s = max(_PAUSE_S, deadline.remaining_s)  # librdkafka refuses one of nothing
        asked = ask.describe_consumer_groups(
            [group], request_timeout=timeout_s, include_authorized_operations=permissions
        )
        try:
            return asked[group].result()
        except KafkaException as exception:
            if error_of(exception).code() not in PASSING or deadline.over:
                raise
            sleep(_PAUSE_S)

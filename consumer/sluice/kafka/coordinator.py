"""Questions to a group's coordinator, asked again while it moves: after a broker restarts, or for the first group."""

import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from sluice.core.deadline import Deadline
from sluice.kafka.errors import Meaning, error_of, means

PASSING = (Meaning.COORDINATOR_MOVES, Meaning.UNREACHABLE)
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
            if not means(error_of(exception), *PASSING) or deadline.over:
                raise
            sleep(_PAUSE_S)

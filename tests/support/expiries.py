"""What was deleted before it was read, asked of real brokers."""

import time
from collections.abc import Callable, Mapping
from typing import Literal

from sluice.kafka.expiry import Expiry
from sluice.kafka.group_offsets import Commits, silent_admin
from sluice.kafka.offset_lookup import inquirer
from sluice.settings import Kafka


def expiry_of(
    kafka: Kafka,
    observe: Callable[[str, float, Mapping[str, str]], None] = lambda *_: None,
    then: Literal["tell", "stop"] = "tell",
) -> Expiry:
    """Return one that asks the brokers of `kafka`, as long as this process lives."""
    return Expiry(inquirer(silent_admin(kafka), Commits(kafka).ask, kafka.group_id), then, observe, time.monotonic)

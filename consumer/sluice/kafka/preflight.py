"""The first contact: wait for a broker, and leave at once where waiting cannot help."""

import logging
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from sluice.core.deadline import Deadline
from sluice.core.errors import Denied
from sluice.kafka import acls, broker_limits, cluster_checks
from sluice.kafka.client import admin_config, open_admin, transactional_id
from sluice.kafka.connection_errors import ConnectionErrors
from sluice.kafka.errors import Meaning, error_of, means, no_broker
from sluice.settings import Kafka, Topics

SAY_EVERY_S = 5.0
TELL_WITHIN_S = 3.0  # a group whose coordinator has just died is told nothing of; that shall not keep us from starting
_LISTEN_S = 0.05
_logger = logging.getLogger(__name__)


def check(kafka: Kafka, topics: Topics, clock: Callable[[], float]) -> None:
    """Make sure that the brokers let a consumer in, and do what they can tell that it needs, before anything is built.

    Raises Denied, BrokerLost, or BadSettings for what exceeds the brokers' limits. Whether it may use its
    transactional id shows when it does, and so do limits that the brokers do not tell.
    """
    admin = connect(kafka, kafka.connect_deadline_s, clock)
    missing = (
        cluster_checks.denied(admin, acls.of_consumer(kafka, topics, transactional_id(kafka)), TELL_WITHIN_S) or []
    )
    if missing:
        said = ", ".join(map(str, missing))
        raise Denied(f"the brokers deny {said}", remedy="grant it: sluice topics acls --role consumer")
    for refused in broker_limits.beyond(kafka, broker_limits.limits(admin, TELL_WITHIN_S)):
        raise refused


def connect(kafka: Kafka, patience_s: float, clock: Callable[[], float]) -> AdminClient:
    """Return a client that has reached a broker.

    Raises Denied as soon as it is sure that no broker will let us in, BrokerLost after `patience_s`; until then a line
    every few seconds says what is the matter.
    """
    refusals = ConnectionErrors(kafka)
    admin = open_admin(admin_config(kafka), refusals)
    deadline, next_word = Deadline.after(patience_s, clock), clock() + SAY_EVERY_S
    answer: Any = admin.describe_cluster(request_timeout=patience_s)
    while not answer.done():
        admin.poll(_LISTEN_S)
        if refusal := refusals.final():
            raise Denied(f"kafka: {refusal.text}", setting=refusal.settings)
        if clock() >= next_word:
            next_word = clock() + SAY_EVERY_S
            why, left_s = refusals.latest, deadline.remaining_s
            _logger.warning("kafka: no broker answers (%s); trying again for %.0f s", why, left_s)
    try:
        answer.result()
    except KafkaException as exception:
        if means(error_of(exception), Meaning.UNREACHABLE):
            limit = " (kafka.connect_deadline_s)" if patience_s == kafka.connect_deadline_s else ""
            raise no_broker(f"no broker answers within {patience_s:g} s{limit}: {refusals.latest}") from None
    return admin

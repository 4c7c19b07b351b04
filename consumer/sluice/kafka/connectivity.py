"""Whether any broker answers, and whether the topic is there."""

import logging
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaError, KafkaException

from sluice.kafka.connection_errors import explained
from sluice.kafka.errors import ALL_BROKERS_DOWN, error_of, no_broker, no_topic

PROBE_EVERY_S = 1.0
PROBE_TIMEOUT_S = 0.25
SAY_EVERY_S = 10.0
MISSING_GRACE_S = 5.0  # a topic just created, or a broker just started, may be unknown for a moment
_logger = logging.getLogger(__name__)


class Connectivity:
    """Silence is not an answer: after `_ALL_BROKERS_DOWN`, and at the start, brokers are asked until one answers.

    librdkafka reports that all brokers are down but not that one is back, hence the asking. `clock` is in seconds.
    """

    def __init__(self, topic: str, deadline_s: float, clock: Callable[[], float]) -> None:
        self._topic = topic
        self._deadline_s = deadline_s
        self._clock = clock
        self._down_since: float | None = clock()
        self._missing_since: float | None = None
        self._last_error = "no answer yet"
        self._next_probe = clock() + PROBE_EVERY_S
        self._next_word = clock()

    def on_error(self, error: KafkaError) -> None:
        """Take note of an error that concerns the client as a whole (librdkafka's error callback)."""
        if error.code() != ALL_BROKERS_DOWN:
            self._last_error = explained(error.str())
        elif self._down_since is None:
            self._down_since = self._clock()

    def seen(self) -> None:
        """Take note that a broker answered and the topic is there."""
        if self._down_since is not None and self._last_error != "no answer yet":
            _logger.info("kafka: a broker answers again")
        self._down_since = self._missing_since = None

    def missing(self) -> None:
        """Take note that the brokers do not know the topic."""
        if self._missing_since is None:
            self._missing_since = self._clock()

    def check(self, consumer: Consumer) -> None:
        """Ask while there is doubt, about once a second; raise BrokerLost or BadSettings when it lasts."""
        now = self._clock()
        if (self._down_since is None and self._missing_since is None) or now < self._next_probe:
            return
        self._next_probe = now + PROBE_EVERY_S
        try:
            topics = consumer.list_topics(self._topic, timeout=PROBE_TIMEOUT_S).topics
        except KafkaException as exception:
            self._still_down(now, error_of(exception))
            return
        if topics[self._topic].error is None:
            self.seen()
        else:
            self._down_since = None
            self._still_missing(now)

    def _still_down(self, now: float, error: KafkaError) -> None:
        if self._down_since is None:
            self._down_since = now
        silent_s = now - self._down_since
        if silent_s >= self._deadline_s:
            raise no_broker(f"no broker answered for {silent_s:.0f} s (kafka.connect_deadline_s): {self._last_error}")
        if now >= self._next_word:
            self._next_word = now + SAY_EVERY_S
            _logger.warning(
                "kafka: no broker answers (%s; %s); trying again for %.0f s",
                error.str(), self._last_error, self._deadline_s - silent_s,
            )  # fmt: skip

    def _still_missing(self, now: float) -> None:
        self.missing()
        if self._missing_since is not None and now - self._missing_since >= MISSING_GRACE_S:
            raise no_topic(self._topic)

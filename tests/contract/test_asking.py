"""Where the group stands, while its coordinator moves.

librdkafka's cluster in memory plays the brokers, in a process of its own: what ends that process is one red test.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from sluice.kafka.group_offsets import Commits
from sluice.settings import Kafka
from tests.support.mock_cluster import Api, MockCluster

PATIENCE_S = 60.0
QUESTIONS = 3
MOVED = {
    "it has moved": KafkaError.NOT_COORDINATOR,
    "it is not there": KafkaError.COORDINATOR_NOT_AVAILABLE,
    "it is loading": KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    "the connection breaks": KafkaError._TRANSPORT,
}


def told(error: int) -> int:
    """Return the committed offset that is told after such answers, in one of a few questions."""
    with MockCluster() as cluster:
        cluster.create_topic("t")
        with closing(Commits(Kafka(bootstrap_servers=cluster.address, group_id="g"))) as commits:
            cluster.fail(Api.OFFSET_FETCH, [error, error])
            for _ in range(QUESTIONS):
                with suppress(KafkaException):
                    return commits.ask([TopicPartition("t", 0)]).result(PATIENCE_S)[0].offset
    pytest.fail("no answer")


@pytest.mark.parametrize("error", MOVED.values(), ids=MOVED)
def test_a_coordinator_that_has_moved_is_asked_where_it_is_now(error: int) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        assert process.submit(told, error).result(PATIENCE_S) < 0

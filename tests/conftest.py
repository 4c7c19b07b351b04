"""What several suites share: a broker is started once per run (per worker) and every test brings its own topics."""

import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.support import brokers

# No bound on time, which a crowded machine breaks, and the same examples in every run: what fails here failed before.
# `--hypothesis-profile=default` looks for more.
settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


@pytest.fixture(scope="session")
def embedded_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the embedded broker."""
    with brokers.embedded(tmp_path_factory.mktemp("embedded")) as address:
        yield address


@pytest.fixture(scope="session")
def kafka_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[brokers.Cluster]:
    """One Apache Kafka node."""
    with brokers.apache_cluster(tmp_path_factory.mktemp("kafka"), 1) as node:
        yield node


@pytest.fixture(scope="session")
def kafka_address(kafka_node: brokers.Cluster) -> str:
    """Address of one Apache Kafka node."""
    return kafka_node.address


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Let logging be as it was once the test has configured it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)

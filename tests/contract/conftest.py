"""The locked broker, which two suites share: it takes seconds to start."""

from collections.abc import Iterator

import pytest

from sluice.kafka.acls import Role
from tests.support.locked import LockedBroker, locked_broker


@pytest.fixture(scope="session")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LockedBroker]:
    """Run one that knows a user for each role, by the role's name."""
    with locked_broker(tmp_path_factory.mktemp("locked"), tuple(Role)) as broker:
        yield broker

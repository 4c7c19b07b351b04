import importlib.util
from collections.abc import Iterator

import pytest

from tests.helm import chart


@pytest.fixture(scope="session")
def helm() -> Iterator[chart.Helm]:
    if not importlib.util.find_spec("helm_python"):
        pytest.skip("needs helm-python-sdk, which has no wheel for this platform")
    with chart.helm() as started:
        yield started

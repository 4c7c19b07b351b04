"""What Apache Kafka costs the consumer: landings, compression of outputs, prefetching. Needs KAFKA_HOME.

It reads bytes from the broker's own files.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.compression import Pressed, pressed
from tests.bench.prefetch import Readings, alone, large, small
from tests.bench.rates import Rates
from tests.bench.transactions import by_partitions, by_size
from tests.support.brokers import apache_kafka


def measured() -> Iterator[Rates | Pressed | Readings]:
    """Measure all of it against one broker."""
    with tempfile.TemporaryDirectory() as name, apache_kafka(folder := Path(name)) as address:
        yield by_size(address, folder)
        yield by_partitions(address, folder)
        yield from pressed(address, folder)
        yield large(address, folder)
        yield alone(address, folder)
        yield small(address, folder)

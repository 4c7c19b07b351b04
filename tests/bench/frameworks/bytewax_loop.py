"""bytewax with its Kafka connectors, at least once: a recovery store remembers offsets, once a second."""

import os
import signal
import tempfile
from datetime import timedelta
from pathlib import Path

from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from .ends import BATCH, CONSUMER, PRODUCER, Ends
from .work import Place, Work

PARTITIONS = 6


def main() -> None:
    """Run until SIGTERM, which ends the process at once: bytewax has no way to be asked."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    with tempfile.TemporaryDirectory() as folder:
        init_db_dir(Path(folder), 1)
        cli_main(
            flow(Ends.of(os.environ)),
            epoch_interval=timedelta(seconds=1),
            recovery_config=RecoveryConfig(folder),
        )


def flow(ends: Ends) -> Dataflow:
    """Read, judge, publish."""
    work, brokers = Work.between(ends), ends.brokers.split(",")

    def judged(message: KafkaSourceMessage) -> list[KafkaSinkMessage]:
        place = Place(message.topic, message.partition, message.offset, message.timestamp[1])
        return [
            KafkaSinkMessage(output.key, output.value, topic=output.topic, headers=list(output.headers))
            for output in work.judged(message.value, place)
        ]

    whole = Dataflow("judging")
    # Every partition has a consumer of its own, and all of them are asked before anything is published.
    source = KafkaSource(brokers, [ends.images], add_config=dict(CONSUMER), batch_size=BATCH // PARTITIONS)
    outputs = op.flat_map("judge", op.input("images", whole, source), judged)
    op.output("outputs", outputs, KafkaSink(brokers, topic=None, add_config=dict(PRODUCER)))
    return whole


if __name__ == "__main__":
    main()

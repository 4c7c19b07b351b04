"""quixstreams, exactly once: one transaction a checkpoint, as `processing_guarantee="exactly-once"` makes it."""

import os
import tempfile
import time
from typing import Any

from quixstreams import Application, message_context
from quixstreams.models import Serializer

from .ends import BATCH, CONSUMER, PRODUCER, Ends
from .work import Output, Place, Work


class Value(Serializer):  # type: ignore[misc]  # the framework is not installed where types are checked
    """Take the value out of an output; it is encoded already."""

    def __call__(self, output: Output, *_: object, **__: object) -> bytes:
        """Return its bytes."""
        return output.value


def main() -> None:
    """Run until SIGTERM, which quixstreams handles."""
    ends = Ends.of(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        app = Application(
            ends.brokers,
            consumer_group=ends.group,
            auto_offset_reset="earliest",
            processing_guarantee="exactly-once",
            commit_every=BATCH,
            consumer_poll_timeout=0.1,
            consumer_extra_config=dict(CONSUMER),
            producer_extra_config={**PRODUCER, "transactional.id": ends.transactional_id},
            auto_create_topics=False,
            use_changelog_topics=False,
            state_dir=folder,
            loglevel="WARNING",
        )
        declare(app, ends)
        app.run()


def declare(app: Any, ends: Ends) -> None:
    """Say what happens to a record."""
    work = Work.between(ends)
    images = app.topic(ends.images, value_deserializer="bytes", key_deserializer="bytes")
    outputs = {name: app.topic(name, value_serializer=Value()) for name in (ends.verdicts, ends.quality)}

    def judged(value: bytes, _key: bytes, timestamp_ms: int, _headers: object) -> tuple[Output, Output]:
        found = message_context()
        return work.judged(value, Place(found.topic, found.partition, found.offset, timestamp_ms))

    frame = app.dataframe(images).apply(judged, metadata=True, expand=True)
    frame = frame.set_headers(lambda output, *_: list(output.headers))
    # Otherwise an output is said to be as old as its input.
    frame = frame.set_timestamp(lambda *_: time.time_ns() // 1_000_000)
    frame.to_topic(lambda output, *_: outputs[output.topic], key=lambda output: output.key)


if __name__ == "__main__":
    main()

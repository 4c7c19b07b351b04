"""faststream[confluent] in batch mode, at least once: a batch is acknowledged after both its outputs are delivered."""

import asyncio
import os
import signal
from typing import Any

from faststream import AckPolicy, FastStream
from faststream.confluent import KafkaBroker

from .ends import BATCH, CONSUMER, PRODUCER, Ends
from .work import Output, Place, Work


def main() -> None:
    """Run until SIGTERM."""
    ends = Ends.of(os.environ)
    # What only checks and converts arguments is left out: the handler takes what confluent-kafka gave.
    broker = KafkaBroker(ends.brokers, config={**CONSUMER, **PRODUCER}, apply_types=False, logger=None)
    subscribe(broker, ends)
    app = FastStream(broker, logger=None)

    async def listen() -> None:
        """Hear SIGTERM: its own handler misses it while deliveries fill the pipe that wakes the event loop."""
        signal.signal(signal.SIGTERM, lambda *_: app.exit())

    app.after_startup(listen)
    asyncio.run(app.run())


def subscribe(broker: Any, ends: Ends) -> None:
    """Say what happens to a batch."""
    work = Work.between(ends)

    @broker.subscriber(  # type: ignore[untyped-decorator]  # the framework is not installed where types are checked
        ends.images,
        group_id=ends.group,
        auto_offset_reset="earliest",
        batch=True,
        max_records=BATCH,
        decoder=raw,
        ack_policy=AckPolicy.NACK_ON_ERROR,
    )
    async def judge(messages: Any) -> None:
        outputs = [output for message in messages for output in work.judged(message.value(), Place.of(message))]
        # Not publish_batch: it gives every message of a batch the same headers.
        delivered = [await publish(broker, output) for output in outputs]
        await asyncio.gather(*delivered)


async def raw(message: Any) -> Any:
    """Return the batch as it came."""
    return message.raw_message


async def publish(broker: Any, output: Output) -> Any:
    """Hand an output over; returns the future of its delivery."""
    headers = {name: (value or b"").decode() for name, value in output.headers}
    return await broker.publish(
        output.value,
        output.topic,
        key=output.key,
        headers=headers,
        correlation_id=headers["ce_id"],
        no_confirm=True,
    )


if __name__ == "__main__":
    main()

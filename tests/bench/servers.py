"""Against a model server between two topics: Kafka, HTTP, LitServe with its dynamic batching, HTTP, Kafka.

`python -m tests.bench.servers` is that client, on the settings `sluice run` gets; it starts the server beside it. Twice
as many requests are open as the server puts into a batch, so that one is full while the last is judged, and each poll's
answers are published, waited for and committed together. The client is at-least-once. There is one model, so one
worker of the server's, which decodes and judges in turn. Needs the extra `bench`.
"""

import json
import os
import signal
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import torch
from confluent_kafka import Message

from sluice.cli.run import Stop
from sluice.demo.embedded_broker import free_port, start_leashed, stop_leashed
from sluice.settings import Settings
from sluice.settings.sources import load
from sluice_schemas import ImageGenerated, decode
from tests.bench import rig
from tests.bench.endtoend import Duel, Sizes, arena, described
from tests.bench.plain import clients
from tests.bench.rounds import interleaved

CLIENT = (sys.executable, "-m", "tests.bench.servers")
GOAL = 1.0
OPEN = 64
"""Requests under way at once: two batches of production's size."""

POLL_S = 0.1
READY_WITHIN_S = 300.0
TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Client:
    """What turns a message into an answer by way of HTTP, many at a time."""

    http: httpx.Client
    url: str
    threads: ThreadPoolExecutor

    def __call__(self, messages: Sequence[Message]) -> list[bytes]:
        """Ask about every message, and wait for all answers; they come in the messages' order."""
        return list(self.threads.map(self._one, messages))

    def _one(self, message: Message) -> bytes:
        event = decode(message.value() or b"", ImageGenerated)
        asked = {"image": b64encode(event.image.bytes or b"").decode(), "prompt": event.prompt or ""}
        answered = self.http.post(f"{self.url}/predict", json=asked).raise_for_status()
        return json.dumps({"image_id": event.image_id, **answered.json()}).encode()


@contextmanager
def served(bundle: str, log: Path) -> Iterator[Client]:
    """Start the server, wait until it can judge, and connect to it."""
    port = free_port()
    server = start_leashed([sys.executable, "-m", "tests.bench.served", str(port), bundle], log)
    try:
        limits = httpx.Limits(max_connections=OPEN, max_keepalive_connections=OPEN)
        with httpx.Client(limits=limits, timeout=TIMEOUT_S) as http, ThreadPoolExecutor(OPEN) as threads:
            client = Client(http, f"http://127.0.0.1:{port}", threads)
            deadline = time.monotonic() + READY_WITHIN_S
            while not _healthy(client):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(POLL_S)
            yield client
    finally:
        stop_leashed(server)
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)  # its session: whichever of its processes outlived it


def _healthy(client: Client) -> bool:
    try:
        return client.http.get(f"{client.url}/health").is_success
    except httpx.TransportError:
        return False


def consume(settings: Settings, client: Client, stop: Stop) -> None:
    """Have a poll's messages judged at once, publish the answers, wait for them, commit."""
    with clients(settings) as (consumer, producer):
        while not stop():
            messages = [message for message in consumer.consume(OPEN, POLL_S) if not message.error()]
            if not messages:
                continue
            for message, answer in zip(messages, client(messages), strict=True):
                producer.produce(settings.topics.verdicts, answer, message.key())
            producer.flush()
            consumer.commit(asynchronous=False)


def measured(sizes: Sizes) -> Duel:
    """Measure the consumer against client and server, each on topics of its own, fed in turn."""
    with arena(sizes) as where:
        ours, theirs = where.feeding(rig.SLUICE), where.feeding(CLIENT)
        ways = {"sluice": lambda: ours.round(sizes.events), "litserve": lambda: theirs.round(sizes.events)}
        per_s = interleaved(ways, sizes.rounds)
        table = {"CPU ms an event: sluice run": ours.own_ms, "CPU ms an event: client and server": theirs.own_ms}
    more = {"open requests": OPEN}
    return Duel("servers: sluice run / Kafka, HTTP, LitServe", per_s, GOAL, described(sizes, **more), table)


def ratios() -> Iterator[Duel]:
    """Measure ViT-B/32 on a CPU, ViT-L/14 where there is a GPU; and a model that costs next to nothing.

    Where the model takes nearly all of the processor, both can only be as fast as it is; the small one shows the rest.
    """
    yield measured(Sizes(model="ViT-L/14", events=4096) if torch.cuda.is_available() else Sizes())
    yield measured(Sizes(model="tiny", events=768))


def main() -> None:
    """Run client and server until SIGTERM."""
    settings, stop = load(None).settings, Stop()
    log = (settings.telemetry.ready_file or Path("client")).with_suffix(".server.log")
    with served(settings.models.bundle, log) as client:
        consume(settings, client, stop)


if __name__ == "__main__":
    main()

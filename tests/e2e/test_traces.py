"""One image is one trace: the simulator and the real `sluice run` export to a receiver that is none of ours."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest
from confluent_kafka import Message
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from sluice.settings.environment import without_settings
from sluice_schemas import read_trace
from sluice_sim.broker import Topics
from tests.chaos.stage import Stage
from tests.chaos.worker import Worker
from tests.support.brokers import EMBEDDED
from tests.support.outputs import published
from tests.support.ports import free_port

try:
    from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings
except OSError:
    pytest.skip("oteltap brings no library for this kind of processor", allow_module_level=True)

pytestmark = [*EMBEDDED, pytest.mark.timeout(600)]

EVENTS = 12
WITHIN_S = 120.0
STAGES = ["fetch", "decode", "wait", "model", "policy"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the receiver got from both processes, and the contexts that stand on the verdicts published."""

    spans: Sequence[Span]
    topics: Topics
    contexts: set[str]
    after: int
    """Verdicts that landed while nobody answered any more."""

    def named(self, name: str) -> list[Span]:
        """Return the spans of a name, in the order they began."""
        return sorted((span for span in self.spans if span.name == name), key=lambda span: span.start_time_unix_nano)

    def traces(self) -> dict[bytes, list[Span]]:
        """Return the spans of each trace that the simulator began, in the order they began."""
        roots = {span.trace_id: list[Span]() for span in self.named(f"send {self.topics.images}")}
        for span in sorted(self.spans, key=lambda span: (span.start_time_unix_nano, -span.end_time_unix_nano)):
            if span.trace_id in roots:
                roots[span.trace_id].append(span)
        return roots


@pytest.fixture(scope="module")
def evidence(embedded_address: str, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    stage = Stage(embedded_address, tmp_path_factory.mktemp("traces"), partitions=2, evicts=False).set_up()
    return asyncio.run(gather(stage))


async def gather(stage: Stage) -> Evidence:
    """Consume what the simulator sends, and then some more with a receiver that hangs."""
    port = free_port()
    exporting = {
        "SLUICE_TELEMETRY__OTLP": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    stage, spans = replace(stage, given=exporting), list[Span]()
    with Worker(stage) as worker:
        async with OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(port)) as receiver:
            received = asyncio.create_task(collect(receiver, spans))
            await asyncio.to_thread(simulate, stage, exporting)
            await asyncio.wait_for(received, WITHIN_S)
        contexts = {context_of(message) for message in published(stage.broker, stage.topics.verdicts, stage.partitions)}
        with socket.create_server(("127.0.0.1", port)):  # takes whatever comes, and never answers
            await asyncio.to_thread(simulate, stage, {})
            while worker.landed < 2 * EVENTS:
                assert not worker.over, worker.log.read_text()
                await asyncio.sleep(0.1)
            worker.send(signal.SIGTERM)
            assert await asyncio.to_thread(worker.wait) == 0
    return Evidence(spans, stage.topics, contexts, worker.landed - EVENTS)


async def collect(receiver: OtelTapHttpProtobufReceiver, spans: list[Span]) -> None:
    """Gather spans until every image's trace is whole and all that spans are linked to is there."""
    async for span in receiver.stream_traces():
        spans.append(span)
        named = Counter(one.name.split("-")[0] for one in spans)
        linked = {link.span_id for one in spans for link in one.links}
        if named["send verdicts"] == named["send quality"] == EVENTS and linked <= {one.span_id for one in spans}:
            return


def simulate(stage: Stage, exporting: Mapping[str, str]) -> None:
    """Send events as the command line does, and export their spans if told whereto."""
    command = ["-m", "sluice_sim", "send", "--bootstrap-servers", stage.address, "--images-topic", stage.topics.images]
    calm = ["--events", str(EVENTS), "--pictures", "4", "--hostile", "0", "--by-file", "0", "--by-http", "0"]
    more = ["--otlp"] if exporting else []
    subprocess.run(
        [sys.executable, *command, *calm, *more],
        cwd=stage.folder,
        env={**without_settings(), **exporting},
        capture_output=True,
        timeout=WITHIN_S,
        check=True,
    )


def context_of(message: Message) -> str:
    trace = read_trace(message.headers())  # type: ignore[arg-type]  # bytes, as Kafka has them
    assert trace
    return trace.traceparent


def test_each_image_is_one_trace_from_its_producer_to_its_verdict(evidence: Evidence) -> None:
    topics = evidence.topics
    assert len(evidence.traces()) == EVENTS
    for spans in evidence.traces().values():
        sent, image, *rest = spans
        assert (sent.name, sent.parent_span_id) == (f"send {topics.images}", b"")
        assert (image.name, image.parent_span_id) == (f"process {topics.images}", sent.span_id)
        stages, published_ = rest[:5], rest[5:]
        assert [span.name for span in stages] == STAGES
        assert {span.name for span in published_} == {f"send {topics.verdicts}", f"send {topics.quality}"}
        assert {span.parent_span_id for span in rest} == {image.span_id}


def test_what_happens_in_a_trace_happens_in_order(evidence: Evidence) -> None:
    for spans in evidence.traces().values():
        sent, image, *rest = spans
        assert sent.start_time_unix_nano < image.start_time_unix_nano
        times = [at for span in rest[:5] for at in (span.start_time_unix_nano, span.end_time_unix_nano)]
        assert times == sorted(times)
        assert times[-1] <= image.end_time_unix_nano <= rest[5].start_time_unix_nano
        assert image.start_time_unix_nano <= times[0]


def test_a_trace_goes_on_in_the_headers_of_what_is_published(evidence: Evidence) -> None:
    sent = evidence.named(f"send {evidence.topics.verdicts}")
    assert {f"00-{span.trace_id.hex()}-{span.span_id.hex()}-03" for span in sent} == evidence.contexts


def test_a_batch_is_linked_to_its_images_and_they_to_it_and_to_the_landing(evidence: Evidence) -> None:
    topics = evidence.topics
    whole = [span for span in evidence.named(f"process {topics.images}") if not span.parent_span_id]
    sent = {span.span_id for span in evidence.named(f"send {topics.images}")}
    assert {link.span_id for span in whole for link in span.links} == sent
    commits = {span.span_id for span in evidence.named(f"commit {topics.images}")}
    linked = {link.span_id for span in evidence.named(f"send {topics.verdicts}") for link in span.links}
    assert linked <= commits
    assert evidence.named(f"poll {topics.images}")


def test_with_a_receiver_that_hangs_it_goes_on_and_leaves_in_order(evidence: Evidence) -> None:
    assert evidence.after == EVENTS

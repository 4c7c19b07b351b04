"""A picture that ends the process each time: the consumer gets past it, and everything else is judged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from time import monotonic

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from PIL import Image as Pillow

from sluice_schemas import DeadLetter, Generator, Image, ImageGenerated, Status, Verdict, decode, encode
from tests.chaos.stage import ANSWER_WITHIN_S, Stage
from tests.chaos.worker import Worker
from tests.support.brokers import EMBEDDED
from tests.support.plugins import installed, marked_picture

pytestmark = [*EMBEDDED, pytest.mark.timeout(700)]

WITHIN_S = 600.0  # of which a life on a crowded machine may take a minute
KILLED = -9
DEVICE_LOST = 72
PASS_TIMEOUT_S = 2.0
HANG_BOUND_S = (
    PASS_TIMEOUT_S + 10 + 120
)  # the pass, the inference worker's grace, and leaving, which takes long where it is crowded


@pytest.fixture
def stage(embedded_address: str, tmp_path: Path) -> Stage:
    return Stage(embedded_address, tmp_path, partitions=1, evicts=False).set_up()


def deadly(stage: Stage, deed: str, **given: str) -> Stage:
    """Let workers use a plug-in that does `deed` at the sight of a marked picture, and keep a journal."""
    variables = {f"SLUICE_{name}": value for name, value in given.items()}
    journal = {
        "SLUICE_POISON__JOURNAL_FOLDER": str(stage.folder / "journal"),
        "SLUICE_POISON__DEATHS_BEFORE_ALONE": "1",  # each life takes seconds; other numbers have tests that take none
        "SLUICE_POISON__DEATHS_ALONE": "1",
    }
    return replace(stage, given={**installed(stage.folder / "site", deed), **journal, **variables})


def plain_picture() -> bytes:
    out = BytesIO()
    Pillow.linear_gradient("L").resize((48, 48)).convert("RGB").save(out, "PNG")
    return out.getvalue()


def publish(stage: Stage, events: int, marked: Sequence[int]) -> None:
    producer = Producer(stage.broker.config())
    for number in range(events):
        data = marked_picture() if number in marked else plain_picture()
        event = ImageGenerated(
            image_id=f"image-{number}",
            created_at=datetime.now(UTC),
            image=Image(bytes=data, mime="image/png"),
            generator=Generator("test"),
        )
        producer.produce(stage.topics.images, encode(event), event.image_id, partition=0)
    assert producer.flush(ANSWER_WITHIN_S) == 0


@dataclass(slots=True)
class Outputs:
    """What a reader of committed outputs sees, topic by topic."""

    stage: Stage
    verdicts: list[Verdict] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    qualities: int = 0

    def follow(self, worker: Worker, over: Callable[[], bool]) -> None:
        """Read, and start the worker again whenever it ends, until `over`."""
        topics = self.stage.topics
        consumer = Consumer(self.stage.broker.config(group_id="reader", isolation_level="read_committed"))
        outputs = (topics.verdicts, topics.quality, topics.dead_letters)
        consumer.assign([TopicPartition(topic, 0, 0) for topic in outputs])
        deadline = monotonic() + WITHIN_S
        try:
            while not over():
                worker.tend()
                assert monotonic() < deadline, f"{worker.endings}, {len(self.verdicts)}\n{worker.log.read_text()}"
                for message in consumer.consume(500, 0.1):
                    assert not message.error(), message.error()
                    self._take(message.topic() or "", message.value() or b"")
        finally:
            consumer.close()

    def _take(self, topic: str, value: bytes) -> None:
        if topic == self.stage.topics.verdicts:
            self.verdicts.append(decode(value, Verdict))
        elif topic == self.stage.topics.dead_letters:
            self.letters.append(decode(value, DeadLetter))
        else:
            self.qualities += 1


def test_a_picture_that_kills_the_process_is_rejected_once_and_all_others_are_judged(stage: Stage) -> None:
    stage = deadly(stage, "os.kill(os.getpid(), signal.SIGKILL)")
    publish(stage, 40, marked=[17])
    outputs = Outputs(stage)
    with Worker(stage) as worker:
        outputs.follow(worker, lambda: len(outputs.verdicts) >= 40 and len(outputs.letters) + outputs.qualities >= 40)
        assert worker.endings == [KILLED] * 2
    assert [verdict.source.offset for verdict in outputs.verdicts] == list(range(40))
    refused = [v for v in outputs.verdicts if v.status is Status.INDETERMINATE]
    assert [(v.source.offset, v.indeterminate_reason) for v in refused] == [(17, "poison")]
    (letter,) = outputs.letters
    assert (letter.source.offset, letter.error.stage, letter.error.reason) == (17, "poison", "poison")
    assert letter.attempts == 2
    assert letter.value is None
    assert outputs.qualities == 39


def test_a_lane_that_hangs_ends_the_process_within_its_bound_and_the_next_one_goes_on(stage: Stage) -> None:
    """The next one hangs no more; it judges everything, and holds nothing against who was in flight once."""
    hanging = deadly(stage, "threading.Event().wait()", MODELS__PASS_TIMEOUT_S=f"{PASS_TIMEOUT_S:g}")
    with Worker(hanging) as worker:
        deadline = monotonic() + WITHIN_S
        while not worker.ready:
            assert monotonic() < deadline, worker.log.read_text()
        publish(stage, 12, marked=[5])
        started = monotonic()
        assert worker.wait(HANG_BOUND_S) == DEVICE_LOST
        assert monotonic() - started > PASS_TIMEOUT_S
        assert "models.pass_timeout_s (2 s)" in worker.log.read_text()
    stage.evict()
    outputs = Outputs(stage)
    with Worker(replace(hanging, given={**hanging.given, "SLUICE_MODELS__PLUGINS": ""})) as worker:
        outputs.follow(worker, lambda: len(outputs.verdicts) >= 12 and outputs.qualities >= 12)
        assert "died_in_flight" in worker.log.read_text()
    assert [verdict.source.offset for verdict in outputs.verdicts] == list(range(12))
    assert (outputs.letters, outputs.qualities) == ([], 12)

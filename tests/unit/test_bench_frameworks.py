"""The benchmark of frameworks compares the same work: each loop does it, and it is what Sluice does."""

import ast
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import pytest

from sluice.core.errors import Rejection
from sluice.core.records import Message, Partition, Record
from sluice.kafka.client import producer_config
from sluice.kafka.codec import Codec
from sluice.moderation.pipeline import Clocks, Pipeline, Steps
from sluice.moderation.ports import Began
from sluice.moderation.values import Job, Provenance, Scores
from sluice.moderation.verdicts import VerdictBuilder
from sluice.policies import chosen
from sluice.settings import Kafka, Policy, Topics
from sluice.stream.batch import Batch, FillReason
from sluice_schemas import Image, Mode, Quality, SingleObjectFraming, Status, Verdict, decode
from tests.bench.blank import MODEL, SCORES, Decoders
from tests.bench.frameworks import ends, work
from tests.bench.rig import event

FOLDER = Path(work.__file__).parent
LOOPS = sorted(FOLDER.glob("*_loop.py"))
FRAMEWORKS = sorted(FOLDER.glob("requirements-*.txt"))
PACKAGES = {"arroyo": "sentry-arroyo"}
TOPICS = Topics()
ENDS = ends.Ends("broker:1", "group", "id", TOPICS.images, TOPICS.verdicts, TOPICS.quality)
RECORD = Record(Partition(TOPICS.images, 3), 7, 1_700_000_000_123, None, event(5, b"a picture", "a cat"))
PLACE = work.Place(TOPICS.images, 3, 7, 1_700_000_000_123)


def by_sluice(record: Record) -> tuple[Message, ...]:
    """Judge a record as the blank worker does."""
    policy = chosen(Policy())
    codec = Codec(SingleObjectFraming(), TOPICS, "/sluice/group", 1 << 20)
    verdict_builder = VerdictBuilder(
        policy.ref, Provenance((MODEL,), "0" * 64), Mode.ENFORCE, "worker", 1024, include_inline_images=False
    )
    steps = Steps(codec.decode, _inline, Decoders().submit, _score, policy.judge, codec.encode)
    clocks = Clocks(monotonic, lambda: datetime.now(UTC))
    with ThreadPoolExecutor(1) as threads:
        road = Pipeline(steps, verdict_builder, clocks, threads, lambda *_: None)
        (outcome,) = road.outcomes(Batch((record,), FillReason.COUNT, monotonic()))
    return outcome.messages


def test_the_work_publishes_what_sluice_publishes() -> None:
    ours, theirs = work.Work.between(ENDS).judged(RECORD.value, PLACE), by_sluice(RECORD)
    assert [(m.topic, m.key, len(m.headers)) for m in ours] == [(m.topic, m.key, len(m.headers)) for m in theirs]
    assert [_lasting(m.headers) for m in ours] == [_lasting(m.headers) for m in theirs]
    assert _counting(ours[0].value, ours[1].value) == _counting(theirs[0].value, theirs[1].value)


def test_both_outputs_are_as_large_as_those_of_sluice() -> None:
    """Blanked fields may not hide that one of them encodes less."""
    ours, theirs = work.Work.between(ENDS).judged(RECORD.value, PLACE), by_sluice(RECORD)
    for mine, other in zip(ours, theirs, strict=True):
        assert len(mine.value) == pytest.approx(len(other.value), abs=4)  # the policy's own name and version


def test_what_counts_is_not_blanked() -> None:
    verdict, quality = (m.value for m in work.Work.between(ENDS).judged(RECORD.value, PLACE))
    told = work.what_counts(decode(verdict, Verdict), decode(quality, Quality))
    assert told[0].status is Status.ALLOW
    assert told != work.what_counts(replace(decode(verdict, Verdict), status=Status.BLOCK), decode(quality, Quality))
    elsewhere, _ = work.Work.between(ENDS).judged(RECORD.value, replace(PLACE, offset=8))
    assert told != work.what_counts(decode(elsewhere.value, Verdict), decode(quality, Quality))


@pytest.mark.parametrize("loop", LOOPS, ids=lambda path: path.stem)
def test_a_loop_does_this_work_and_needs_no_more_than_its_framework(loop: Path) -> None:
    framework = loop.stem.removesuffix("_loop").replace("bare", "confluent_kafka")
    tree = ast.parse(loop.read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.Import)]
    siblings = {node.module for node in imports if isinstance(node, ast.ImportFrom) and node.level}
    others = {name.partition(".")[0] for node in imports for name in _modules(node)} - sys.stdlib_module_names
    assert siblings == {"ends", "work"}
    assert others == {framework}
    assert any(isinstance(node, ast.Attribute) and node.attr == "judged" for node in ast.walk(tree))


def test_all_producers_are_set_up_as_that_of_sluice() -> None:
    ours = producer_config(Kafka(bootstrap_servers="localhost:1"))
    assert {name: ours[name] for name in ends.PRODUCER} == ends.PRODUCER


@pytest.mark.parametrize("file", FRAMEWORKS, ids=lambda path: path.stem)
def test_every_requirement_is_pinned(file: Path) -> None:
    name = file.stem.removeprefix("requirements-")
    pins = dict(line.split("==") for line in file.read_text().splitlines())
    assert (FOLDER / f"{name}_loop.py") in LOOPS
    assert {PACKAGES.get(name, name), "fastavro", "confluent-kafka"} <= pins.keys()


def _inline(image: Image) -> Future[bytes]:
    done: Future[bytes] = Future()
    done.set_result(image.bytes or b"")
    return done


def _score(jobs: Sequence[Job], begun: Began) -> Future[list[Scores | Rejection]]:
    begun()
    done: Future[list[Scores | Rejection]] = Future()
    done.set_result([SCORES for _ in jobs])
    return done


def _lasting(headers: tuple[tuple[str, bytes | None], ...]) -> dict[str, bytes | None]:
    return {name: value for name, value in headers if name not in ("ce_id", "ce_time")}


def _counting(verdict: bytes, quality: bytes) -> tuple[Verdict, Quality]:
    return work.what_counts(decode(verdict, Verdict), decode(quality, Quality))


def _modules(node: ast.ImportFrom | ast.Import) -> list[str]:
    if isinstance(node, ast.Import):
        return [name.name for name in node.names]
    return [] if node.level else [node.module or ""]

"""The real `sluice run`: how it leaves, what it says when it cannot work, what it does when others fail."""

import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from time import monotonic

import pytest

from sluice_sim.observer import Observer
from sluice_sim.options import Options, Shares
from sluice_sim.report import Report
from sluice_sim.sender import Delivery, send
from sluice_sim.store import Store
from sluice_sim.stream import Stream
from sluice_sim.truth import Inbox, Sent
from tests.chaos.feed import now, small
from tests.chaos.stage import Stage
from tests.chaos.trial import POLL_S, read_again
from tests.chaos.worker import SLUICE, Worker
from tests.support.brokers import EMBEDDED
from tests.support.fetching import IMPATIENT, fetching
from tests.support.ports import free_port

pytestmark = [*EMBEDDED, pytest.mark.timeout(900)]

WITHIN_S = 240.0
INLINE = Shares(hostile=0, by_file=0, by_http=0)
BY_HTTP = Shares(hostile=0, by_file=0, by_http=1)
HOSTILE = Shares(hostile=1, by_file=0, by_http=0)


@pytest.fixture
def stage(embedded_address: str, tmp_path: Path) -> Stage:
    """Choose a stage whose topics are not there yet."""
    return Stage(embedded_address, tmp_path, partitions=2, evicts=False)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "pictures") as store:
        yield store


def following(stage: Stage, store: Store) -> Stage:
    """Let the workers fetch from the store, and give up on it soon."""
    return replace(stage, given=fetching(store) | IMPATIENT)


def publish(stage: Stage, events: int, shares: Shares, store: Store | None = None) -> list[Sent]:
    stream = Stream(Options(events=events, pictures=8, shares=shares), now=now, shelf=store)
    sent: list[Sent] = []
    send(small(stream), Delivery(stage.broker, stage.topics.images), on_sent=sent.append)
    assert len(sent) == events
    return sent


@contextmanager
def watching(stage: Stage, sent: list[Sent]) -> Iterator[Observer]:
    inbox = Inbox()
    for one in sent:
        inbox.put(one)
    with Observer(stage.broker, inbox, topics=stage.topics) as observer:
        yield observer


def until(condition: Callable[[], bool], worker: Worker, observer: Observer) -> None:
    """Observe until the condition holds; a worker that has ended would not meet it."""
    deadline = monotonic() + WITHIN_S
    observer.poll(POLL_S)
    while not condition():
        assert not worker.over, worker.log.read_text()
        assert monotonic() < deadline, f"waited in vain: {worker.stats}\n{worker.log.read_text()}"
        observer.poll(POLL_S)


def finish(stage: Stage, sent: list[Sent], worker: Worker, observer: Observer) -> Report:
    """Let everything be answered and the worker leave; whatever happened before, nothing may be wrong now."""
    until(lambda: not observer.outstanding, worker, observer)
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    report = read_again(stage, sent)
    assert report.exactly_once, report
    assert all(each.committed == each.end for each in stage.offsets().values())
    return report


@contextmanager
def publishing(stage: Stage, rate_per_s: float) -> Iterator[list[Sent]]:
    """Publish while the block lasts: work never runs out, however slow this process is beside the consumer."""
    stream = Stream(Options(events=None, pictures=8, shares=INLINE), now=now)
    delivery = Delivery(stage.broker, stage.topics.images, rate_per_s)
    sent: list[Sent] = []
    over = Event()
    with ThreadPoolExecutor(1) as thread:
        sending = thread.submit(send, small(stream), delivery, on_sent=sent.append, stop=over.is_set)
        try:
            yield sent
        finally:
            over.set()
    assert sending.result() == len(sent)


def test_the_first_signal_lands_what_is_in_flight_and_the_offsets_are_those_of_the_answers(stage: Stage) -> None:
    with Worker(stage.set_up()) as worker, watching(stage, []) as observer:
        until(lambda: worker.ready, worker, observer)
        with publishing(stage, 300.0) as sent:
            until(lambda: worker.landed > 0, worker, observer)
            worker.send(signal.SIGTERM)
            assert worker.wait() == 0
        assert '"left": 0' in worker.log.read_text()
    sent += publish(stage, 1, INLINE)
    offsets = stage.offsets()
    done = [one for one in sent if one.place.offset < offsets[one.place.partition].committed]
    assert 0 < len(done) < len(sent)
    report = read_again(stage, done)
    assert report.exactly_once, report
    assert report.strangers == 0, "answered, and yet the offset says it was not"


def test_the_second_signal_leaves_at_once_and_commits_nothing_of_what_is_in_flight(stage: Stage, store: Store) -> None:
    stage = following(stage, store).set_up()
    sent = publish(stage, 20, BY_HTTP, store)
    store.outage.set()
    with Worker(stage) as worker, watching(stage, sent) as observer:
        until(lambda: pauses(worker) > 0, worker, observer)
        worker.send(signal.SIGTERM)
        worker.send(signal.SIGINT)
        assert worker.wait() == 130
        assert observer.report().verdicts == 0
        assert all(each.committed == 0 for each in stage.offsets().values())


def test_a_store_that_is_down_is_a_pause_without_dead_letters_and_without_a_rebalance(
    stage: Stage, store: Store
) -> None:
    stage = following(stage, store).set_up()
    sent = publish(stage, 60, BY_HTTP, store)
    store.outage.set()
    with Worker(stage) as worker, watching(stage, sent) as observer:
        until(lambda: pauses(worker) > 2, worker, observer)
        assert (observer.report().verdicts, observer.report().dead_letters) == (0, 0)
        store.outage.clear()
        until(lambda: worker.landed == len(sent), worker, observer)
        assert not {"rebalances.revoked", "rebalances.lost"} & set(worker.stats)
        assert finish(stage, sent, worker, observer).dead_letters == 0


def pauses(worker: Worker) -> float:
    return sum(count for name, count in worker.stats.items() if name.startswith("dependency.down."))


def test_a_stream_of_hostile_inputs_blows_the_fuse_and_a_raised_limit_answers_each_exactly_once(stage: Stage) -> None:
    sent = publish(stage.set_up(), 60, HOSTILE)
    careful = replace(stage, given={"SLUICE_FUSE__MAX_RUN": "5"})
    with Worker(careful) as worker:
        assert worker.wait(WITHIN_S) == 73
        assert "dead letters in a row" in worker.log.read_text()
        assert "SLUICE_FUSE__MAX_RUN (now 5)" in worker.log.read_text()
    tolerant = replace(stage, given={"SLUICE_FUSE__MAX_RUN": "1000", "SLUICE_FUSE__MAX_SHARE": "1"})
    with Worker(tolerant) as worker, watching(stage, sent) as observer:
        report = finish(stage, sent, worker, observer)
        assert (report.verdicts, report.dead_letters, report.quality) == (60, 60, 0)


def refused(stage: Stage, given: Mapping[str, str]) -> tuple[int, list[str]]:
    """Run a consumer that cannot work; return its exit code and what it says last: errors and the next command."""
    environment = {**stage.environment("refused"), **given}
    ended = subprocess.run(
        [SLUICE, "run"],
        env=environment,
        cwd=stage.folder,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    return ended.returncode, [line for line in ended.stderr.splitlines() if line.startswith(("error:", "next:"))]


def test_without_its_topic_it_names_the_command_that_creates_it(stage: Stage) -> None:
    assert refused(stage, {}) == (
        78,
        [f"error: topic {stage.topics.images} does not exist; create it with: sluice topics create"],
    )


def test_without_a_broker_it_leaves_after_the_deadline(stage: Stage) -> None:
    nobody = replace(stage, address=f"127.0.0.1:{free_port()}")
    code, (error, advice) = refused(nobody, {"SLUICE_KAFKA__CONNECT_DEADLINE_S": "2"})
    assert code == 69
    assert "within 2 s (kafka.connect_deadline_s)" in error
    assert "check kafka.bootstrap_servers" in error
    assert advice == "next:  sluice doctor"


def test_without_weights_it_says_which_are_missing_and_what_fetches_them(stage: Stage, tmp_path: Path) -> None:
    code, lines = refused(stage, {"SLUICE_MODELS__BUNDLE": "openai", "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"})
    assert code == 74
    assert len(lines) == 1
    assert "sluice models fetch" in lines[0]


def test_without_a_bundle_it_names_the_setting(stage: Stage) -> None:
    code, (error,) = refused(stage, {"SLUICE_MODELS__BUNDLE": ""})
    assert code == 78
    assert error.startswith("error: models.bundle is not set; set SLUICE_MODELS__BUNDLE to openai")


def test_a_wrong_setting_is_one_line_and_the_next_command(stage: Stage) -> None:
    code, (error, advice) = refused(stage, {"SLUICE_BATCHING__MAX_FLIGHTS": "none"})
    assert code == 78
    assert error.startswith("error: batching.max_flights = 'none': must be a valid integer")
    assert advice == "next:  sluice config docs"

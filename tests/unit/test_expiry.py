"""What was deleted before it was read: what is told, what is held, and what is no loss."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from sluice.core.errors import ImagesExpired
from sluice.core.records import Partition
from sluice.kafka.expiry import EVERY_S, LONG_S, Expiry
from sluice.kafka.offset_lookup import Place

P, Q = Partition("t", 0), Partition("t", 1)


@dataclass
class Answer:
    """What the brokers say; not `done` until a test says so."""

    about: Collection[Partition]
    places: Mapping[Partition, Place]
    done: bool = True
    trouble: str = ""

    def found(self) -> Mapping[Partition, Place]:
        return {partition: self.places[partition] for partition in self.about if partition in self.places}


class Bench:
    """Brokers that answer at once, unless `slow`."""

    def __init__(self, then: Literal["tell", "stop"] = "tell") -> None:
        self.now = 0.0
        self.places: dict[Partition, Place] = {}
        self.slow = False
        self.asked: list[Answer] = []
        self.counted: list[tuple[float, dict[str, str]]] = []
        self.begun: list[tuple[float, dict[str, str]]] = []
        self.expiry = Expiry(self.inquire, then, self.observe, lambda: self.now)

    def inquire(self, partitions: Collection[Partition]) -> Answer:
        self.asked.append(Answer(set(partitions), dict(self.places), not self.slow))
        return self.asked[-1]

    def observe(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        assert name == "sluice.records.expired"
        (self.counted if value else self.begun).append((value, dict(labels)))

    def turn(self) -> set[Partition]:
        """Turn twice, a while apart: ask, and hear."""
        self.now += EVERY_S
        released = set(self.expiry.turn())
        return released | set(self.expiry.turn())

    def take(self, committed: int | None, start: int, end: int) -> None:
        self.places[P] = Place(committed, start, end)
        self.expiry.take({P})
        assert self.turn() == {P}


@pytest.fixture
def bench() -> Bench:
    return Bench()


def told(caplog: pytest.LogCaptureFixture, event: str) -> list[tuple[Any, ...]]:
    fields = {"images_expired": ("first", "last", "count"), "position_reset": ("expected", "found")}[event]
    found = [record for record in caplog.records if record.getMessage() == event]
    assert all((record.__dict__["topic"], record.__dict__["partition"]) == ("t", 0) for record in found)
    return [tuple(record.__dict__[name] for name in fields) for record in found]


def test_what_was_deleted_while_nobody_was_there_is_told(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        bench.take(10, 30, 40)
    assert bench.counted == [(20, {"topic": "t", "partition": "0"})]
    assert told(caplog, "images_expired") == [(10, 29, 20)]


@pytest.mark.parametrize(
    ("committed", "start", "end"),
    [(30, 30, 40), (35, 30, 40), (40, 30, 40), (40, 40, 40), (None, 30, 40), (None, 0, 0)],
)
def test_what_is_no_loss_is_not_told(
    bench: Bench, caplog: pytest.LogCaptureFixture, committed: int | None, start: int, end: int
) -> None:
    bench.take(committed, start, end)
    assert (bench.counted, caplog.records) == ([], [])


def test_a_commit_beyond_the_end_is_another_log(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.take(1000, 2, 5)
    assert (bench.counted, told(caplog, "position_reset")) == ([], [(1000, 2)])
    bench.expiry.read(P, 2)
    assert told(caplog, "position_reset") == [(1000, 2)]


def test_a_partition_is_held_until_its_place_is_known(bench: Bench) -> None:
    bench.slow = True
    bench.expiry.take({P, Q})
    assert bench.turn() == set()
    assert set(bench.expiry.held) == {P, Q}
    bench.asked[-1].places = {P: Place(None, 0, 0)}
    bench.asked[-1].done, bench.slow = True, False
    assert bench.turn() == {P}, "of the other one the brokers have not told"
    bench.places[Q] = Place(None, 0, 0)
    bench.turn()
    assert bench.turn() | {Q} == {Q}
    assert set(bench.expiry.held) == set()


def test_what_waits_for_long_is_told_with_what_the_brokers_said_and_again_after_a_while(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.slow = True
    bench.expiry.take({P, Q})
    bench.turn()
    assert bench.expiry.trouble == ""
    bench.asked[-1].done, bench.asked[-1].trouble = True, "no leader"
    bench.asked[-1].places = {P: Place(None, 0, 0)}
    bench.now = LONG_S
    assert bench.turn() == {P}
    assert bench.expiry.trouble.endswith("where to begin in t/1, so it waits: no leader")
    bench.turn()
    assert len(caplog.records) == 1, "at most one line in a while"
    bench.now += LONG_S
    bench.turn()
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    bench.expiry.drop({Q})
    assert bench.expiry.trouble == ""


def test_an_answer_of_an_earlier_term_does_not_count(bench: Bench) -> None:
    bench.slow, bench.places[P] = True, Place(10, 10, 40)
    bench.expiry.take({P})
    bench.turn()
    bench.expiry.drop({P})
    bench.places[P] = Place(10, 30, 40)
    bench.expiry.take({P})
    bench.asked[0].done, bench.slow = True, False
    bench.turn()
    assert [count for count, _ in bench.counted] == [20]


def test_what_is_deleted_while_we_read_is_told(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.take(0, 0, 100)
    bench.expiry.read(P, 0)
    bench.places[P] = Place(1, 50, 100)
    bench.expiry.read(P, 50)
    bench.turn()
    assert told(caplog, "images_expired") == [(1, 49, 49)]
    bench.expiry.read(P, 51)
    bench.turn()
    assert len(bench.counted) == 1


def test_a_partition_that_was_emptied_is_told_at_its_end(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.take(10, 0, 30)
    bench.places[P] = Place(10, 30, 30)
    bench.expiry.read(P, 30, records=0)
    bench.turn()
    assert told(caplog, "images_expired") == [(10, 29, 20)]


def test_markers_and_compaction_leave_offsets_out_and_nothing_is_lost(bench: Bench) -> None:
    bench.take(0, 0, 100)
    for offset in (0, 2, 7, 99):
        bench.expiry.read(P, offset)
    bench.expiry.read(P, 101, records=0)
    bench.turn()
    assert bench.counted == []


def test_of_a_gap_only_what_lies_before_the_start_was_deleted(bench: Bench) -> None:
    bench.take(0, 0, 100)
    bench.places[P] = Place(0, 5, 100)
    bench.expiry.read(P, 8)
    bench.turn()
    assert [count for count, _ in bench.counted] == [5]


def test_what_is_deleted_after_it_was_read_is_no_loss(bench: Bench) -> None:
    bench.take(0, 0, 100)
    for offset in (0, 1, 2, 4):
        bench.expiry.read(P, offset)
    bench.places[P] = Place(0, 3, 100)
    bench.turn()
    assert bench.counted == []


def test_gaps_are_asked_about_together(bench: Bench) -> None:
    bench.take(0, 0, 1000)
    asked = len(bench.asked)
    for offset in range(0, 200, 2):
        bench.expiry.read(P, offset)
        bench.expiry.turn()
    assert len(bench.asked) - asked <= 1


def test_a_gap_is_asked_about_again_when_another_partition_comes(bench: Bench) -> None:
    bench.take(0, 0, 100)
    bench.slow, bench.places[P] = True, Place(0, 5, 100)
    bench.expiry.read(P, 5)
    bench.turn()
    bench.slow, bench.places[Q] = False, Place(None, 0, 0)
    bench.expiry.take({Q})
    assert bench.turn() == {Q}
    assert [count for count, _ in bench.counted] == [5]


def test_a_log_that_goes_back_is_told(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.take(0, 0, 100)
    bench.expiry.read(P, 50)
    bench.expiry.read(P, 3)
    assert told(caplog, "position_reset") == [(51, 3)]


def test_whoever_wants_to_decide_is_stopped(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench("stop")
    with pytest.raises(ImagesExpired, match=r"t/0: 10 to 29.*kafka\.expired_images=tell"):
        bench.take(10, 30, 40)
    assert told(caplog, "images_expired") == [(10, 29, 20)]
    assert ImagesExpired.exit_code == 75


def test_the_count_of_a_partition_begins_at_0_so_that_its_first_is_seen(bench: Bench) -> None:
    bench.take(committed=None, start=0, end=5)
    assert bench.begun == [(0, {"topic": P.topic, "partition": str(P.index)})]
    assert bench.counted == []

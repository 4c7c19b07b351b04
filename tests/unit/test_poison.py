"""Who is suspected of killing the process, who travels alone for it, and who is condemned."""

from collections import Counter
from random import Random

import pytest

from sluice.core.errors import BrokerLost, DeviceLost, Fenced
from sluice.core.records import JournalEntry, OffsetRange, Partition, Record
from sluice.stream.batch import Batch, FillReason
from sluice.stream.batcher import Batcher
from sluice.stream.poison import NO_SUSPECTS, PoisonDetector, Suspects, ranges_of
from tests.support.outcomes import judged

P0, P1 = Partition("images", 0), Partition("images", 1)
NEW = Suspects(deaths_before_alone=2, deaths_alone=2)


def record(offset: int, partition: Partition = P0) -> Record:
    return Record(partition, offset, 0, None, b"value")


def batch(*records: Record) -> Batch:
    return Batch(records, FillReason.COUNT, 0.0)


def span(first: int, end: int, deaths: int = 0, alone: int = 0, partition: Partition = P0) -> OffsetRange:
    return OffsetRange(partition, first, end, deaths, alone)


def died(*lives: tuple[OffsetRange, ...]) -> Suspects:
    suspects = NEW
    for flying in lives:
        suspects = suspects.after_death(flying)
    return suspects


def test_a_batch_spans_its_records_partition_by_partition() -> None:
    flying = batch(record(4), record(9, P1), record(5), record(7))
    assert ranges_of([flying]) == (span(4, 8), span(9, 10, partition=P1))


def test_each_death_counts_for_what_was_in_flight_and_for_nothing_else() -> None:
    suspects = died((span(0, 10), span(0, 4, partition=P1)), (span(6, 12),))
    assert suspects.ranges == (span(0, 6, 1), span(6, 10, 2), span(10, 12, 1), span(0, 4, 1, partition=P1))


def test_a_death_counts_once_however_often_a_record_was_in_flight() -> None:
    assert died((span(0, 4), span(2, 6))).ranges == (span(0, 2, 1), span(2, 4, 1), span(4, 6, 1))


@pytest.mark.parametrize("seed", range(50))
def test_each_offset_has_died_as_often_as_it_was_in_flight(seed: int) -> None:
    random, counts = Random(seed), Counter[tuple[Partition, int]]()
    suspects = NEW
    for _ in range(4):
        starts = [(random.choice((P0, P1)), random.randrange(40)) for _ in range(random.randint(1, 6))]
        flying = tuple(span(first, first + random.randint(1, 9), partition=place) for place, first in starts)
        counts.update({(one.partition, offset) for one in flying for offset in range(one.first, one.end)})
        suspects = suspects.after_death(flying)
    found = [((one.partition, at), one.deaths) for one in suspects.ranges for at in range(one.first, one.end)]
    assert dict(found) == counts
    assert [place for place, _ in found] == sorted(counts), "disjoint and in order"


@pytest.mark.timeout(120)
def test_a_death_with_many_records_in_flight_is_counted_in_time_that_grows_with_their_number() -> None:
    """Each against each would take hours."""
    flying = tuple(span(at, at + 1) for at in range(0, 60_000, 2))
    assert len(died(flying, flying).ranges) == 30_000


def test_records_of_two_deaths_travel_alone_and_their_neighbours_do_not() -> None:
    suspects = died((span(0, 10),), (span(6, 12),))
    assert [offset for offset in range(14) if suspects.alone(record(offset))] == [6, 7, 8, 9]
    assert not suspects.alone(record(6, P1))


def test_only_a_record_that_was_alone_in_two_further_deaths_is_condemned() -> None:
    three = died((span(0, 4),), (span(0, 4),), (span(2, 3),))
    assert three.rejection(record(2)) is None
    four = three.after_death((span(2, 3),))
    rejection = four.rejection(record(2))
    assert rejection
    assert (rejection.stage, rejection.reason, rejection.attempts) == ("poison", "poison", 4)
    assert [offset for offset in range(4) if four.rejection(record(offset))] == [2]


def test_nobody_is_condemned_for_deaths_in_company_however_many() -> None:
    suspects = died(*[(span(0, 4),)] * 10)
    assert not any(suspects.rejection(record(offset)) for offset in range(4))


def test_a_record_that_happened_to_be_alone_twice_is_not_condemned_before_its_fourth_death() -> None:
    """Where little comes in, most records are alone in flight."""
    suspects = died((span(2, 3),), (span(2, 3),))
    assert suspects.rejection(record(2)) is None
    assert suspects.alone(record(2))


def test_two_records_of_different_batches_are_not_alone() -> None:
    assert {s.alone for s in died((span(0, 1), span(0, 1, partition=P1))).ranges} == {0}


def test_whoever_landed_and_whoever_came_before_is_suspected_no_more() -> None:
    suspects = died((span(0, 10), span(0, 4, partition=P1)))
    assert suspects.after([judged(record(3)), judged(record(9, P1))]).ranges == (span(4, 10, 1),)
    assert suspects.after([]).ranges == suspects.ranges


def test_a_life_that_left_nothing_on_the_road_makes_no_suspects() -> None:
    assert PoisonDetector.resumed(NEW, JournalEntry(), lambda _: None).suspects == NEW


def test_a_death_is_counted_once_even_if_the_next_life_ends_before_it_does_anything() -> None:
    notes = [JournalEntry(flying=(span(0, 4),))]
    for _ in range(3):
        PoisonDetector.resumed(NEW, notes[-1], notes.append)
    assert notes[-1] == JournalEntry(suspects=(span(0, 4, 1),))


def test_notes_are_written_when_something_changed_and_only_then() -> None:
    notes: list[JournalEntry] = []
    watch = PoisonDetector(NEW, notes.append)
    first, second = batch(record(0)), batch(record(1), record(2))
    for batches in [(first,), (first,), (first, second), (second,), (), ()]:
        watch.note(batches)
    assert [n.flying for n in notes] == [(span(0, 1),), (span(0, 1), span(1, 3)), (span(1, 3),), ()]


@pytest.mark.parametrize("error", [None, Fenced(), BrokerLost()])
def test_whoever_leaves_in_order_accuses_nobody_whatever_happens_on_the_way_out(error: Fenced | None) -> None:
    notes: list[JournalEntry] = []
    watch = PoisonDetector(NEW, notes.append)
    watch.note((batch(record(0)),))
    watch.leave(error)
    watch.note((batch(record(0)),))
    assert notes[-1] == JournalEntry()


def test_a_lost_device_counts_as_a_death() -> None:
    notes: list[JournalEntry] = []
    watch = PoisonDetector(NEW, notes.append)
    watch.note((batch(record(0)),))
    watch.leave(DeviceLost("a device assert"))
    assert notes[-1].flying == (span(0, 1),)


@pytest.fixture
def batcher() -> Batcher:
    batcher = Batcher(max_records=4, max_bytes=1000)
    batcher.add([record(offset) for offset in range(6)])
    return batcher


def test_a_batch_ends_before_a_suspect_which_then_goes_alone_and_at_once(batcher: Batcher) -> None:
    suspects = died((span(2, 4),), (span(2, 4),))
    cuts = [batcher.cut(0.0, suspects, greedy=False) for _ in range(4)]
    assert [cut and ([r.offset for r in cut.records], cut.reason) for cut in cuts] == [
        ([0, 1], FillReason.COUNT),
        ([2], FillReason.ALONE),
        ([3], FillReason.ALONE),
        None,
    ]
    assert not batcher.alone(suspects)


def test_the_condemned_leaves_the_batcher_with_its_rejection(batcher: Batcher) -> None:
    suspects = died((span(0, 4),), (span(0, 4),), (span(0, 1),), (span(0, 1),))
    assert batcher.alone(suspects)
    guilty, neighbour = (batcher.cut(0.0, suspects, greedy=False) for _ in range(2))
    assert guilty
    assert neighbour
    assert guilty.rejection
    assert guilty.rejection.reason == "poison"
    assert neighbour.rejection is None


def test_nobody_is_suspected_without_a_reason(batcher: Batcher) -> None:
    assert not batcher.alone(NO_SUSPECTS)
    cut = batcher.cut(0.0, greedy=False)
    assert cut
    assert len(cut.records) == 4

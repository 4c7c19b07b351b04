"""What the loop's safety rests on, asked of the broker in memory, the embedded one and Apache Kafka alike."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from sluice.core.errors import Fenced, TransactionAborted
from sluice.core.records import GroupMetadata, Message
from tests.support.brokers import EMBEDDED, KAFKA
from tests.support.buses import PARTITIONS, Bus, Diary, FakeBus, KafkaBus, Member, until


@pytest.fixture(
    params=[
        "fake",
        pytest.param("embedded", marks=EMBEDDED),
        pytest.param("kafka", marks=KAFKA),
        pytest.param("kafka-consumer-protocol", marks=KAFKA),
    ]
)
def bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    with closing(opened(request)) as bus:
        yield bus


def opened(request: pytest.FixtureRequest) -> Bus:
    if request.param == "fake":
        return FakeBus()
    if request.param == "embedded":
        return KafkaBus(request.getfixturevalue("embedded_address"), checks_generations=False)
    address = request.getfixturevalue("kafka_address")
    return KafkaBus(address, "consumer" if request.param.endswith("protocol") else "classic")


def messages(bus: Bus, member: Member) -> list[Message]:
    return [Message(bus.out, record.key or b"", b"seen " + (record.value or b"")) for record in member.records]


def joined(bus: Bus, expected: int, name: str = "a", patience_s: float = 60.0) -> Member:
    """Start a lone member and let it read so many records."""
    member = Member(name, bus.member(patience_s=patience_s), [])
    until(lambda: len(member.records) >= expected, member)
    return member


def test_a_commit_publishes_messages_and_offsets_together(bus: Bus) -> None:
    bus.publish(9)
    member = joined(bus, 9)
    committer = bus.producer("t")
    committer.commit(messages(bus, member), member.offsets(), member.source.group_metadata())
    assert sorted(bus.published()) == sorted(b"seen %d" % number for number in range(9))
    assert bus.committed() == 9


def test_one_producer_commits_one_transaction_after_the_other(bus: Bus) -> None:
    bus.publish(3)
    member = joined(bus, 3)
    committer = bus.producer("t")
    for number in range(5):
        message = Message(bus.out, b"k", b"%d" % number)
        committer.commit([message], member.offsets(), member.source.group_metadata())
    assert bus.published() == [b"0", b"1", b"2", b"3", b"4"]


def outdated(bus: Bus) -> tuple[Member, GroupMetadata]:
    """Return a member that read nine records, and its metadata of a generation that is over."""
    if not bus.checks_generations:
        pytest.skip("the embedded broker takes offsets of a generation that is over: run one consumer on it")
    bus.publish(9)
    first = joined(bus, 9)
    over = first.source.group_metadata()
    second = Member("b", bus.member(), [])
    until(lambda: bool(second.source.assignment), first, second)
    return first, over


def test_the_commit_of_a_generation_that_is_over_is_aborted_and_leaves_nothing(bus: Bus) -> None:
    member, over = outdated(bus)
    with pytest.raises(TransactionAborted):
        bus.producer("t").commit(messages(bus, member), member.offsets(), over)
    assert bus.published() == []
    assert bus.committed() == 0


def test_after_an_abort_the_same_producer_commits(bus: Bus) -> None:
    member, over = outdated(bus)
    committer = bus.producer("t")
    with pytest.raises(TransactionAborted):
        committer.commit(messages(bus, member), member.offsets(), over)
    committer.commit(messages(bus, member), member.offsets(), member.source.group_metadata())
    assert len(bus.published()) == 9
    assert bus.committed() == 9


def test_a_second_producer_of_the_same_id_fences_the_first(bus: Bus) -> None:
    bus.publish(3)
    member = joined(bus, 3)
    old = bus.producer("t")
    old.commit([Message(bus.out, b"k", b"old")], {}, member.source.group_metadata())
    new = bus.producer("t")
    with pytest.raises(Fenced):
        old.commit([Message(bus.out, b"k", b"too late")], member.offsets(), member.source.group_metadata())
    new.commit([Message(bus.out, b"k", b"new")], {}, member.source.group_metadata())
    assert bus.published() == [b"old", b"new"]
    assert bus.committed() == 0


def test_partitions_are_reported_as_revoked_before_another_member_reads_them(bus: Bus) -> None:
    bus.publish(9)
    diary: Diary = []
    first = Member("a", bus.member(), diary)
    until(lambda: len(first.records) >= 9, first)
    second = Member("b", bus.member(), diary)
    until(lambda: bool(second.records), first, second)
    for index, (what, who, partition) in enumerate(diary):
        if (what, who) == ("received", "b"):
            assert ("revoked", "a", partition) in diary[:index]


def test_a_commit_from_within_the_revocation_still_counts(bus: Bus) -> None:
    bus.publish(9)
    first = joined(bus, 9)
    committer = bus.producer("t")

    def land() -> None:
        committer.commit(messages(bus, first), first.offsets(), first.source.group_metadata())
        first.records.clear()

    first.on_taken = land
    second = Member("b", bus.member(), [])
    until(lambda: bool(second.source.assignment), first, second)
    bus.publish(9)
    until(lambda: len(first.records) + len(second.records) >= 9, first, second)
    assert sorted(bus.published()) == sorted(b"seen %d" % number for number in range(9))
    assert sorted(int(record.value or b"") for record in first.records + second.records) == list(range(9, 18))


def test_a_member_that_was_given_up_cannot_commit_not_even_while_it_is_told(bus: Bus) -> None:
    """The telling is `revoked` or `lost`: librdkafka says either, so neither may let a commit through."""
    if not bus.checks_generations:
        pytest.skip("the embedded broker takes offsets of a generation that is over: run one consumer on it")
    bus.publish(9)
    silent = joined(bus, 9, "silent", patience_s=1.0)
    committer = bus.producer("t")
    refused: list[bool] = []

    def land() -> None:
        with pytest.raises(TransactionAborted):
            committer.commit(messages(bus, silent), silent.offsets(), silent.source.group_metadata())
        refused.append(True)

    silent.on_taken = land
    bus.give_up(silent.source)
    lively = joined(bus, 9, "lively")
    land()
    until(lambda: len(refused) > 1, silent, lively)
    assert bus.published() == []
    assert bus.committed() == 0


def test_a_crashed_predecessors_transaction_is_ended_by_its_successor(bus: Bus) -> None:
    bus.crash("t", [b"never said"])
    committer = bus.producer("t")
    committer.commit([Message(bus.out, b"k", b"said")], {}, None)
    assert bus.published() == [b"said"]


def test_what_was_not_committed_is_read_again_by_the_next_owner(bus: Bus) -> None:
    bus.publish(9)
    first = joined(bus, 9)
    first.source.close()
    second = joined(bus, 9, "b")
    assert sorted(record.value or b"" for record in second.records) == [b"%d" % number for number in range(9)]


def test_closing_reports_what_is_still_ours_as_revoked(bus: Bus) -> None:
    bus.publish(3)
    diary: Diary = []
    member = Member("a", bus.member(), diary)
    until(lambda: len(member.records) >= 3, member)
    member.source.close()
    assert len([what for what, _, _ in diary if what == "revoked"]) == PARTITIONS


def test_a_restart_goes_on_at_the_committed_offsets(bus: Bus) -> None:
    bus.publish(9)
    member = joined(bus, 9)
    committer = bus.producer("t")
    committer.commit([], member.offsets(), member.source.group_metadata())
    member.source.close()
    bus.publish(6)
    again = joined(bus, 6, "again")
    assert sorted(int(record.value or b"") for record in again.records) == list(range(9, 15))


def test_a_pause_stops_records_and_a_resume_loses_none(bus: Bus) -> None:
    bus.publish(30)
    member = joined(bus, 1)
    member.source.pause()
    before = len(member.records)
    for _ in range(20):
        member.turn()
    assert len(member.records) == before
    bus.publish(30)
    member.source.resume()
    until(lambda: len(member.records) >= 60, member)
    assert sorted(int(record.value or b"") for record in member.records) == list(range(60))


def test_a_pause_holds_for_partitions_assigned_later(bus: Bus) -> None:
    bus.publish(9)
    member = Member("a", bus.member(), [])
    member.source.pause()
    until(lambda: len(member.source.assignment) == PARTITIONS, member)
    for _ in range(20):
        member.turn()
    assert member.records == []
    member.source.resume()
    until(lambda: len(member.records) >= 9, member)


def test_records_of_a_partition_arrive_in_order_and_without_gaps(bus: Bus) -> None:
    bus.publish(90)
    member = joined(bus, 90)
    for partition in member.source.assignment:
        offsets = [record.offset for record in member.records if record.partition == partition]
        assert offsets == list(range(len(offsets)))


def test_keys_and_headers_arrive_as_they_were_sent(bus: Bus) -> None:
    headers = (("traceparent", b"00-1-2-01"), ("twice", b"1"), ("twice", b"2"), ("none", None))
    bus.publish(1, headers)
    record = joined(bus, 1).records[0]
    assert (record.key, record.value, record.headers) == (b"0", b"0", headers)


def test_records_without_bytes_arrive_like_any_other(bus: Bus) -> None:
    bus.publish_value(None)
    bus.publish_value(b"")
    bus.publish(4)
    member = joined(bus, 6)
    values = [record.value for record in member.records if record.value in {None, b""}]
    assert set(values) == {None, b""}


def test_no_more_records_than_asked_for_arrive_at_once(bus: Bus) -> None:
    bus.publish(30)
    source = bus.member()
    source.subscribe(on_revoke=lambda _: None, on_lost=lambda _: None)
    seen: list[int] = []
    while sum(seen) < 30:
        seen.append(len(source.poll(4, 0.02)))
    assert max(seen) <= 4


def test_metadata_of_a_lone_member_stays_good_for_many_transactions(bus: Bus) -> None:
    bus.publish(3)
    member = joined(bus, 3)
    committer = bus.producer("t")
    for record in member.records:
        committer.commit([], {record.partition: record.next_offset}, member.source.group_metadata())
    assert bus.committed() == 3

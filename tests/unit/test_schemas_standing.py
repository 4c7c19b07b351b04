"""What a display service knows: folded in any order, restored after a restart, silent until it has read everything."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from itertools import permutations
from uuid import UUID

import pytest

from sluice_schemas import Decoded, RegistryDown, SingleObjectFraming, Status, StoredVerdict, Why, encode
from sluice_schemas.headers import Headers
from sluice_schemas.verdict_view import DOUBTED, REVOKED, VerdictView
from sluice_schemas.wire import E
from tests.unit.schemas_strategies import NOON, VERDICT

SHA = sha256(b"image").hexdigest()
ALLOW = replace(VERDICT, image_sha256=SHA)
BLOCK = replace(ALLOW, status=Status.BLOCK, verdict_id=UUID(int=2))
Message = tuple[bytes | None, bytes | None]
SHOWN: Message = (b"i", encode(ALLOW))
HIDDEN: Message = (b"i", encode(BLOCK))
GONE: Message = (b"i", None)
JUNK: Message = (b"i", b"\xc3\x01junk")


def after(*messages: Message) -> VerdictView:
    """Return what stands after these, all of them read."""
    standing = VerdictView()
    standing.aim({0: len(messages)})
    for offset, (key, value) in enumerate(messages):
        standing.fold(key, value)
        standing.reached(0, offset + 1)
    standing.reached(0, len(messages))
    return standing


def why(standing: VerdictView, image_id: str = "i") -> Why:
    return standing.may_show(image_id, SHA, minimum_policy_version=1, now=NOON).reason


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], Why.NO_VERDICT),
        ([SHOWN], Why.ALLOWED),
        ([SHOWN, SHOWN], Why.ALLOWED),
        ([SHOWN, HIDDEN], Why.NOT_ALLOWED),
        ([SHOWN, GONE], Why.REVOKED),
        ([SHOWN, JUNK], Why.UNVERIFIED),
        ([SHOWN, HIDDEN, GONE, JUNK], Why.REVOKED),
        ([SHOWN, (None, None), (None, b"junk")], Why.ALLOWED),
    ],
)
def test_the_order_of_records_does_not_matter(messages: Sequence[Message], reason: Why) -> None:
    assert {why(after(*order)) for order in permutations(messages)} == {reason}


def test_a_verdict_speaks_of_the_image_it_names_whatever_its_key() -> None:
    standing = after((b"other", encode(ALLOW)))
    assert (why(standing), why(standing, "other")) == (Why.ALLOWED, Why.NO_VERDICT)


def test_nothing_is_shown_before_the_end_of_every_partition() -> None:
    standing = after(SHOWN)
    assert why(standing) is Why.ALLOWED
    standing.aim({0: 1, 1: 5})
    standing.reached(1, 4)
    assert why(standing) is Why.NOT_REPLAYED
    standing.reached(1, 5)
    standing.reached(1, 2)  # going back over what is known takes nothing away
    assert why(standing) is Why.ALLOWED


def test_nobody_who_does_not_know_the_end_has_reached_it() -> None:
    standing = VerdictView()
    standing.fold(*SHOWN)
    standing.reached(0, 100)
    assert why(standing) is Why.NOT_REPLAYED


@pytest.mark.parametrize("messages", [[], [SHOWN], [SHOWN, HIDDEN], [SHOWN, GONE], [SHOWN, JUNK], [GONE], [JUNK]])
def test_a_restart_changes_nothing(messages: Sequence[Message]) -> None:
    before, again = after(*messages), VerdictView()
    again.restore(before.all_kept(), before.positions)
    assert why(again) is Why.NOT_REPLAYED
    again.aim(before.positions)
    assert why(again) is why(before)
    assert sorted(again.all_kept(), key=str) == sorted(before.all_kept(), key=str)


def test_what_is_kept_is_the_verdicts_own_bytes_and_what_it_takes_to_check_them() -> None:
    standing = VerdictView()
    headers: Headers = (("ce_id", b"1"), ("sluice-signature", b"s"), ("sluice-key-id", b"k"))
    standing.fold(b"i", encode(ALLOW), headers)
    assert standing.kept("i") == StoredVerdict(b"i", encode(ALLOW), headers[1:])
    standing.fold(*GONE)
    standing.fold(*JUNK)
    assert [name for name, _ in standing.kept("i").headers[2:]] == [REVOKED, DOUBTED]


def test_the_marks_of_a_store_mean_nothing_on_the_topic() -> None:
    standing = after()
    assert standing.fold(b"i", encode(ALLOW), ((REVOKED, b"1"), (DOUBTED, b"1"))).changed
    standing.reached(0, 0)
    assert why(standing) is Why.ALLOWED


def test_a_record_says_what_it_changed_and_why_it_was_refused() -> None:
    standing = VerdictView()
    found = [standing.fold(*message) for message in (SHOWN, SHOWN, HIDDEN, SHOWN, JUNK, JUNK, GONE, (None, None))]
    assert [fold.changed for fold in found] == [True, False, True, False, True, False, True, False]
    assert [fold.refused for fold in found] == [None] * 4 + ["malformed"] * 2 + [None, "no_key"]


def test_a_verdict_expires_earlier_by_what_clocks_may_differ() -> None:
    standing = VerdictView(clock_skew=timedelta(minutes=1))
    standing.aim({0: 0})
    standing.reached(0, 0)
    standing.fold(b"i", encode(replace(ALLOW, expires_at=NOON + timedelta(seconds=61))))
    assert why(standing) is Why.ALLOWED
    late = standing.may_show("i", SHA, minimum_policy_version=1, now=NOON + timedelta(seconds=1))
    assert late.reason is Why.EXPIRED


def followed(ends: dict[int, int], clock: Callable[[], float] = lambda: 0.0) -> VerdictView:
    """Return a store that shows the image, with every partition read to its end."""
    standing = VerdictView(clock=clock)
    standing.fold(*SHOWN)
    for partition, end in ends.items():
        standing.reached(partition, end)
    assert standing.aim(ends) is None
    assert why(standing) is Why.ALLOWED
    return standing


@pytest.mark.parametrize(
    ("ends", "starts", "said"),
    [
        ({0: 5, 1: 7}, {}, "partition 0 ends at 5 and went to 1000"),
        ({0: 0, 1: 0}, {}, "ends at 0"),
        ({0: 999, 1: 7}, {}, "ends at 999"),
        ({0: 1000}, {}, "partition 1 is not there any more"),
        ({0: 2000, 1: 7}, {0: 1001, 1: 0}, "partition 0 was read to 1000 and begins at 1001"),
    ],
)
@pytest.mark.parametrize("stored", [False, True])
def test_positions_that_do_not_fit_the_log_are_those_of_another_and_all_is_forgotten(
    ends: dict[int, int], starts: dict[int, int], said: str, *, stored: bool
) -> None:
    standing = followed({0: 1000, 1: 7})
    if stored:
        kept, positions = list(standing.all_kept()), dict(standing.positions)
        standing = VerdictView()
        standing.restore(kept, positions)
    told = standing.aim(ends, starts)
    assert told is not None
    assert said in told
    assert (why(standing), dict(standing.positions), list(standing.all_kept())) == (Why.NOT_REPLAYED, {}, [])
    for partition, end in ends.items():
        standing.reached(partition, end)
    assert why(standing) is Why.NO_VERDICT


def test_an_end_that_goes_back_is_that_of_another_log_though_nothing_was_read_beyond_it() -> None:
    standing = followed({0: 3})
    assert standing.aim({0: 100}) is None
    assert standing.aim({0: -1}) is None
    told = standing.aim({0: 60})
    assert told is not None
    assert "partition 0 ends at 60 and went to 100" in told
    assert why(standing) is Why.NOT_REPLAYED


def test_records_deleted_after_they_were_read_change_nothing() -> None:
    standing = followed({0: 1000})
    assert standing.aim({0: 1000}, {0: 1000}) is None
    assert why(standing) is Why.ALLOWED


@pytest.mark.parametrize("ends", [{0: 3, 1: 0}, {0: 3, 1: -1001}, {0: 3, 2: 0}, {1: 3}, {0: -1}, {}])
def test_a_partition_that_was_added_left_out_or_is_unknown_is_not_read_to_its_end(ends: dict[int, int]) -> None:
    standing = followed({0: 3})
    standing.aim(ends)
    assert not standing.replayed
    assert why(standing) is Why.NOT_REPLAYED


def test_a_position_in_a_partition_that_nobody_aimed_at_tells_that_there_are_more() -> None:
    standing = followed({0: 3})
    standing.reached(1, 0)
    assert why(standing) is Why.NOT_REPLAYED
    standing.aim({0: 3, 1: 0})
    assert why(standing) is Why.ALLOWED


def test_what_was_stored_is_not_shown_by_ends_that_were_asked_for_before() -> None:
    standing = VerdictView()
    standing.aim({0: 5})
    standing.restore(followed({0: 1000}).all_kept(), {0: 1000})
    assert why(standing) is Why.NOT_REPLAYED


def test_nothing_is_shown_by_what_was_the_end_too_long_ago() -> None:
    """Whether the follower is dead, or its positions stand still, or it is behind for good."""
    now = [0.0]
    dead, stuck, behind, alive = (followed({0: 3}, lambda: now[0]) for _ in range(4))
    for second in range(1, 31):
        now[0] = second
        stuck.aim({0: 4})
        behind.aim({0: 3 + 100 * second})
        behind.reached(0, 3 + 50 * second)
        alive.aim({0: 3 + second})
        shown = [why(standing) is Why.ALLOWED for standing in (dead, stuck, behind, alive)]
        alive.reached(0, 3 + second)
        assert shown == [second <= 10, second <= 10, second <= 20, True], second


def test_a_follower_that_leaves_says_so_and_nothing_is_shown_at_once_until_another_has_caught_up() -> None:
    standing = followed({0: 3})
    standing.aim({})
    assert why(standing) is Why.NOT_REPLAYED
    standing.aim({0: 4})
    assert why(standing) is Why.NOT_REPLAYED
    standing.reached(0, 4)
    assert why(standing) is Why.ALLOWED


class Down(SingleObjectFraming):
    """A framing whose registry gives no answer."""

    def read(self, topic: str, data: bytes | None, headers: object, expected_type: type[E]) -> Decoded[E]:
        del topic, data, headers, expected_type
        raise RegistryDown("no answer")


def test_a_record_that_cannot_be_asked_about_changes_nothing() -> None:
    standing = VerdictView(framing=Down())
    with pytest.raises(RegistryDown):
        standing.fold(*SHOWN)
    assert not list(standing.all_kept())

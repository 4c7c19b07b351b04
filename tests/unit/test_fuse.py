"""The fuse over dead letters."""

import pytest

from sluice.core.errors import TooManyDeadLetters
from sluice.core.records import Partition, Record
from sluice.moderation.values import Judgement
from sluice.stream.fuse import Fuse
from tests.support.outcomes import judged, rejected


def outcomes(pattern: str, partition: int = 0) -> list[Judgement]:
    """`.` for judged, `x` for rejected."""
    records = [Record(Partition("images", partition), offset, 0, None, b"") for offset in range(len(pattern))]
    return [rejected(r) if c == "x" else judged(r) for r, c in zip(records, pattern, strict=True)]


def test_the_share_counts_only_over_a_full_window() -> None:
    fuse = Fuse(max_share=0.3, window=10, max_run=100).after(outcomes("xxxx"))
    assert fuse.share == 1.0
    with pytest.raises(TooManyDeadLetters, match="SLUICE_FUSE__MAX_SHARE"):
        fuse.after(outcomes("......"))


def test_the_share_at_its_limit_holds() -> None:
    assert Fuse(0.3, 10, 100).after(outcomes("xxx.......")).share == pytest.approx(0.3)


def test_the_level_is_the_larger_share_of_a_limit_and_reaches_1_only_when_it_blows() -> None:
    ours = [Partition("images", 0), Partition("images", 1)]
    fuse = Fuse(0.3, 10, 4).after([*outcomes("xxx......."), *outcomes("", 1)])
    assert fuse.level(ours) == 3 / 4
    fuse = Fuse(1.0, 1000, 4).after([*outcomes("xxxx"), *outcomes("xx", 1)])
    assert fuse.level(ours) == 4 / 5
    assert fuse.level(ours[1:]) == 2 / 5, "what another owns is none of ours"


def test_the_window_forgets() -> None:
    fuse = Fuse(0.3, 10, 100).after(outcomes("xxx......."))
    fuse = fuse.after(outcomes("." * 10))
    assert fuse.share == 0.0


def test_a_run_longer_than_the_limit_blows_it_and_names_the_reason() -> None:
    fuse = Fuse(1.0, 1000, 3).after(outcomes("xxx"))
    with pytest.raises(TooManyDeadLetters, match=r"4 dead letters in a row in images/0.*bad.*MAX_RUN"):
        fuse.after(outcomes("x"))


def test_runs_are_counted_per_partition_and_end_with_a_judged_record() -> None:
    fuse = Fuse(1.0, 1000, 3).after(outcomes("xxx", 0)).after(outcomes("xxx", 1))
    fuse = fuse.after(outcomes(".xxx", 0))
    assert fuse.runs == {Partition("images", 0): 3, Partition("images", 1): 3}


def test_an_older_fuse_does_not_change() -> None:
    fuse = Fuse(1.0, 10, 3)
    fuse.after(outcomes("xx"))
    assert fuse.recent == ()
    assert fuse.runs == {}

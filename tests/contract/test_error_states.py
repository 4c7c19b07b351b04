"""What the committer makes of every error of every request of a transaction: `tests.support.error_states` is the table.

librdkafka is native code, and its cluster in memory is, too: where either aborts, the process is gone. So all games are
played in a process of their own, and an abort is one test that fails, with the last words of that process.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from tests.support.error_states import (
    BATCHES,
    CASES,
    LET_GO,
    WORLDS,
    Calm,
    Case,
    LetGo,
    RefusedBetween,
    Unanswered,
    World,
)
from tests.support.games import Game, Table
from tests.support.mock_cluster import Api
from tests.support.trials import ABORTED, COMMITTED, FATAL, FENCED, Attempt

ALONE: list[Game] = [Unanswered(), RefusedBetween(), *LET_GO, Calm()]
Play = Callable[[Game], Sequence[Attempt]]


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    """Play the games of this run."""
    items = [item for item in request.session.items if item.path == request.path]
    chosen = [item.callspec.params.get("game") for item in items if hasattr(item, "callspec")]
    with Table([game for game in chosen if isinstance(game, Case | World)], ALONE) as table:
        yield table


@pytest.fixture(scope="module")
def played(table: Table) -> Play:
    return table.outcome


def holds(attempt: Attempt) -> bool:
    """Tell whether offsets moved with their outputs or not at all, and the loop was told so."""
    outcome = attempt.outcome.strip("!")
    told = attempt.published if outcome == COMMITTED else not (outcome == ABORTED and attempt.published)
    return told and (attempt.complete or not attempt.commits)


@pytest.mark.parametrize("game", CASES, ids=str)
def test_an_error_leads_to_its_outcome(game: Case, played: Play) -> None:
    attempts = played(game)
    assert re.fullmatch(game.pattern, " ".join(attempt.outcome for attempt in attempts))
    assert all(map(holds, attempts)), attempts


@pytest.mark.parametrize("game", [World(seed) for seed in range(WORLDS)], ids=str)
def test_every_batch_is_published_once_or_the_process_leaves(game: World, played: Play) -> None:
    attempts = played(game)
    assert all(map(holds, attempts)), attempts
    committed = [attempt.outcome.strip("!") for attempt in attempts].count(COMMITTED)
    assert committed == BATCHES or attempts[-1].outcome in {FENCED, FATAL}
    assert sum(attempt.published for attempt in attempts) - committed <= (attempts[-1].outcome == FENCED)


def test_a_commit_whose_answer_never_comes_leaves_although_it_happened(played: Play) -> None:
    (attempt,) = played(Unanswered())
    assert attempt.outcome == FENCED
    assert attempt.published
    assert holds(attempt)


def test_a_producer_that_is_refused_between_transactions_leaves_without_a_commit(played: Play) -> None:
    before, after = played(RefusedBetween())
    assert before.outcome == COMMITTED
    assert after.outcome in {FENCED, FATAL}
    assert not after.commits


@pytest.mark.parametrize("game", LET_GO, ids=str)
def test_a_producer_that_is_let_go_of_is_gone(game: LetGo, played: Play) -> None:
    assert played(game)


def test_nothing_goes_wrong_when_nothing_goes_wrong(played: Play) -> None:
    attempts = played(Calm())
    assert [attempt.outcome.strip("!") for attempt in attempts] == [COMMITTED] * BATCHES
    assert all(map(holds, attempts))
    assert [ask.api for attempt in attempts for ask in attempt.asked].count(Api.END_TXN) == BATCHES


def test_librdkafka_does_not_abort_the_process(table: Table) -> None:
    """Last, for it waits for all games."""
    assert not table.deaths(), "\n".join(table.deaths())


@dataclass(frozen=True, slots=True)
class Doomed:
    """A game that ends its process as a failed assertion of native code does."""

    def play(self) -> list[Attempt]:
        """Say why, as an assertion does, and abort."""
        os.write(2, b"doomed.c:1: Assertion failed" + b"\n" * 200)
        os.abort()


def test_an_abort_costs_the_game_that_aborts_and_no_other() -> None:
    with Table([], [Doomed(), Calm()]) as table:
        assert len(table.outcome(Calm())) == BATCHES
        with pytest.raises(AssertionError, match=r"(?s)Assertion failed.*Fatal Python error: Aborted"):
            table.outcome(Doomed())
        assert table.deaths()


def test_the_error_of_a_game_is_told() -> None:
    broken = LetGo(step=None)  # type: ignore[arg-type]
    with Table([], [broken]) as table:
        with pytest.raises(AssertionError, match="AttributeError"):
            table.outcome(broken)
        assert not table.deaths()

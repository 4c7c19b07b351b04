"""Games against native code, played in a process of their own: where that code aborts, the tests go on and say so.

The process reads the games, pickled, and answers when one begins and when it ends. What was begun when it died is
played again, each game in a process for itself: so the game that aborts is told from those beside it.
"""

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock, Thread
from traceback import format_exc
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from tests.support.trials import Attempt

AT_ONCE = 16
TOLD = 10_000  # characters of a dead process's last words: so many of its own, and so many of its traceback
ROOT = Path(__file__).parents[2]


class Game(Protocol):
    """What can be played, pickled, and looked up."""

    def play(self) -> Sequence[Attempt]:
        """Return what came of it."""

    def __hash__(self) -> int: ...


Outcome = Sequence[Attempt] | str | None
"""What came of a game, the traceback of its error, or nothing yet."""


class Table:
    """Games of one run, many side by side and the others after one another; a context manager."""

    def __init__(self, together: Sequence[Game], alone: Sequence[Game]) -> None:
        self._games = (together, alone)
        self._outcomes: dict[Game, Future[Sequence[Attempt]]] = {game: Future() for game in (*together, *alone)}
        self._deaths: list[str] = []
        self._thread = ThreadPoolExecutor(1)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._over = self._thread.submit(self._play)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind and self._process:
            self._process.kill()
        self._thread.shutdown()

    def outcome(self, game: Game) -> Sequence[Attempt]:
        """Wait for what comes of a game; raises AssertionError with its error, or its process's last words."""
        return self._outcomes[game].result()

    def deaths(self) -> list[str]:
        """Wait for all games; return how each process ended that did not end well, with its last words."""
        self._over.result()
        return self._deaths

    def _play(self) -> None:
        try:
            self._play_all()
        finally:
            for game in self._left([*self._outcomes]):
                self._outcomes[game].set_exception(AssertionError("\n".join(self._deaths) or "never played"))

    def _play_all(self) -> None:
        suspects = self._sitting(*self._games)
        while suspects:
            together, alone = ([game for game in games if game not in suspects] for games in self._games)
            more = self._sitting(self._left(together), self._left(alone))
            if not more:
                break
            suspects += more
        for game in suspects:
            self._sitting([], [game])

    def _left(self, games: Sequence[Game]) -> list[Game]:
        return [game for game in games if not self._outcomes[game].done()]

    def _sitting(self, together: Sequence[Game], alone: Sequence[Game]) -> list[Game]:
        """Play in one process; return what it had begun when it died."""
        games, begun = [*together, *alone], list[Game]()
        if not games:
            return begun
        command = (sys.executable, "-X", "faulthandler", "-m", "tests.support.games")
        with tempfile.TemporaryFile() as words:
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words
            )
            with self._process as process:
                for index, outcome in _asked(process, (together, alone)):
                    self._note(games[index], outcome, begun)
            if process.returncode:
                words.seek(0)
                own, mark, trace = words.read().decode(errors="replace").partition("Fatal Python error")
                said = own[-TOLD:] + mark + trace[:TOLD]  # a failed assertion is told before the traceback
                self._deaths.append(f"a process of games ended with {process.returncode}: {said}")
        return begun

    def _note(self, game: Game, outcome: Outcome, begun: list[Game]) -> None:
        if outcome is None:
            begun.append(game)
            return
        begun.remove(game)
        if isinstance(outcome, str):
            self._outcomes[game].set_exception(AssertionError(outcome))
        else:
            self._outcomes[game].set_result(outcome)


def _asked(process: subprocess.Popen[bytes], games: tuple[Sequence[Game], ...]) -> Iterator[tuple[int, Outcome]]:
    assert process.stdin
    assert process.stdout
    pickle.dump(games, process.stdin)
    process.stdin.flush()  # it stays open: its end tells the process that nobody listens any more
    while True:
        try:
            yield pickle.load(process.stdout)  # noqa: S301  from our own process
        except EOFError:
            return


class _Player:
    """Plays and tells, in the process of the games."""

    def __init__(self, told: BinaryIO) -> None:
        self._told = told
        self._lock = Lock()

    def play(self, index: int, game: Game) -> None:
        self._tell(index, None)
        try:
            outcome: Outcome = game.play()
        except Exception:  # noqa: BLE001  whatever it is, its test shows it
            outcome = format_exc()
        self._tell(index, outcome)

    def _tell(self, index: int, outcome: Outcome) -> None:
        with self._lock:
            pickle.dump((index, outcome), self._told)
            self._told.flush()


def main() -> None:
    """Play what stdin holds; leave without an end of the interpreter, for producers that hang are still there."""
    together, alone = pickle.load(sys.stdin.buffer)  # noqa: S301  from our own process
    Thread(target=_leave_when_nobody_listens, daemon=True).start()
    player = _Player(sys.stdout.buffer)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(player.play, range(len(together)), together))
    for index, game in enumerate(alone, len(together)):
        player.play(index, game)
    os._exit(0)


def _leave_when_nobody_listens() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()

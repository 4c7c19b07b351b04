"""What is true of each event that was sent, kept aside for the observer as JSON lines."""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TextIO

from sluice_sim.picture_pool import Relation
from sluice_sim.pictures import Spoiling


class Place(NamedTuple):
    """Where a record stands: the identity every count goes by."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Truth:
    """What the simulator knows of one event. `unsafe` and `matching` are None where the question makes no sense."""

    number: int
    image_id: str
    generator: str
    arm: str | None = None
    carried: Literal["inline", "file", "http"] = "inline"
    sha256: str | None = None
    unsafe: bool | None = None
    matching: bool | None = None
    degraded: Spoiling | None = None
    relation: Relation = "original"
    of_image_id: str | None = None
    regressed: bool = False
    fault: str | None = None
    readable: bool = True
    """Whether the record's image id can be read, so that its verdict must carry it."""

    @property
    def judgeable(self) -> bool:
        """Whether a verdict other than INDETERMINATE is due."""
        return self.fault is None


@dataclass(frozen=True, slots=True)
class Sent:
    """A truth and the place the broker gave its record; `timestamp_ms` is the record's, milliseconds since 1970."""

    place: Place
    timestamp_ms: int
    truth: Truth


class TruthWriter:
    """Writes one line for each record the broker acknowledged, and a last one that says how many there are."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._written = 0

    def __call__(self, sent: Sent) -> None:
        """Write one record's line."""
        line = {**sent.place._asdict(), "timestamp_ms": sent.timestamp_ms, "truth": asdict(sent.truth)}
        self._line(line)
        self._written += 1

    def end(self) -> None:
        """Say that nothing follows."""
        self._line({"sent": self._written})

    def _line(self, values: dict[str, Any]) -> None:
        self._file.write(json.dumps(values, separators=(",", ":")) + "\n")
        self._file.flush()


class Inbox:
    """Hands truths from the thread that sends to the one that observes."""

    def __init__(self) -> None:
        self._waiting: deque[Sent] = deque()

    def put(self, sent: Sent) -> None:
        """Leave one for the observer; safe from any thread."""
        self._waiting.append(sent)

    def __call__(self) -> Iterator[Sent]:
        """Yield what was put in since the last call."""
        while self._waiting:
            yield self._waiting.popleft()


class TruthReader:
    """Follows a file that `TruthWriter` is still writing; the file need not exist yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = 0
        self.complete = False
        """Whether the writer has said that nothing follows."""

    def __call__(self) -> Iterator[Sent]:
        """Yield the records written since the last call; a line that is still being written waits for the next."""
        if self.complete or not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read_bytes)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read_bytes += len(line)
                values = json.loads(line)
                if "sent" in values:
                    self.complete = True
                    return
                yield _sent(values)


def _sent(values: dict[str, Any]) -> Sent:
    place = Place(values["topic"], values["partition"], values["offset"])
    return Sent(place, values["timestamp_ms"], Truth(**values["truth"]))

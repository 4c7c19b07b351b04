"""The simulator as a source that keeps a bounded backlog, so that no broker is flooded and work never runs out."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from threading import Event
from types import TracebackType
from typing import Any, Self

from PIL import Image as Pillow

from sluice_schemas import ImageGenerated
from sluice_schemas.wire import decode, encode
from sluice_sim.options import Options
from sluice_sim.sender import Delivery, send
from sluice_sim.stream import Emission, Shelf, Stream
from sluice_sim.truth import Inbox, Sent
from tests.chaos.stage import Stage

LOOK_EVERY_S = 0.02


class Feed:
    """Sends in a thread of its own, each event by its number when it may go, until there are enough.

    Leaving the block stops it. `sent` holds what the broker acknowledged, `ends` the next offset of each partition,
    `inbox` hands all on.
    """

    def __init__(
        self,
        stage: Stage,
        emissions: Iterable[Emission],
        *,
        may_go: Callable[[int], bool],
        enough: Callable[[int], bool],
    ) -> None:
        self.inbox = Inbox()
        self.sent: list[Sent] = []
        self.ends: dict[int, int] = {}
        self._stop = Event()
        gate = _Turnstile(may_go)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._sending = self._thread.submit(
            send,
            emissions,
            Delivery(stage.broker, stage.topics.images),
            on_sent=self._note,
            stop=lambda: self._stop.is_set() or enough(gate.passed),
            gate=gate,
        )

    @property
    def over(self) -> bool:
        """Whether all is sent; raises what ended the sender before."""
        return self._sending.done() and self._sending.result() >= 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Send no more, and wait until what was sent is acknowledged."""
        self._stop.set()
        self._thread.shutdown()

    def _note(self, sent: Sent) -> None:
        self.sent.append(sent)
        self.ends[sent.place.partition] = sent.place.offset + 1
        self.inbox.put(sent)


@dataclass(slots=True)
class _Turnstile:
    """Lets each event through by its number."""

    may_go: Callable[[int], bool]
    passed: int = 0

    def due_in_s(self) -> float:
        """Return when to ask again, or that it may go."""
        return 0.0 if self.may_go(self.passed) else LOOK_EVERY_S

    def take(self) -> None:
        """Count it."""
        self.passed += 1


def deck(options: Options, *, poison: int = 0, shelf: Shelf | None = None) -> tuple[Emission, ...]:
    """Draw all events of these options ahead, so that sending costs a trial next to nothing.

    `poison` of them kill whoever decodes their picture. Without a shelf every picture goes inline.
    """
    drawn = list(small(Stream(options, now=now, shelf=shelf)))
    sound = [number for number, emission in enumerate(drawn) if is_sound(emission)]
    for number in range(poison):
        place = sound[(2 * number + 1) * len(sound) // (2 * poison)]
        drawn[place] = _poisoned(drawn[place], number)
    return tuple(drawn)


def is_sound(emission: Emission) -> bool:
    """Tell whether it carries a picture that can be judged."""
    return not emission.truth.fault and emission.truth.carried == "inline"


def now() -> datetime:
    """Return the time, as the simulator's stream wants it."""
    return datetime.now(UTC)


def small(emissions: Iterable[Emission], edge_px: int = 96) -> Iterator[Emission]:
    """Shrink the pictures of sound inline events: what is on trial is the road, not the decoders' speed."""
    shrunk: dict[str, bytes] = {}
    for emission in emissions:
        if not is_sound(emission):
            yield emission
            continue
        original = _picture(emission)
        digest = sha256(original).hexdigest()
        data = shrunk.get(digest) or shrunk.setdefault(digest, _shrunk(original, edge_px))
        yield _showing(emission, data, mime="image/jpeg", width=None, height=None)


def _poisoned(emission: Emission, number: int) -> Emission:
    """Put a comment into a JPEG, where every decoder but one skips it."""
    data, text = _picture(emission), f"poison {number}".encode()
    comment = b"\xff\xfe" + (len(text) + 2).to_bytes(2) + text
    poisoned = _showing(emission, data[:2] + comment + data[2:])
    return replace(poisoned, truth=replace(poisoned.truth, fault="poison", readable=False))


def _picture(emission: Emission) -> bytes:
    data = decode(emission.value, ImageGenerated).image.bytes
    assert data
    return data


def _showing(emission: Emission, data: bytes, **changes: Any) -> Emission:
    """Return the event with another picture."""
    event, digest = decode(emission.value, ImageGenerated), sha256(data).hexdigest()
    image = replace(event.image, bytes=data, sha256=digest, **changes)
    return replace(emission, value=encode(replace(event, image=image)), truth=replace(emission.truth, sha256=digest))


def _shrunk(data: bytes, edge_px: int) -> bytes:
    with Pillow.open(BytesIO(data)) as image:
        image.thumbnail((edge_px, edge_px))
        out = BytesIO()
        image.convert("RGB").save(out, "JPEG", quality=85)
    return out.getvalue()

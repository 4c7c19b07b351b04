"""The stream: seeded events with the truth about each, sound ones and hostile ones, without end if asked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from random import Random
from typing import Final, Literal, Protocol, TypeAlias

from sluice_schemas import Audience, Image, ImageGenerated
from sluice_schemas.headers import CloudEvent, Headers, Trace
from sluice_schemas.wire import encode
from sluice_sim.faults import Fault, faults
from sluice_sim.options import Options
from sluice_sim.picture_pool import Picture, PicturePool
from sluice_sim.sampling import EventSpec, Sampler
from sluice_sim.truth import Truth

Now: TypeAlias = Callable[[], datetime]

_SAMPLED: Final = 0.05


class Shelf(Protocol):
    """Where pictures lie that events only refer to."""

    def put(self, name: str, data: bytes) -> None:
        """Make the bytes available under the name."""

    def uri(self, name: str, scheme: Literal["file", "http"]) -> str:
        """Return the address of the name, whether or not it was put there."""


@dataclass(frozen=True, slots=True)
class Emission:
    """One record to send and what is true of it. A None `value` is a tombstone."""

    key: bytes
    value: bytes | None
    headers: Headers
    truth: Truth


class Stream:
    """Iterate to get `Emission`s. The same options give the same ones, `created_at` apart, which `now` tells.

    Without a shelf every picture goes inline.
    """

    def __init__(self, options: Options, *, now: Now, shelf: Shelf | None = None) -> None:
        self._options = options
        self._now = now
        self._shelf = shelf
        self._lots = Sampler(options)
        self._album = PicturePool(options.seed, keep=options.pictures > 0)

    def __iter__(self) -> Iterator[Emission]:
        deck = _dealt(self._options, self._shelf)
        for number in count() if self._options.events is None else range(self._options.events):
            rng = Random(f"{self._options.seed}/event/{number}")
            lot = self._lots.draw(number, rng)
            photo = self._album.photo(lot.page)
            event = self._event(lot, photo, rng)
            value, truth = _spoiled(lot, event, next(deck)) if lot.hostile else self._sound(lot, event, photo)
            yield Emission(lot.image_id.encode(), value, _headers(event, rng), truth)

    def _event(self, lot: EventSpec, photo: Picture, rng: Random) -> ImageGenerated:
        """Make the event with its picture inline."""
        prompt = self._album.other_prompt(photo, rng) if lot.wording == "mismatching" else photo.prompt
        return ImageGenerated(
            image_id=lot.image_id,
            tenant_id=rng.choice(("acme", "globex", None)),
            request_id=f"req-{rng.getrandbits(48):012x}",
            created_at=self._now(),
            image=Image(bytes=photo.data, sha256=photo.sha256, mime=photo.mime, width=photo.width, height=photo.height),
            prompt=None if lot.wording == "none" else prompt,
            language="en",
            generator=lot.generator,
            parent_image_id=lot.of_image_id if lot.page.relation == "near_duplicate" else None,
            audience=Audience(rng.choice(("DE", "FR", "US", "JP")), rng.choice(("adult", "teen")), "feed"),
            experiment=lot.experiment,
        )

    def _sound(self, lot: EventSpec, event: ImageGenerated, photo: Picture) -> tuple[bytes, Truth]:
        truth = replace(
            _truth(lot),
            sha256=photo.sha256,
            unsafe=lot.page.unsafe,
            matching=None if lot.wording == "none" else lot.wording == "matching",
            degraded=lot.page.spoiling,
            relation=lot.page.relation,
            of_image_id=lot.of_image_id,
        )
        if self._shelf and lot.carried != "inline":
            self._shelf.put(photo.name, photo.data)
            uri = self._shelf.uri(photo.name, lot.carried)
            event = replace(event, image=replace(event.image, bytes=None, uri=uri))
            truth = replace(truth, carried=lot.carried)
        return encode(event), truth


def _spoiled(lot: EventSpec, event: ImageGenerated, fault: Fault) -> tuple[bytes | None, Truth]:
    return fault.spoil(event), replace(_truth(lot), fault=fault.name, readable=fault.readable)


def _headers(event: ImageGenerated, rng: Random) -> Headers:
    """Make CloudEvents headers and a trace context of its own for each event, one in twenty of them sampled."""
    sampled = rng.random() < _SAMPLED
    trace = Trace(traceparent=f"00-{rng.getrandbits(128):032x}-{rng.getrandbits(64):016x}-{sampled:02x}")
    return CloudEvent.of(event, source=f"/generators/{event.generator.model_id}", trace=trace).headers()


def _truth(lot: EventSpec) -> Truth:
    return Truth(
        number=lot.number,
        image_id=lot.image_id,
        generator=f"{lot.generator.model_id}@{lot.generator.model_version}",
        arm=lot.experiment.arm if lot.experiment else None,
        regressed=lot.regressed,
    )


def _dealt(options: Options, shelf: Shelf | None) -> Iterator[Fault]:
    """Deal the faults like cards: shuffled, every one before any comes again."""
    rng = Random(f"{options.seed}/faults")
    missing = shelf.uri("0" * 64 + ".png", "http") if shelf else None
    deck = faults(max_inline_bytes=options.max_inline_bytes, missing_uri=missing)
    while True:
        yield from rng.sample(deck, len(deck))

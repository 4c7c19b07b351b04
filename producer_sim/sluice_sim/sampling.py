"""Drawing lots: what one event is going to be, decided before anything is drawn or encoded."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Final, Literal, TypeAlias, TypeVar
from uuid import UUID

from sluice_schemas import Experiment, Generator
from sluice_sim.options import GENERATORS, Options, Shares
from sluice_sim.picture_pool import PictureSpec, Relation
from sluice_sim.pictures import Spoiling

Carried: TypeAlias = Literal["inline", "file", "http"]
Wording: TypeAlias = Literal["matching", "mismatching", "none"]
Name = TypeVar("Name", bound=str | None)

_RECENT: Final = 64  # events that a repeated prompt or a near duplicate may refer back to
_FEWEST: Final = 4  # pictures of each kind, however rare it is


@dataclass(frozen=True, slots=True)
class EventSpec:
    """One event before it is made. `of_image_id` names the recent event whose prompt it shares."""

    number: int
    image_id: str
    generator: Generator
    experiment: Experiment | None
    regressed: bool
    hostile: bool
    page: PictureSpec
    of_image_id: str | None
    wording: Wording
    carried: Carried


class Sampler:
    """Draws the lot of each event number in turn; the same options give the same lots."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._recent: deque[EventSpec] = deque(maxlen=_RECENT)

    def draw(self, number: int, rng: Random) -> EventSpec:
        """Decide what event `number` is."""
        generator = rng.choices([each for _, each in GENERATORS], [weight for weight, _ in GENERATORS])[0]
        shares, regressed = self._shares(number, generator)
        hostile = rng.random() < shares.hostile
        page, of_image_id = self._page(number, rng, shares)
        lot = EventSpec(
            number=number,
            image_id=str(UUID(int=rng.getrandbits(128), version=4)),
            generator=replace(generator, seed=rng.getrandbits(32)),
            experiment=_experiment(rng) if generator.model_id == "aurora" else None,
            regressed=regressed,
            hostile=hostile,
            page=page,
            of_image_id=of_image_id,
            wording=_one_of(rng, {"mismatching": shares.mismatch, "none": shares.no_prompt}, "matching"),
            carried=_one_of(rng, {"file": shares.by_file, "http": shares.by_http}, "inline"),
        )
        if page.relation == "original" and not (hostile or page.spoiling):
            self._recent.append(lot)
        return lot

    def _shares(self, number: int, generator: Generator) -> tuple[Shares, bool]:
        worse, usual = self._options.regression, self._options.shares
        if worse is None or not worse.hits(number, generator):
            return usual, False
        return replace(
            usual, unsafe=worse.unsafe, mismatch=worse.mismatch, blur=worse.blur, noise=0, overexposed=0
        ), True

    def _page(self, number: int, rng: Random, shares: Shares) -> tuple[PictureSpec, str | None]:
        fresh = PictureSpec(
            index=number,
            unsafe=rng.random() < shares.unsafe,
            wide=rng.random() < shares.wide,
            spoiling=_one_of(rng, _spoilings(shares), None),
        )
        if pool := self._options.pictures:
            fresh = replace(fresh, index=rng.randrange(max(_FEWEST, round(pool * _share(fresh, self._options.shares)))))
        relations: dict[Relation, float] = {
            "repeated_prompt": shares.repeated_prompt,
            "near_duplicate": shares.near_duplicate,
        }
        relation = _one_of(rng, relations, "original")
        if relation == "original" or not self._recent:
            return fresh, None
        origin = rng.choice(self._recent)
        return replace(origin.page, relation=relation), origin.image_id


def _spoilings(shares: Shares) -> dict[Spoiling | None, float]:
    return {"blur": shares.blur, "noise": shares.noise, "overexposed": shares.overexposed}


def _share(page: PictureSpec, shares: Shares) -> float:
    """Return the share of all events whose page is of this one's kind."""
    spoilings = _spoilings(shares)
    unsafe = shares.unsafe if page.unsafe else 1 - shares.unsafe
    wide = shares.wide if page.wide else 1 - shares.wide
    return unsafe * wide * (spoilings[page.spoiling] if page.spoiling else 1 - sum(spoilings.values()))


def _experiment(rng: Random) -> Experiment:
    return Experiment("sampler-steps", rng.choice(("control", "treatment")), f"user-{rng.randrange(5000):04d}")


def _one_of(rng: Random, shares: Mapping[Name, float], otherwise: Name) -> Name:
    """Pick one of the names by its share, or `otherwise` for what the shares leave."""
    point = rng.random()
    for name, share in shares.items():
        point -= share
        if point < 0:
            return name
    return otherwise

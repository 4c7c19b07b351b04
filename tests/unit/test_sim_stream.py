"""The stream is a function of its seed, and its shares are those that were asked for."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from random import Random
from typing import Literal

import pytest

from sluice_schemas import ImageGenerated
from sluice_schemas.wire import decode
from sluice_sim.options import Options, Regression, Shares
from sluice_sim.picture_pool import PicturePool, PictureSpec
from sluice_sim.pictures import Spoiling
from sluice_sim.stream import Emission, Stream
from sluice_sim.truth import Truth

CALM = Shares(**dict.fromkeys(Shares.__dataclass_fields__, 0.0))
SMALL = Options(seed=7, events=60, pictures=10)


def _now() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


class Folder:
    """A shelf in memory."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def put(self, name: str, data: bytes) -> None:
        self.held[name] = data

    def uri(self, name: str, scheme: Literal["file", "http"]) -> str:
        return f"{scheme}:{name}"


def _emissions(options: Options, folder: Folder | None = None) -> list[Emission]:
    return list(Stream(options, now=_now, shelf=folder))


def _truths(options: Options) -> Iterator[Truth]:
    return (emission.truth for emission in _emissions(options))


def _shares(**shares: float) -> Options:
    return replace(SMALL, shares=replace(CALM, **shares))


def _event(emission: Emission) -> ImageGenerated:
    return decode(emission.value, ImageGenerated)


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert _emissions(SMALL) == _emissions(SMALL)


def test_another_seed_gives_other_images() -> None:
    ids = {truth.image_id for truth in _truths(SMALL)}
    assert not ids & {truth.image_id for truth in _truths(replace(SMALL, seed=8))}


def test_image_ids_are_unique_and_are_the_keys() -> None:
    emissions = _emissions(SMALL)
    assert len({emission.key for emission in emissions}) == len(emissions)
    assert all(emission.key == emission.truth.image_id.encode() for emission in emissions)


def test_a_stream_without_a_count_does_not_end() -> None:
    endless = Stream(replace(SMALL, events=None), now=_now)
    assert len(list(islice(endless, 70))) == 70


def test_a_calm_stream_is_sound_safe_and_matching() -> None:
    for emission in _emissions(_shares()):
        truth = emission.truth
        assert (truth.fault, truth.unsafe, truth.matching, truth.degraded) == (None, False, True, None)
        assert _event(emission).image.sha256 == truth.sha256


@pytest.mark.parametrize(
    ("name", "reached"),
    [
        ("unsafe", lambda truth: truth.unsafe),
        ("mismatch", lambda truth: truth.matching is False),
        ("no_prompt", lambda truth: truth.matching is None),
        ("hostile", lambda truth: truth.fault is not None),
        ("blur", lambda truth: truth.degraded == "blur"),
        ("noise", lambda truth: truth.degraded == "noise"),
        ("overexposed", lambda truth: truth.degraded == "overexposed"),
    ],
)
def test_a_share_of_one_reaches_every_event(name: str, reached: Callable[[Truth], bool]) -> None:
    options = replace(_shares(**{name: 1.0}), events=8)
    assert all(reached(truth) for truth in _truths(options))


def test_shares_are_met_within_four_standard_deviations() -> None:
    options = replace(_shares(unsafe=0.2, mismatch=0.3), events=1000, pictures=4)
    truths = list(_truths(options))
    assert abs(sum(bool(truth.unsafe) for truth in truths) - 200) < 4 * (1000 * 0.2 * 0.8) ** 0.5
    assert abs(sum(truth.matching is False for truth in truths) - 300) < 4 * (1000 * 0.3 * 0.7) ** 0.5


def test_wide_pictures_are_wide() -> None:
    image = _event(_emissions(_shares(wide=1.0))[0]).image
    assert (image.width or 0) / (image.height or 1) > 1.5


def test_every_fault_comes_before_any_comes_again() -> None:
    faults = [truth.fault for truth in _truths(_shares(hostile=1.0))]
    kinds = len(set(faults))
    assert kinds > 25
    assert len(set(faults[:kinds])) == kinds


def test_a_mismatching_prompt_is_not_the_pictures_own() -> None:
    own = {_event(emission).prompt for emission in _emissions(_shares())}
    assert all(_event(emission).prompt not in own for emission in _emissions(_shares(mismatch=1.0)))


def test_a_mismatching_prompt_names_no_shape_in_a_colour_of_the_picture() -> None:
    album = PicturePool(1)
    photo = album.photo(PictureSpec(0))
    things = [f"{thing.colour} {thing.shape}" for thing in photo.scene.things]
    prompts = [album.other_prompt(photo, Random(seed)) for seed in range(400)]
    assert not [prompt for prompt in prompts for thing in things if thing in prompt]


def test_only_sound_and_clean_events_have_relatives() -> None:
    truths = {truth.image_id: truth for truth in _truths(_shares(near_duplicate=0.5, hostile=0.3, blur=0.3))}
    origins = [truths[truth.of_image_id] for truth in truths.values() if truth.of_image_id]
    assert origins
    assert {(origin.fault, origin.degraded) for origin in origins} == {(None, None)}


def test_a_repeated_prompt_is_that_of_an_earlier_event_with_another_picture() -> None:
    _relatives("repeated_prompt")


def test_a_near_duplicate_is_another_file_under_the_same_prompt() -> None:
    _relatives("near_duplicate")


def _relatives(relation: str) -> None:
    emissions = _emissions(_shares(**{relation: 0.5}))
    events = {emission.truth.image_id: _event(emission) for emission in emissions}
    related = [emission.truth for emission in emissions if emission.truth.relation == relation]
    assert related
    for truth in related:
        assert truth.of_image_id is not None
        event, earlier = events[truth.image_id], events[truth.of_image_id]
        assert event.prompt == earlier.prompt
        assert event.image.sha256 != earlier.image.sha256


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_what_an_event_refers_to_lies_on_the_shelf(scheme: str) -> None:
    folder = Folder()
    for emission in _emissions(_shares(**{f"by_{scheme}": 1.0}), folder):
        image = _event(emission).image
        assert emission.truth.carried == scheme
        assert image.bytes is None
        assert (image.uri or "").removeprefix(f"{scheme}:") in folder.held


def test_without_a_shelf_every_picture_is_inline() -> None:
    assert all(truth.carried == "inline" for truth in _truths(_shares(by_http=0.5, by_file=0.5)))


def test_pictures_fit_into_a_message_even_when_noisy() -> None:
    assert max(len(emission.value or b"") for emission in _emissions(_shares(noise=1.0))) < 700_000


def test_a_regression_worsens_one_version_from_its_event_on() -> None:
    worse = Regression(from_event=30, unsafe=1.0, mismatch=1.0, blur=1.0)
    for truth in _truths(replace(_shares(), regression=worse)):
        hit = truth.number >= 30 and truth.generator == "aurora@1.5"
        assert (truth.regressed, truth.unsafe, truth.matching) == (hit, hit, not hit)
        assert truth.degraded == ("blur" if hit else None)


def test_a_regression_leaves_the_other_events_as_they_were() -> None:
    worse = replace(SMALL, regression=Regression(from_event=0))
    before = {truth.number: truth for truth in _truths(SMALL)}
    same = [truth for truth in _truths(worse) if not truth.regressed]
    assert [truth.image_id for truth in same] == [before[truth.number].image_id for truth in same]


def test_the_pool_bounds_how_many_pictures_are_drawn() -> None:
    hashes = {truth.sha256 for truth in _truths(_shares())}
    assert len(hashes) <= 10


def test_without_a_pool_every_event_has_its_own_picture() -> None:
    options = replace(_shares(), pictures=0, events=20)
    assert len({truth.sha256 for truth in _truths(options)}) == 20


@pytest.mark.parametrize("spoiling", ["blur", "noise", "overexposed"])
def test_a_spoiled_picture_is_another_file_than_the_clean_one(spoiling: Spoiling) -> None:
    album = PicturePool(1)
    assert album.photo(PictureSpec(0, spoiling=spoiling)).sha256 != album.photo(PictureSpec(0)).sha256


def test_a_photo_does_not_depend_on_what_was_drawn_before() -> None:
    busy = PicturePool(1)
    busy.photo(PictureSpec(4))
    assert busy.photo(PictureSpec(5)) == PicturePool(1).photo(PictureSpec(5))


@pytest.mark.parametrize("shares", [{"unsafe": 1.1}, {"hostile": -0.1}, {"by_file": 0.6, "by_http": 0.6}])
def test_impossible_shares_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="share"):
        Shares(**shares)

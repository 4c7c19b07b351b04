"""Scenes, their pictures and their prompts: the same seed gives the same world, and the words tell the truth."""

from dataclasses import replace
from io import BytesIO
from itertools import combinations
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sluice_sim.glyphs import FAMILIES, GLYPHS
from sluice_sim.pictures import FORMATS, SPOILINGS, Format, Spoiling, degrade, encode
from sluice_sim.prompts import prompt
from sluice_sim.scenes import PLACES, SHAPES, Hazard, Scene, Thing, draw, near_duplicate, sample


def scenes(count: int, *, unsafe: bool = False, wide: bool = False) -> list[Scene]:
    rng = Random(11)
    return [sample(rng, unsafe=unsafe, wide=wide) for _ in range(count)]


def grey(image: Image.Image) -> NDArray[np.float32]:
    """Shrink to the size at which a tower still tells things apart."""
    return np.asarray(image.convert("L").resize((56, 56)), np.float32)


def alone(mark: str) -> Image.Image:
    """Draw one shape or glyph in black on white, 160 px wide in a 224 px picture."""
    scene = replace(scenes(1)[0], aspect=1.0, background="white", texture="plain", things=(), grain=0)
    if mark in SHAPES:
        thing = Thing(mark, "black", "large", "centre", x=0.5, y=0.5, radius=0.36, turn_deg=0)
        return draw(replace(scene, things=(thing,)), 224)
    hazard = Hazard(mark, (15, 15, 15), x=0.5, y=0.5, radius=0.36, turn_deg=0)
    return draw(replace(scene, hazard=hazard), 224)


def test_a_seed_gives_the_same_scenes_pixels_and_words() -> None:
    for first, second in zip(scenes(20, unsafe=True), scenes(20, unsafe=True), strict=True):
        assert first == second
        assert prompt(first) == prompt(second)
        assert draw(first, 128).tobytes() == draw(second, 128).tobytes()


def test_another_seed_gives_other_scenes() -> None:
    assert sample(Random(1)) != sample(Random(2))


def test_pictures_are_512_to_1024_px_and_nearly_square() -> None:
    for scene in scenes(40):
        assert 512 <= scene.size_px <= 1024
        assert 1 / 1.151 <= scene.aspect <= 1.151
    scene = replace(scenes(1)[0], size_px=640, aspect=1.1)
    assert draw(scene).size == (704, 640)
    assert draw(replace(scene, aspect=1 / 1.1)).size == (640, 704)
    assert draw(scene, 100).size == (110, 100)


def test_wide_scenes_are_wide() -> None:
    assert all(1.6 <= scene.aspect <= 2.4 for scene in scenes(20, wide=True))


def test_only_unsafe_scenes_hold_a_glyph() -> None:
    assert not any(scene.unsafe or scene.hazard for scene in scenes(40))
    assert all(scene.unsafe and scene.hazard for scene in scenes(40, unsafe=True))


def test_the_glyph_changes_the_picture_but_not_the_prompt() -> None:
    for scene in scenes(10, unsafe=True):
        harmless = replace(scene, hazard=None)
        assert np.abs(grey(draw(scene, 224)) - grey(draw(harmless, 224))).max() > 60
        assert prompt(scene) == prompt(harmless)


def test_the_prompt_names_everything_that_is_drawn_and_nothing_else() -> None:
    for scene in scenes(60):
        words = prompt(scene)
        assert f"{scene.texture} {scene.background}" in words
        for thing in scene.things:
            assert f"{thing.colour} {thing.shape}" in words
            assert thing.place.replace("centre", "") in words
        named = sum(words.split().count(shape) + words.split().count(f"{shape},") for shape in SHAPES)
        assert named == len(scene.things)


def test_things_stand_where_they_are_said_to_stand() -> None:
    for scene in scenes(60):
        for thing in scene.things:
            x, y = PLACES[thing.place]
            assert abs(thing.x - x) <= 0.03
            assert abs(thing.y - y) <= 0.03


def test_a_prompt_has_many_wordings() -> None:
    scene = scenes(1)[0]
    assert len({prompt(replace(scene, wording=i)) for i in range(40)}) > 8


def test_a_near_duplicate_has_the_same_prompt_and_almost_the_same_pixels() -> None:
    for scene in scenes(10, unsafe=True):
        other = near_duplicate(scene, Random(3))
        assert other != scene
        assert prompt(other) == prompt(scene)
        difference = np.abs(grey(draw(scene, 224)) - grey(draw(other, 224)))
        assert 0 < difference.mean() < 6


def test_there_are_seventeen_glyphs_in_three_families() -> None:
    assert len(GLYPHS) == 17
    assert [name for family in FAMILIES for name in family] == list(GLYPHS)


@pytest.mark.parametrize("glyph", GLYPHS)
def test_a_glyph_looks_like_no_shape(glyph: str) -> None:
    for shape in SHAPES:
        assert np.abs(grey(alone(glyph)) - grey(alone(shape))).mean() > 15, shape


def test_no_two_glyphs_look_alike() -> None:
    drawn = {glyph: grey(alone(glyph)) for glyph in GLYPHS}
    for one, other in combinations(GLYPHS, 2):
        assert np.abs(drawn[one] - drawn[other]).mean() > 15, (one, other)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_decodes_to_its_picture_and_is_repeatable(format: Format) -> None:  # noqa: A002
    image = draw(scenes(1)[0])
    data = encode(image, format)
    assert data == encode(image, format)
    with Image.open(BytesIO(data)) as decoded:
        assert decoded.format == format
        assert np.abs(grey(decoded.convert("RGB")) - grey(image)).mean() < 3


@pytest.mark.parametrize("kind", SPOILINGS)
def test_spoiling_keeps_the_size_and_repeats_with_its_seed(kind: Spoiling) -> None:
    image = draw(scenes(1)[0])
    spoiled = degrade(image, kind, Random(1))
    assert spoiled.size == image.size
    assert spoiled.tobytes() != image.tobytes()
    assert spoiled.tobytes() == degrade(image, kind, Random(1)).tobytes()


def test_spoilings_do_what_their_names_say() -> None:
    scene = scenes(1)[0]
    image = draw(replace(scene, background="grey", texture="striped"))

    def roughness(picture: Image.Image) -> float:
        return float(np.abs(np.diff(np.asarray(picture.convert("L"), np.float32), axis=0)).mean())

    def brightness(picture: Image.Image) -> float:
        return float(np.asarray(picture).mean())

    assert roughness(degrade(image, "blur", Random(1))) < roughness(image)
    assert roughness(degrade(image, "noise", Random(1))) > 5 * roughness(image)
    assert brightness(degrade(image, "overexposed", Random(1))) > 1.2 * brightness(image)

"""Lessons tell the truth about their scenes, and the road from drawing to a graded bundle is whole."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from sluice_sim.glyphs import FAMILIES, GLYPHS
from sluice_sim.pictures import encode
from sluice_sim.scenes import BACKGROUNDS, SHAPES, draw
from sluice_sim.train import Course, Plan, settle, train
from sluice_sim.training.grades import GALLERY
from sluice_sim.training.lessons import KINDS, QUESTIONS, answers, cache, covers, hazards, held_out_scene, train_scene
from sluice_sim.training.sight import see
from sluice_sim.training.towers import Student, config

PLAN = Plan(seed=3, pictures=192, held_out=2 * GALLERY, steps=2, minutes=5)


def test_training_never_sees_a_held_out_scene() -> None:
    assert not {train_scene(3, i) for i in range(300)} & {held_out_scene(3, i) for i in range(300)}


def test_a_picture_that_fits_is_seen_as_it_is() -> None:
    image = draw(replace(train_scene(3, 0), aspect=1.0), 224)
    assert np.array_equal(see(encode(image, "PNG")), np.asarray(image))


def test_a_long_picture_is_seen_by_its_centre() -> None:
    image = draw(replace(train_scene(3, 0), aspect=2.0), 224)
    assert np.array_equal(see(encode(image, "PNG")), np.asarray(image)[:, 112:336])


def test_answers_name_what_the_scene_holds() -> None:
    for scene in (train_scene(3, i) for i in range(50)):
        given = answers(scene)
        assert all(0 <= answer < options for answer, options in zip(given, QUESTIONS, strict=True))
        assert given[0] == list(BACKGROUNDS).index(scene.background)
        assert sorted(answer for answer in given[2::3] if answer) == sorted(
            list(SHAPES).index(thing.shape) + 1 for thing in scene.things
        )


def test_patches_under_a_thing_carry_its_name() -> None:
    scene = replace(train_scene(3, 0), aspect=1.0, hazard=None)
    thing = replace(scene.things[0], shape="star", x=0.3, y=0.7, radius=0.2)
    found = covers(replace(scene, things=(thing,))).reshape(8, 8)
    assert found[5, 2] == KINDS.index("star")
    assert found[2, 5] == KINDS.index("ground")


def test_an_unsafe_scene_shows_one_concept_and_its_family() -> None:
    for scene in (train_scene(3, i) for i in range(50)):
        shown = hazards(scene)
        assert sum(shown[: len(GLYPHS)]) == sum(shown[len(GLYPHS) :]) == scene.unsafe
        if scene.hazard:
            assert shown[list(GLYPHS).index(scene.hazard.glyph)] == 1
            assert shown[len(GLYPHS) + [scene.hazard.glyph in family for family in FAMILIES].index(True)] == 1


def test_drawn_pictures_are_kept_in_order_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "grey.npy"
    shades = [np.full((224, 224, 3), shade, np.uint8) for shade in range(7)]
    assert cache(path, lambda: iter(shades), 7)[:, 0, 0, 0].tolist() == list(range(7))
    assert cache(path, lambda: iter(()), 7)[:, 0, 0, 0].tolist() == list(range(7))


def test_settling_leaves_safe_and_unsafe_pictures_equally_far_from_firing() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (96, 224, 224, 3), dtype=np.uint8)
    course = Course(replace(PLAN, pictures=96), pixels)
    torch.manual_seed(1)
    student = Student(config(course.tokenizer))
    assert abs(settle(student, course)) > 0.01
    assert abs(settle(student, course)) < 1e-5


def test_a_short_course_ends_in_a_graded_bundle(tmp_path: Path) -> None:
    grades = train(PLAN, tmp_path / "bundle", tmp_path)
    about = json.loads((tmp_path / "bundle/bundle.json").read_text())
    assert about["made"]["steps"] == PLAN.steps
    assert about["made"]["seed"] == PLAN.seed
    assert set(grades) == set(about["metrics"]) == {"held_out", "spoiled"}
    assert (tmp_path / "bundle/safety_checker/model.safetensors").is_file()

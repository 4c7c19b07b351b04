"""Train the starter bundle from scratch: ``python -m sluice_sim.train --out FOLDER``.

Draws its own lessons, learns for a fixed number of steps (or until the minutes are used up), writes the bundle, and
grades the written files on pictures that training never saw.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import cos, pi
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch.optim import AdamW

from sluice_sim.glyphs import FAMILIES
from sluice_sim.prompts import prompt
from sluice_sim.scenes import Scene
from sluice_sim.training import bundle, lessons, vocabulary
from sluice_sim.training.grades import grade
from sluice_sim.training.sight import normalise
from sluice_sim.training.towers import DIM, Lesson, Student, config

RECIPE: Final = "1"
"""Changes when the same seed would no longer give the same lessons."""

BATCH: Final = 128
_WARMUP: Final = 60
_DRIFT_PX: Final = 8  # pictures are moved about, so that patch borders fall anywhere


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to draw and how long to learn; learning ends at whichever of steps and minutes comes first."""

    seed: int
    pictures: int
    held_out: int
    steps: int
    minutes: float
    rate: float = 1.2e-3


class Course:
    """The training scenes as an endless row of lessons, shuffled anew every time round."""

    def __init__(self, plan: Plan, pixels: NDArray[np.uint8]) -> None:
        self._rng = Random(f"course/{plan.seed}")
        self._pixels = pixels
        self.scenes = [lessons.train_scene(plan.seed, i) for i in range(plan.pictures)]
        self.tokenizer = vocabulary.learn(map(prompt, self.scenes[:4000]))
        self._answers = torch.tensor([lessons.answers(scene) for scene in self.scenes])
        self._covers = torch.from_numpy(np.stack([lessons.covers(scene) for scene in self.scenes]))
        self._hazards = torch.tensor([lessons.hazards(scene) for scene in self.scenes])

    def __iter__(self) -> Iterator[Lesson]:
        order = list(range(len(self.scenes)))
        while True:
            self._rng.shuffle(order)
            for start in range(0, len(order) - BATCH + 1, BATCH):
                yield self._lesson(sorted(order[start : start + BATCH]))

    def plain(self, count: int) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """Give the first pictures as they are, in batches, and which hazards they show."""
        return torch.split(torch.from_numpy(np.array(self._pixels[:count])), BATCH), self._hazards[:count]

    def _lesson(self, chosen: list[int]) -> Lesson:
        words = [prompt(replace(self.scenes[i], wording=self._rng.getrandbits(32))) for i in chosen]
        tokens = self.tokenizer(words, padding=True, return_tensors="pt")
        return Lesson(
            pixels=normalise(torch.from_numpy(self._moved(chosen))),
            ids=tokens["input_ids"],
            mask=tokens["attention_mask"],
            answers=self._answers[chosen],
            covers=self._covers[chosen],
            hazards=self._hazards[chosen],
        )

    def _moved(self, chosen: list[int]) -> NDArray[np.uint8]:
        """Shift the pictures a few pixels, their borders repeated."""
        edge, drift = self._pixels.shape[1], (_DRIFT_PX, _DRIFT_PX)
        padded = np.pad(self._pixels[chosen], ((0, 0), drift, drift, (0, 0)), mode="edge")
        top, left = (self._rng.randint(0, 2 * _DRIFT_PX) for _ in range(2))
        return padded[:, top : top + edge, left : left + edge]


def learn(student: Student, course: Course, plan: Plan) -> int:
    """Train in place, the rate rising and then falling along a cosine; return the number of steps taken."""
    optimizer = AdamW(student.parameters(), lr=plan.rate, betas=(0.9, 0.98), weight_decay=0.05)
    started = time.monotonic()
    for step, lesson in enumerate(course):
        done = max(step / plan.steps, (time.monotonic() - started) / (60 * plan.minutes))
        if done >= 1:
            return step
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * min(1, (step + 1) / _WARMUP) * (1 + cos(pi * done)) / 2
        losses = student(lesson)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        if step % 25 == 0:
            parts = "  ".join(f"{name} {loss.item():.3f}" for name, loss in losses.items())
            _say(f"{time.monotonic() - started:6.0f} s  step {step:5d}  {parts}")
    raise AssertionError("a course never ends by itself")


@torch.inference_mode()
def settle(student: Student, course: Course, count: int = 4096) -> float:
    """Move the 17 thresholds together to half-way between safe and unsafe training pictures; return by how much.

    Training leaves them where most safe pictures need them, since most pictures are safe for most concepts.
    """
    pixels, hazards = course.plain(count)
    concepts = hazards.shape[1] - len(FAMILIES)
    best = torch.cat([student.margins(student.see(normalise(part)))[:, :concepts].amax(1) for part in pixels])
    unsafe = hazards[:, :concepts].amax(1) > 0
    shift = (best[~unsafe].quantile(0.999) + best[unsafe].quantile(0.01)) / 2
    student.thresholds[:concepts] += shift
    return shift.item()


def train(plan: Plan, out: Path, cache: Path) -> dict[str, dict[str, float]]:
    """Draw, learn, write the bundle to `out`, and return its grades on clean and on spoiled held-out pictures."""
    torch.manual_seed(plan.seed)
    _say(f"drawing {plan.pictures} pictures")
    counts = (plan.pictures, plan.held_out, plan.held_out // 2)
    train_pixels, *held_out = lessons.drawn(cache, plan.seed, counts)
    course = Course(plan, train_pixels)
    student = Student(config(course.tokenizer))
    started = time.monotonic()
    steps = learn(student, course, plan)
    minutes = (time.monotonic() - started) / 60
    _say(f"thresholds moved by {settle(student, course):+.3f}")
    bundle.save(student, course.tokenizer, out)
    scenes: list[Scene] = [lessons.held_out_scene(plan.seed, i) for i in range(plan.held_out)]
    grades = {
        name: grade(out, scenes[: len(pixels)], pixels)
        for name, pixels in zip(("held_out", "spoiled"), held_out, strict=True)
    }
    made = {
        "recipe": RECIPE,
        "seed": plan.seed,
        "pictures": plan.pictures,
        "steps": steps,
        "batch": BATCH,
        "learning_minutes": round(minutes, 1),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    bundle.describe(
        out, revision=f"recipe-{RECIPE}-seed-{plan.seed}", embedding_dim=DIM, made=made, metrics=_rounded(grades)
    )
    return grades


def _rounded(grades: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {name: {key: round(value, 4) for key, value in each.items()} for name, each in grades.items()}


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def main() -> None:
    """Parse the command line, train, and print the grades as JSON."""
    parser = argparse.ArgumentParser(prog="python -m sluice_sim.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the bundle")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=25, help="learn at most this long")
    parser.add_argument("--steps", type=int, default=950, help="learn at most this many batches")
    parser.add_argument("--pictures", type=int, default=30_000, help="training pictures to draw (150 kB each)")
    parser.add_argument("--held-out", type=int, default=2048, help="pictures to grade on")
    parser.add_argument("--cache", type=Path, help="keep drawn pictures here (default: a temporary folder)")
    asked = parser.parse_args()
    plan = Plan(asked.seed, asked.pictures, asked.held_out, asked.steps, asked.minutes)
    with tempfile.TemporaryDirectory(prefix="sluice-train-") as temporary:
        grades = train(plan, asked.out, asked.cache or Path(temporary))
    sys.stdout.write(json.dumps(_rounded(grades), indent=2) + "\n")


if __name__ == "__main__":
    main()

"""The self-test in a file: the pictures, their prompts, and what given models say of them.

The file is JSON: `models` holds the digests of the checker and of CLIP that gave the answers, `pictures` the pictures
(base64), their prompts and answers. One ships with the package; its answers are those of the starter bundle, its
pictures serve every other bundle, too.
"""

import base64
import json
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from sluice.core import durable
from sluice.core.errors import BadSettings
from sluice.core.metrics import Observe
from sluice.models.worker import InferenceWorker
from sluice.moderation.policy import Policy
from sluice.moderation.self_test import Judge, KnownPicture, Pace, SelfTest
from sluice.moderation.values import Decision, Picture, Score, Scores
from sluice.settings import SelfTest as Settings
from sluice_schemas import Clip, Concept, ModelRef

SHIPPED = Path(__file__).parent / "self_test.json"
BREATH_S = 0.005
_ROLES = frozenset({"safety", "clip"})


def of(
    given: Settings,
    picture: Callable[[bytes], Future[Picture]],
    inference: InferenceWorker,
    policy: Policy,
    observe: Observe,
) -> SelfTest:
    """Return the self-test that these settings mean. Raises BadSettings when its file does not fit the models."""
    judge = Judge(picture, partial(inference.submit, ahead=True), partial(_decide, policy))
    pace = Pace(given.every_s, given.within_s, inference.tolerance)
    return SelfTest(chosen(given.file, inference.provenance), judge, pace, time.monotonic, observe)


def settle(self_test: SelfTest, inference: InferenceWorker, sleep: Callable[[float], None]) -> None:
    """Wait until every known picture has been answered right. Raises SelfTestFailed, DeviceLost."""
    while not self_test.right:
        inference.check()
        self_test.turn()
        sleep(BREATH_S)


def _decide(policy: Policy, scores: Scores, picture: Picture) -> Decision:
    return policy.decide(scores, None, coverage=picture.coverage)


def chosen(file: Path | None, models: Sequence[ModelRef]) -> list[KnownPicture]:
    """Return the pictures of `file`, or those that ship; the latter without answers if `models` are not the starter's.

    Raises BadSettings when `file` cannot be read, or holds the answers of other models.
    """
    known_pictures, answered_by = read(file or SHIPPED)
    if answered_by == _digests(models):
        return known_pictures
    if file is None:
        return [replace(known_picture, answer=None) for known_picture in known_pictures]
    raise BadSettings(
        f"self_test.file: {file} holds the answers of other models than those of models.bundle",
        remedy=f"once these are attested: sluice models self-test --write {file}",
    )


def read(file: Path) -> tuple[list[KnownPicture], dict[str, str]]:
    """Return the known pictures of a file, and the digests of the models that answered. Raises BadSettings."""
    try:
        plain = json.loads(file.read_bytes())
        known_pictures = [_known_picture(each) for each in plain["pictures"]]
        models = {str(role): str(digest) for role, digest in plain["models"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadSettings(
            f"self_test.file: {file} cannot be read ({type(error).__name__})",
            remedy=f"write it: sluice models self-test --write {file}",
        ) from error
    if not known_pictures:
        raise BadSettings(f"self_test.file: {file} holds no known picture", setting="self_test.file")
    return known_pictures, models


def write(file: Path, known_pictures: Sequence[KnownPicture], models: Sequence[ModelRef]) -> None:
    """Write known pictures whose answers are known."""
    plain = {"models": _digests(models), "pictures": [_plain(known_picture) for known_picture in known_pictures]}
    durable.write(file, json.dumps(plain, indent=1) + "\n")


def _digests(models: Sequence[ModelRef]) -> dict[str, str]:
    return {model.role: model.digest for model in models if model.role in _ROLES}


def _known_picture(plain: dict[str, Any]) -> KnownPicture:
    name, prompt = str(plain["name"]), plain["prompt"]
    answer = _scores(plain["answer"])
    numbers = [number for c in answer.concepts for number in (c.cosine, c.threshold, c.adjustment, c.margin)]
    numbers += [opinion.value for opinion in answer.opinions] + ([answer.clip.cosine] if answer.clip else [])
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"{name}: not finite")
    return KnownPicture(
        name, base64.b64decode(plain["picture"], validate=True), None if prompt is None else str(prompt), answer
    )


def _scores(plain: dict[str, Any]) -> Scores:
    clip = plain["clip"]
    return Scores(
        concepts=tuple(Concept(**concept) for concept in plain["concepts"]),
        reference_has_nsfw=bool(plain["reference_has_nsfw"]),
        guard_band_recheck=False,
        clip=None if clip is None else Clip(**clip),
        opinions=tuple(Score(**opinion) for opinion in plain["opinions"]),
    )


def _plain(known_picture: KnownPicture) -> dict[str, Any]:
    answer = known_picture.answer
    if answer is None:
        raise ValueError(f"known picture {known_picture.name} has no answer")
    return {
        "name": known_picture.name,
        "prompt": known_picture.prompt,
        "picture": base64.b64encode(known_picture.data).decode(),
        "answer": {
            "reference_has_nsfw": answer.reference_has_nsfw,
            "concepts": [asdict(concept) for concept in answer.concepts],
            "clip": answer.clip and asdict(answer.clip),
            "opinions": [asdict(opinion) for opinion in answer.opinions],
        },
    }

"""Canaries in a file: the pictures, their prompts, and what given models say of them.

The file is JSON: `models` holds the digests of the checker and of CLIP that gave the answers, `canaries` the pictures
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
from sluice.models.worker import Lane
from sluice.moderation.policy import Policy
from sluice.moderation.self_test import Canaries, Canary, Pace, Road
from sluice.moderation.values import Decision, Picture, Score, Scores
from sluice.settings import Canary as Settings
from sluice_schemas import Clip, Concept, ModelRef

SHIPPED = Path(__file__).parent / "canaries.json"
BREATH_S = 0.005
_ROLES = frozenset({"safety", "clip"})


def of(
    given: Settings, picture: Callable[[bytes], Future[Picture]], lane: Lane, policy: Policy, observe: Observe
) -> Canaries:
    """Return the canaries that these settings mean. Raises BadSettings when their file does not fit the models."""
    road = Road(picture, partial(lane.submit, ahead=True), partial(_decide, policy))
    pace = Pace(given.every_s, given.within_s, lane.tolerance)
    return Canaries(chosen(given.file, lane.provenance), road, pace, time.monotonic, observe)


def settle(canaries: Canaries, lane: Lane, sleep: Callable[[float], None]) -> None:
    """Wait until every canary has been answered right. Raises WrongCanary, DeviceLost."""
    while not canaries.right:
        lane.check()
        canaries.turn()
        sleep(BREATH_S)


def _decide(policy: Policy, scores: Scores, picture: Picture) -> Decision:
    return policy.decide(scores, None, coverage=picture.coverage)


def chosen(file: Path | None, models: Sequence[ModelRef]) -> list[Canary]:
    """Return the canaries of `file`, or those that ship; these without answers when `models` are not the starter's.

    Raises BadSettings when `file` cannot be read, or holds the answers of other models.
    """
    canaries, answered_by = read(file or SHIPPED)
    if answered_by == _digests(models):
        return canaries
    if file is None:
        return [replace(canary, answer=None) for canary in canaries]
    raise BadSettings(
        f"canary.file: {file} holds the answers of other models than those of models.bundle;"
        f" once these are attested: sluice models canaries --write {file}"
    )


def read(file: Path) -> tuple[list[Canary], dict[str, str]]:
    """Return the canaries of a file, and the digests of the models that answered. Raises BadSettings."""
    try:
        plain = json.loads(file.read_bytes())
        canaries = [_canary(each) for each in plain["canaries"]]
        models = {str(role): str(digest) for role, digest in plain["models"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadSettings(
            f"canary.file: {file} cannot be read ({type(error).__name__});"
            f" write it: sluice models canaries --write {file}"
        ) from error
    if not canaries:
        raise BadSettings(f"canary.file: {file} holds no canary")
    return canaries, models


def write(file: Path, canaries: Sequence[Canary], models: Sequence[ModelRef]) -> None:
    """Write canaries whose answers are known."""
    plain = {"models": _digests(models), "canaries": [_plain(canary) for canary in canaries]}
    durable.write(file, json.dumps(plain, indent=1) + "\n")


def _digests(models: Sequence[ModelRef]) -> dict[str, str]:
    return {model.role: model.digest for model in models if model.role in _ROLES}


def _canary(plain: dict[str, Any]) -> Canary:
    name, prompt = str(plain["name"]), plain["prompt"]
    answer = _scores(plain["answer"])
    numbers = [number for c in answer.concepts for number in (c.cosine, c.threshold, c.adjustment, c.margin)]
    numbers += [opinion.value for opinion in answer.opinions] + ([answer.clip.cosine] if answer.clip else [])
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"{name}: not finite")
    return Canary(
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


def _plain(canary: Canary) -> dict[str, Any]:
    answer = canary.answer
    if answer is None:
        raise ValueError(f"canary {canary.name} has no answer")
    return {
        "name": canary.name,
        "prompt": canary.prompt,
        "picture": base64.b64encode(canary.data).decode(),
        "answer": {
            "reference_has_nsfw": answer.reference_has_nsfw,
            "concepts": [asdict(concept) for concept in answer.concepts],
            "clip": answer.clip and asdict(answer.clip),
            "opinions": [asdict(opinion) for opinion in answer.opinions],
        },
    }

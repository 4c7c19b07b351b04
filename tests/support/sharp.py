"""The hardest case for rounding: a bundle and a policy whose thresholds stand on what given pictures score."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from sluice.models.load import load
from sluice.models.safety import Floats
from sluice.models.worker import InferenceWorker
from sluice.moderation.policy import ConceptRule, Policy, Rules
from sluice.moderation.values import CHECKER, Pixels, Scores
from sluice.settings import Models
from sluice_schemas import Status
from tests.support import jobs
from tests.support.checkpoints import save

NEVER = 0.999
FIRES_ABOVE = 0.0005


def scored(inference: InferenceWorker, pictures: Sequence[Pixels]) -> list[Scores]:
    """Score pictures without prompts; each must get scores."""
    answers = inference.score([jobs.job(tiles) for tiles in pictures])
    assert all(isinstance(answer, Scores) for answer in answers)
    return [answer for answer in answers if isinstance(answer, Scores)]


def sharpen(folder: Path, pictures: Sequence[Pixels]) -> None:
    """Put the thresholds of five concepts on a picture's own cosine, half a thousandth below; the others far away."""
    cosines = _cosines(folder, pictures)
    weights = folder / "safety_checker" / "model.safetensors"
    state = load_file(weights)
    thresholds = np.full(len(CHECKER.plain), NEVER)
    for concept in range(5):
        thresholds[concept] = (
            np.sort(cosines[:, CHECKER.special_care + concept])[len(pictures) - 4 - concept] - FIRES_ABOVE
        )
    state["concept_embeds_weights"] = torch.tensor(thresholds)
    state["special_care_embeds_weights"] = torch.full((CHECKER.special_care,), NEVER)
    save(weights, state)


def policy(folder: Path, pictures: Sequence[Pixels]) -> Policy:
    """Make a policy of every action whose own thresholds stand on pictures' cosines as those of `sharpen` do."""
    cosines = _cosines(folder, pictures)
    concepts = {"sd.c01": ConceptRule(Status.BLUR), "sd.c02": ConceptRule(Status.REVIEW)}
    for number, action in enumerate((Status.BLUR, Status.REVIEW, Status.BLOCK), start=6):
        threshold = (
            float(np.sort(cosines[:, CHECKER.special_care + number - 1])[len(pictures) - 3 - number]) - FIRES_ABOVE
        )
        concepts[f"sd.c{number:02}"] = ConceptRule(action, threshold=threshold)
    return Policy.of("sharp", 1, Rules(reference=Status.BLUR, concepts=concepts))


def _cosines(folder: Path, pictures: Sequence[Pixels]) -> Floats:
    """Score each picture alone in float32: (N, 20) cosines."""
    inference = load(Models(bundle=str(folder)))
    found = [[concept.cosine for concept in scored(inference, [picture])[0].concepts] for picture in pictures]
    inference.close()
    return np.array(found, np.float32)

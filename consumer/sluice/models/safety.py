"""The safety head: image embeddings -> the cosine, threshold, adjustment and margin of every concept.

Reproduces the decision of diffusers' `StableDiffusionSafetyChecker` (`safety_checker.py`, torch forward) for many
images at once. What decides there is float32 arithmetic: since NumPy 2 (NEP 50) `float32 - float + float` stays
float32, and so does `round(x, 3)`, which multiplies by 1000, rounds half to even and divides. The same three
operations on whole columns therefore give the same bits.

Unlike the reference, which calls an embedding of NaN safe because `nan > 0` is False, and one of zeros because each of
its cosines is 0, a row of an embedding that is not finite or has no direction is named (`finite`): its cosines are NaN.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sluice.models.direction import unit
from sluice.moderation.values import CHECKER, MARGIN_DECIMALS
from sluice_schemas import Concept

CARE_ADJUSTMENT = 0.01
"""What one special concept adds to everything compared after it."""

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


class Margins(NamedTuple):
    """What the head says of N images; every array is (N, 20), columns as `CHECKER.ids`."""

    cosine: Floats
    threshold: Floats
    adjustment: Floats
    margin: Floats
    fired: Flags

    @property
    def has_nsfw(self) -> Flags:
        """(N,): the reference's answer. Special concepts alone never block."""
        return np.asarray(self.fired[:, CHECKER.special_care :].any(axis=1))

    @property
    def finite(self) -> Flags:
        """(N,): whether every number of the row is finite. A row that is not has no answer."""
        return np.asarray(np.isfinite(self.margin).all(axis=1))

    def entry(self, row: int, column: int) -> Concept:
        """Return one concept of one image as the contract names it."""
        return Concept(
            id=CHECKER.ids[column],
            cosine=float(self.cosine[row, column]),
            threshold=float(self.threshold[row, column]),
            adjustment=float(self.adjustment[row, column]),
            margin=float(self.margin[row, column]),
            fired=bool(self.fired[row, column]),
        )


def decide(cosine: Floats, threshold: Floats) -> Margins:
    """Decide (N, 20) cosines against (20,) thresholds, in the reference's order and precision.

    The adjustment rises inside the special loop, so a later special concept already gets it.
    """
    care = np.float32(CARE_ADJUSTMENT)
    raw = cosine - threshold
    adjustment = np.zeros_like(raw)
    for column in range(CHECKER.special_care):
        fires = np.round(raw[:, column] + adjustment[:, column], MARGIN_DECIMALS) > 0
        adjustment[fires, column + 1 :] = care
    margin = raw + adjustment
    return Margins(
        cosine=cosine,
        threshold=np.broadcast_to(threshold, raw.shape),
        adjustment=adjustment,
        margin=margin,
        fired=np.round(margin, MARGIN_DECIMALS) > 0,
    )


@dataclass(frozen=True, slots=True)
class SafetyHead:
    """The checker above its vision tower, always float32.

    `projection` is (P, H); `special_care` (3, P) and `concepts` (17, P) are unit vectors; `threshold` is (20,).
    """

    projection: Tensor
    special_care: Tensor
    concepts: Tensor
    threshold: Floats

    @classmethod
    def of(cls, weights: Mapping[str, Tensor], device: torch.device) -> Self:
        """Build from the checkpoint's own names; half precision thresholds would move by as much as the rounding."""
        single = {name: tensor.to(device, torch.float32) for name, tensor in weights.items()}
        thresholds = torch.cat((single["special_care_embeds_weights"], single["concept_embeds_weights"]))
        return cls(
            projection=single["visual_projection.weight"],
            special_care=unit(single["special_care_embeds"]),
            concepts=unit(single["concept_embeds"]),
            threshold=thresholds.cpu().numpy(),
        )

    @property
    def threshold_by_id(self) -> dict[str, float]:
        """The checkpoint's thresholds by concept id."""
        return dict(zip(CHECKER.ids, map(float, self.threshold), strict=True))

    def embed(self, pooled: Tensor) -> Tensor:
        """Project (N, H) pooled tower outputs of any precision to (N, P) embeddings in float32."""
        return torch.nn.functional.linear(pooled.float(), self.projection)

    def cosines(self, embeddings: Tensor) -> Floats:
        """Return (N, 20) cosines of (N, P) embeddings, NaN for one without direction.

        Two products, as the reference makes them, for equal bits.
        """
        images = unit(embeddings)
        special = torch.mm(images, self.special_care.t())
        concepts = torch.mm(images, self.concepts.t())
        return np.asarray(torch.cat((special, concepts), dim=1).cpu().numpy(), dtype=np.float32)

    def judge(self, embeddings: Tensor) -> Margins:
        """Decide (N, P) embeddings."""
        return decide(self.cosines(embeddings), self.threshold)

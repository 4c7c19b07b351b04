"""Two verdicts on the same bytes, the one that was published and the one found now: where they part."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isclose
from typing import Any

from sluice_schemas import Verdict, indeterminate_verdict_id, verdict_id

ABSENT = "-"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs: as a path in the verdict, what the verdict says, and what was found."""

    what: str
    said: Any
    found: Any


def differences(said: Verdict, found: Verdict, *, tolerance: float) -> tuple[Difference, ...]:
    """Return all differences, what judged before what it found; scores may differ by `tolerance`, also relatively.

    Names of files, times, places in the log and the mode are not compared; nor is what a person decided.
    """
    judges = tuple(_parting(_judges(said), _judges(found)))
    by_models = said.override is None
    results = tuple(_parting(_results(said, by_models), _results(found, by_models), tolerance))
    if judges or results or not by_models:
        return judges + results
    return tuple(_parting({"verdict_id": str(said.verdict_id)}, {"verdict_id": _id(said, found)}))


def _judges(verdict: Verdict) -> dict[str, Any]:
    """Return what the numbers depend on besides the image."""
    policy = verdict.policy
    models = {
        f"models.{model.role}.{name}": value
        for model in verdict.models
        for name, value in (("digest", model.digest), ("dtype", model.dtype))
    }
    return {
        "policy.id": policy.id,
        "policy.version": policy.version,
        "policy.digest": policy.digest,
        **models,
        "preprocess_digest": verdict.preprocess_digest,
    }


def _results(verdict: Verdict, by_models: bool) -> dict[str, Any]:  # noqa: FBT001 -- two calls, both above
    """Return what was found; the decision only if models and policy made it."""
    scores: dict[str, Any] = {}
    for concept in verdict.concepts:
        numbers = ("cosine", "threshold", "adjustment", "margin", "fired")
        scores |= {f"concepts.{concept.id}.{name}": getattr(concept, name) for name in numbers}
    for opinion in verdict.opinions:
        scores[f"opinions.{opinion.model}.{opinion.label}"] = opinion.value
    decided = {name: getattr(verdict, name) for name in ("status", "reasons", "indeterminate_reason")}
    return {
        **(decided if by_models else {}),
        "reference_has_nsfw": verdict.reference_has_nsfw,
        "coverage": verdict.coverage,
        **scores,
    }


def _parting(said: Mapping[str, Any], found: Mapping[str, Any], tolerance: float = 0.0) -> Iterator[Difference]:
    for what in {**said, **found}:
        one, other = said.get(what, ABSENT), found.get(what, ABSENT)
        if not _same(one, other, tolerance):
            yield Difference(what, one, other)


def _same(one: Any, other: Any, tolerance: float) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
    return bool(one == other)


def _id(said: Verdict, found: Verdict) -> str:
    """Return the id that what was found gives the image of the published verdict."""
    policy = found.policy.digest
    if found.image_sha256 is None:
        reason = found.indeterminate_reason or ""
        return str(indeterminate_verdict_id(said.image_id, said.source, reason, policy_digest=policy))
    models = [model.digest for model in found.models]
    digests = {"policy_digest": policy, "preprocess_digest": found.preprocess_digest}
    return str(verdict_id(said.image_id, found.image_sha256, model_digests=models, **digests))

"""`sluice verify` without models: which verdict a file holds, and where two verdicts part."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from sluice.cli.tail import plain_event
from sluice.core.errors import Undecodable
from sluice.report.table import as_json
from sluice.services.moderator.claim import claimed, verdicts_in
from sluice.services.moderator.difference import Difference, differences
from sluice_schemas import (
    Concept,
    ModelRef,
    Opinion,
    Override,
    PolicyRef,
    Status,
    Verdict,
    encode,
    indeterminate_verdict_id,
    verdict_id,
)
from tests.support import findings as made
from tests.unit.schemas_strategies import NOON, VERDICT

MODEL = ModelRef("safety", "m", "1", "m" * 64, "float32")
SAID = replace(
    VERDICT,
    models=(MODEL,),
    concepts=(Concept("c", 0.25, 0.2, 0.0, 0.05, fired=True),),
    opinions=(Opinion("nudenet", "x", 0.5),),
    coverage=1.0,
    verdict_id=verdict_id("i", "a" * 64, policy_digest="d", model_digests=["m" * 64], preprocess_digest="d"),
)
FOUND = replace(SAID, image_id="file.png", verdict_id=UUID(int=9))


def test_a_message_value_and_both_kinds_of_json_give_the_same_verdict() -> None:
    line = json.dumps(plain_event(SAID))
    for data in (encode(SAID), line.encode(), json.dumps([{"name": "x", "verdict": plain_event(SAID)}]).encode()):
        assert verdicts_in(data) == (SAID,)
    assert verdicts_in(f"{line}\n{line}\n".encode()) == (SAID, SAID)
    finding = made.judged("x.png", Status.ALLOW, prompt="a circle")
    assert verdicts_in(json.dumps([as_json(finding)]).encode()) == (finding.verdict,)


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"{", b"[1]", b"{}", encode(SAID)[:-1], b"\0\0\0\0\1" + encode(SAID)[10:], b"[" * 100_000]
)
def test_what_holds_no_verdict_is_undecodable(data: bytes) -> None:
    with pytest.raises(Undecodable):
        verdicts_in(data)


def test_what_is_wrong_is_said_without_the_value() -> None:
    with pytest.raises(Undecodable, match="status") as refused:
        verdicts_in(json.dumps(plain_event(SAID) | {"status": "secret"}).encode())
    assert "secret" not in str(refused.value)


def test_of_several_verdicts_the_one_that_stands_for_the_bytes_is_meant() -> None:
    other = replace(SAID, image_sha256="b" * 64, image_id="j")
    block = replace(SAID, status=Status.BLOCK)
    assert claimed([other], "a" * 64) == other
    assert claimed([block, SAID, other], "a" * 64) == block
    for ambiguous in ([other, other], [SAID, replace(SAID, image_id="k")]):
        with pytest.raises(Undecodable, match="ambiguous"):
            claimed(ambiguous, "a" * 64)


def _concept(**changes: Any) -> Callable[[Verdict], Verdict]:
    return lambda verdict: replace(verdict, concepts=(replace(verdict.concepts[0], **changes),))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda v: replace(v, policy=PolicyRef("q", 3, "d")), ["policy.id"]),
        (lambda v: replace(v, policy=PolicyRef("p", 4, "e")), ["policy.version", "policy.digest"]),
        (lambda v: replace(v, models=(replace(MODEL, digest="n"),)), ["models.safety.digest"]),
        (lambda v: replace(v, models=(replace(MODEL, dtype="float16"),)), ["models.safety.dtype"]),
        (lambda v: replace(v, models=()), ["models.safety.digest", "models.safety.dtype"]),
        (lambda v: replace(v, preprocess_digest="e"), ["preprocess_digest"]),
        (lambda v: replace(v, status=Status.BLOCK, reasons=("r",)), ["status", "reasons"]),
        (_concept(cosine=0.26), ["concepts.c.cosine"]),
        (_concept(fired=False), ["concepts.c.fired"]),
        (_concept(cosine=0.2501), []),
        (lambda v: replace(v, concepts=()), [f"concepts.c.{n}" for n in ("cosine", "threshold", "adjustment")]),
        (lambda v: replace(v, opinions=(Opinion("nudenet", "x", 0.6),)), ["opinions.nudenet.x"]),
        (lambda v: replace(v, coverage=None), ["coverage"]),
        (lambda v: replace(v, reference_has_nsfw=True), ["reference_has_nsfw"]),
        (lambda v: v, []),
    ],
)
def test_each_difference_is_named(change: Callable[[Verdict], Verdict], what: list[str]) -> None:
    found = [one.what for one in differences(SAID, change(FOUND), tolerance=0.002)]
    assert found[: len(what)] == what
    assert bool(found) is bool(what)


def test_an_id_that_does_not_follow_from_its_digests_is_found() -> None:
    [found] = differences(replace(SAID, verdict_id=UUID(int=3)), FOUND, tolerance=0.0)
    assert found == Difference("verdict_id", str(UUID(int=3)), str(SAID.verdict_id))


def test_what_a_person_decided_is_not_computed() -> None:
    assert not differences(replace(SAID, status=Status.BLOCK, override=Override(NOON)), FOUND, tolerance=0.0)


def test_an_image_that_cannot_be_judged_again_for_the_same_reason_is_equal() -> None:
    def indeterminate(image_id: str, reason: str) -> Verdict:
        number = indeterminate_verdict_id(image_id, SAID.source, reason, policy_digest="d")
        found = replace(SAID, image_id=image_id, image_sha256=None, status=Status.INDETERMINATE, verdict_id=number)
        return replace(found, concepts=(), opinions=(), coverage=None, indeterminate_reason=reason)

    said, found = indeterminate("i", "truncated"), indeterminate("file.png", "truncated")
    assert not differences(said, found, tolerance=0.0)
    other = differences(said, indeterminate("file.png", "too_big"), tolerance=0.0)
    assert [one.what for one in other] == ["indeterminate_reason"]

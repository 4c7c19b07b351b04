"""Ids that follow from content."""

from typing import Any

import pytest

from sluice_schemas import Source, indeterminate_verdict_id, unreadable_image_id, verdict_id

JUDGED: dict[str, Any] = {"policy_digest": "p", "model_digests": ["m", "n"], "preprocess_digest": "r"}


def test_the_id_of_a_judged_image_is_the_same_on_every_machine() -> None:
    assert str(verdict_id("i", "s", **JUDGED)) == "fdf033cb-a403-8394-972a-807274b7542a"


def test_the_id_of_an_unjudged_record_is_the_same_on_every_machine() -> None:
    found = indeterminate_verdict_id("i", Source("t", 0, 7), "hash_mismatch", policy_digest="p")
    assert str(found) == "1a6c71ec-f1d3-8fba-8ba5-115b15b41adb"


def test_an_id_is_a_uuid_of_version_8() -> None:
    found = verdict_id("i", "s", **JUDGED)
    assert found.version == 8
    assert found.variant == "specified in RFC 4122"


def test_models_count_as_a_set() -> None:
    again = JUDGED | {"model_digests": ["n", "m", "n"]}
    assert verdict_id("i", "s", **again) == verdict_id("i", "s", **JUDGED)


@pytest.mark.parametrize(
    "change", [{"policy_digest": "q"}, {"model_digests": ["m"]}, {"preprocess_digest": "x"}, {"policy_digest": "pr"}]
)
def test_whatever_a_verdict_depends_on_enters_its_id(change: dict[str, Any]) -> None:
    assert verdict_id("i", "s", **JUDGED | change) != verdict_id("i", "s", **JUDGED)


def test_image_and_bytes_enter_and_do_not_run_together() -> None:
    ids = {verdict_id(*pair, **JUDGED) for pair in [("i", "s"), ("is", ""), ("", "is"), ("i", "t"), ("j", "s")]}
    assert len(ids) == 5


def test_unjudged_records_have_an_id_per_place_and_reason_whatever_their_timestamp() -> None:
    places = [("t", 0, 7), ("t", 0, 8), ("t", 1, 7), ("u", 0, 7)]
    ids = {indeterminate_verdict_id("i", Source(*place), "empty", policy_digest="p") for place in places}
    ids.add(indeterminate_verdict_id("i", Source("t", 0, 7), "too_large", policy_digest="p"))
    assert len(ids) == 5


def test_a_record_that_names_no_image_is_called_after_its_place() -> None:
    assert unreadable_image_id("images.generated.v1", 2, 17) == "unreadable:images.generated.v1/2/17"

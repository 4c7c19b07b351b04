"""The settings tree: what it holds when nobody says anything."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from sluice.settings import Fetch, Policy, Settings
from sluice.settings.sources import LEAVES


def test_constructing_settings_reads_nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_KAFKA__GROUP_ID", "elsewhere")
    assert Settings().kafka.group_id == "sluice"


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().kafka.group_id = "other"  # type: ignore[misc]


def test_no_model_is_chosen_and_no_reference_followed_unless_somebody_says_so() -> None:
    settings = Settings()
    assert (settings.models.bundle, settings.fetch.allowed_hosts, settings.fetch.s3_buckets) == ("", (), ())


@pytest.mark.parametrize("text", ["a.example,b.example", ' ["a.example", "b.example"]', "a.example , b.example,"])
def test_a_list_may_be_written_with_commas_or_as_json(text: str) -> None:
    assert Fetch.model_validate({"allowed_hosts": text}).allowed_hosts == ("a.example", "b.example")


def test_a_policy_file_and_a_preset_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="either file or preset"):
        Policy.model_validate({"file": "p.yaml", "preset": "balanced"})


def test_home_is_understood_in_every_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every setting that is a path, found by its type: a new one is held to it, too."""
    monkeypatch.setenv("HOME", "/home/somebody")
    paths = [key for key, field in LEAVES.items() if "Path" in str(field.annotation)]
    assert len(paths) > 8
    for key in paths:
        branch = type(getattr(Settings(), str(key[0])))
        many = "tuple" in str(LEAVES[key].annotation)
        further = {"key_id": "k"} if key == ("signing", "key_file") else {}
        found = getattr(branch(**{str(key[1]): ["~/x"] if many else "~/x"}, **further), str(key[1]))
        assert (found[0] if many else found) == Path("/home/somebody/x")

"""Local files as events: what their names may be."""

import os
from pathlib import Path

import pytest

from sluice.services.moderator.one_shot import _batches, _Events
from sluice_schemas import ImageGenerated, decode, encode


def test_a_name_that_is_not_text_still_makes_an_event_about_that_very_file(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"caf\xe9.png")
    (batch,) = _batches([file], 32)
    event = decode(encode(_Events((file,), None)(batch.records[0])), ImageGenerated)
    assert event.image_id == "caf\\xe9.png"
    assert event.image.uri == file.as_uri()
    assert batch.records[0].key == event.image_id.encode()


@pytest.mark.parametrize("name", ["unreadable:x.png", "\x1b[31m.png", " ", "\x85"])
def test_a_name_that_no_event_may_bear_is_percent_encoded(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    (batch,) = _batches([file], 32)
    event = _Events((file,), None)(batch.records[0])
    assert (event.image_id != name, event.image_id.isprintable(), event.image.uri) == (True, True, file.as_uri())

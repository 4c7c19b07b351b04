"""Every fault is what its name says, and nothing else is wrong with it."""

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from urllib.parse import urlsplit

import pytest
from PIL import Image as Pictures

from sluice_schemas import Generator, Image, ImageGenerated
from sluice_schemas.errors import WireError
from sluice_schemas.wire import decode
from sluice_sim.broken_pictures import BROKEN_PICTURES
from sluice_sim.faults import Fault, faults

LIMIT_BYTES = 5000
FAULTS = {fault.name: fault for fault in faults(max_inline_bytes=LIMIT_BYTES, missing_uri="http://127.0.0.1:9/0.png")}
REFUSED_BY_WIRE = {
    "tombstone": "empty",
    "empty_value": "empty",
    "wrong_magic": "wrong_magic",
    "json_text": "wrong_magic",
    "unknown_fingerprint": "unknown_fingerprint",
    "truncated_avro": "malformed",
    "huge_map": "malformed",
    "invalid_utf8": "malformed",
    "trailing_bytes": "trailing_bytes",
    "wrong_event": "wrong_type",
}


def _sound() -> ImageGenerated:
    out = BytesIO()
    Pictures.new("RGB", (32, 32), (10, 120, 200)).save(out, "PNG")
    return ImageGenerated(
        image_id="11111111-2222-4333-8444-555555555555",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        image=Image(bytes=out.getvalue(), sha256=sha256(out.getvalue()).hexdigest(), mime="image/png"),
        generator=Generator("aurora"),
    )


def _spoiled(name: str) -> ImageGenerated:
    return decode(FAULTS[name].spoil(_sound()), ImageGenerated)


def _load_all(data: bytes) -> None:
    """Open as a careful consumer does: listed formats, checksums, every frame."""
    with Pictures.open(BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as picture:
        picture.verify()
    with Pictures.open(BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as picture:
        for index in range(getattr(picture, "n_frames", 1)):
            picture.seek(index)
            picture.load()


@pytest.mark.parametrize(("name", "reason"), REFUSED_BY_WIRE.items())
def test_what_is_no_event_is_refused_by_the_wire(name: str, reason: str) -> None:
    with pytest.raises(WireError) as refused:
        decode(FAULTS[name].spoil(_sound()), ImageGenerated)
    assert refused.value.reason == reason


def test_exactly_the_faults_the_wire_refuses_hide_the_image_id() -> None:
    assert {fault.name for fault in FAULTS.values() if not fault.readable} == set(REFUSED_BY_WIRE)


@pytest.mark.parametrize("fault", [f for f in FAULTS.values() if f.readable], ids=lambda fault: fault.name)
def test_every_other_fault_is_a_sound_event_under_its_own_id(fault: Fault) -> None:
    assert _spoiled(fault.name).image_id == _sound().image_id


def test_no_image_has_neither_bytes_nor_address() -> None:
    assert _spoiled("no_image").image == Image()


def test_sha_mismatch_names_the_hash_of_something_else() -> None:
    image = _spoiled("sha_mismatch").image
    assert image.bytes is not None
    assert sha256(image.bytes).hexdigest() != image.sha256


def test_inline_too_big_is_one_byte_over_the_limit_and_still_decodes() -> None:
    data = _spoiled("inline_too_big").image.bytes or b""
    assert len(data) == LIMIT_BYTES + 1
    _load_all(data)


@pytest.mark.parametrize("name", sorted(set(BROKEN_PICTURES) - {"bomb_png", "too_many_frames", "png_half_its_rows"}))
def test_a_broken_picture_does_not_load(name: str) -> None:
    with pytest.raises((OSError, SyntaxError)):
        _load_all(BROKEN_PICTURES[name]())


def test_the_half_png_loads_in_silence_so_only_a_careful_decoder_finds_it() -> None:
    with Pictures.open(BytesIO(BROKEN_PICTURES["png_half_its_rows"]())) as picture:
        picture.load()
        assert picture.convert("L").crop((0, 13, 24, 24)).getextrema() == (0, 0)


def test_the_bomb_is_small_and_announces_900_megapixels() -> None:
    data = BROKEN_PICTURES["bomb_png"]()
    assert len(data) < 500
    assert int.from_bytes(data[16:20]) * int.from_bytes(data[20:24]) == 900_000_000


def test_the_animation_has_64_frames() -> None:
    with Pictures.open(BytesIO(BROKEN_PICTURES["too_many_frames"]())) as picture:
        assert getattr(picture, "n_frames", 1) == 64


def test_gif_is_sound_but_for_its_format() -> None:
    with Pictures.open(BytesIO(BROKEN_PICTURES["gif"]())) as picture:
        picture.load()
        assert picture.format == "GIF"


@pytest.mark.parametrize(
    ("name", "holds"),
    {
        "forbidden_host": lambda uri: urlsplit(uri).hostname == "images.elsewhere.example",
        "forbidden_scheme": lambda uri: urlsplit(uri).scheme == "ftp",
        "file_outside_roots": lambda uri: urlsplit(uri).path == "/etc/hostname",
        "metadata_address": lambda uri: urlsplit(uri).hostname == "169.254.169.254",
        "userinfo_trick": lambda uri: urlsplit(uri).username is not None,
        "octal_address": lambda uri: urlsplit(uri).hostname == "0177.0.0.1",
        "not_found": lambda uri: urlsplit(uri).hostname == "127.0.0.1",
    }.items(),
)
def test_a_reference_points_where_it_must_not(name: str, holds: Callable[[str], bool]) -> None:
    image = _spoiled(name).image
    assert image.bytes is None
    assert holds(image.uri or "")


def test_without_a_store_there_is_nothing_to_miss() -> None:
    names = {fault.name for fault in faults(max_inline_bytes=LIMIT_BYTES)}
    assert set(FAULTS) - names == {"not_found"}

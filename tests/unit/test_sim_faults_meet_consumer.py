"""What the simulator calls a fault, the consumer refuses: as an event, as a reference, or as a picture."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from sluice.core.errors import Rejection
from sluice.media.decoding.decode import frames
from sluice.media.decoding.limits import Limits
from sluice.media.fetching.fetcher import Fetcher
from sluice.settings import Fetch, Media
from sluice_schemas import Generator, Image, ImageGenerated
from sluice_schemas.errors import WireError
from sluice_schemas.wire import decode
from sluice_sim.faults import Fault, faults
from sluice_sim.picture_pool import Picture, PicturePool, PictureSpec
from sluice_sim.store import Store

WITHIN_S = 120.0
MISSING = "0.png"


@pytest.fixture(scope="module")
def photo() -> Picture:
    return PicturePool(1).photo(PictureSpec(0))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture(scope="module")
def fetcher(store: Store) -> Iterator[Fetcher]:
    """Allow what the demo allows."""
    settings = Fetch(
        allowed_schemes=("http", "file"),
        allowed_hosts=(store.host,),
        allowed_ports=(store.port,),
        allow_private_addresses=True,
        file_roots=(store.folder,),
    )
    with Fetcher(settings, Media()) as running:
        yield running


def _sound(photo: Picture) -> ImageGenerated:
    return ImageGenerated(
        image_id="11111111-2222-4333-8444-555555555555",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        image=Image(bytes=photo.data, sha256=photo.sha256, mime=photo.mime),
        generator=Generator("aurora"),
    )


def _names() -> list[str]:
    return [fault.name for fault in faults(max_inline_bytes=1, missing_uri="http://127.0.0.1/0.png")]


def _fault(name: str, store: Store) -> Fault:
    kinds = faults(max_inline_bytes=Media().max_inline_bytes, missing_uri=store.uri(MISSING, "http"))
    return next(fault for fault in kinds if fault.name == name)


def _judge(value: bytes | None, fetcher: Fetcher) -> int:
    data = fetcher.submit(decode(value, ImageGenerated).image).result(WITHIN_S)
    return len(list(frames(data, Limits())))


@pytest.mark.parametrize("name", _names())
def test_every_fault_is_refused(name: str, store: Store, fetcher: Fetcher, photo: Picture) -> None:
    with pytest.raises((WireError, Rejection)):
        _judge(_fault(name, store).spoil(_sound(photo)), fetcher)


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_a_sound_reference_is_followed(scheme: str, store: Store, fetcher: Fetcher, photo: Picture) -> None:
    store.put(photo.name, photo.data)
    uri = store.uri(photo.name, "file" if scheme == "file" else "http")
    assert fetcher.submit(Image(uri=uri, sha256=photo.sha256)).result(WITHIN_S) == photo.data


def test_a_sound_picture_is_decoded(photo: Picture) -> None:
    assert len(list(frames(photo.data, Limits()))) == 1

"""File references: what lies below the roots, and nothing else."""

import os
import socket
from pathlib import Path

import pytest

from sluice.core.errors import Refused, Rejection, Unfetchable
from sluice.media.fetching.fetcher import Fetcher
from sluice.settings import Fetch, Media
from sluice_schemas import Image
from tests.support.stores import BODY

PATIENCE_S = 60


def fetcher(*roots: Path) -> Fetcher:
    return Fetcher(Fetch(allowed_schemes=("file",), file_roots=roots), Media(max_image_bytes=1000))


def failure(fetcher: Fetcher, uri: str) -> Rejection:
    with pytest.raises(Rejection) as error:
        fetcher.submit(Image(uri=uri)).result(PATIENCE_S)
    return error.value


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """Return a root with all kinds of things in it, and a folder outside."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root, outside):
        folder.mkdir()
        (folder / "a b.png").write_bytes(BODY)
    (root / "inner").symlink_to(root / "a b.png")
    (root / "escape").symlink_to(outside / "a b.png")
    (root / "big").write_bytes(bytes(1001))
    (root / "loop").symlink_to(root / "loop")
    os.mkfifo(root / "pipe")
    return root, outside


def test_files_below_the_roots_are_read(places: tuple[Path, Path]) -> None:
    root, _ = places
    with fetcher(root) as made:
        for name in ("a b.png", "inner"):
            assert made.submit(Image(uri=(root / name).as_uri())).result(PATIENCE_S) == BODY


def test_files_elsewhere_and_what_is_no_file_are_refused(places: tuple[Path, Path]) -> None:
    root, outside = places
    refused = [
        (outside / "a b.png").as_uri(),
        (root / "escape").as_uri(),
        f"{root.as_uri()}/../outside/a%20b.png",
        f"{root.as_uri()}/%2e%2e/outside/a%20b.png",
        (root / "pipe").as_uri(),
        root.as_uri(),
        "file:///dev/zero",
        "file:///proc/self/environ",
    ]
    with fetcher(root) as made:
        reasons = [failure(made, uri).reason for uri in refused]
    assert reasons == ["reference_path"] * len(refused)


def test_without_roots_no_file_is_read(places: tuple[Path, Path]) -> None:
    with fetcher() as made:
        assert failure(made, (places[0] / "a b.png").as_uri()).reason == "reference_path"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("big", "too_large"), ("missing", "not_found"), ("a b.png/x", "not_found"), ("a" * 300, "not_found")],
)
def test_what_is_not_to_be_had_is_its_records_fault(places: tuple[Path, Path], name: str, reason: str) -> None:
    root, _ = places
    with fetcher(root) as made:
        error = failure(made, (root / name).as_uri())
    assert isinstance(error, Unfetchable)
    assert error.reason == reason


def test_a_loop_of_links_is_no_file(places: tuple[Path, Path]) -> None:
    root, _ = places
    with fetcher(root) as made:
        assert failure(made, (root / "loop").as_uri()).reason in {"not_found", "forbidden"}


def test_a_socket_is_no_file(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening, fetcher(tmp_path) as made:
        listening.bind(str(tmp_path / "socket"))
        assert isinstance(failure(made, (tmp_path / "socket").as_uri()), Refused)

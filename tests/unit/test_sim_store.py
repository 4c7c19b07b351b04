"""The store serves what was put on it, by file and by http, and nothing else."""

from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from sluice_sim.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "pictures") as running:
        yield running


def _get(store: Store, path: str) -> tuple[int, bytes]:
    connection = HTTPConnection(store.host, store.port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_picture_is_found_under_its_http_address(store: Store) -> None:
    store.put("a.png", b"picture")
    address = urlsplit(store.uri("a.png", "http"))
    assert (address.hostname, address.port) == (store.host, store.port)
    assert _get(store, address.path) == (200, b"picture")


def test_a_picture_is_found_under_its_file_address(store: Store) -> None:
    store.put("a.png", b"picture")
    assert Path(url2pathname(urlsplit(store.uri("a.png", "file")).path)).read_bytes() == b"picture"


@pytest.mark.parametrize("path", ["/missing.png", "/", "/../secret.txt", "/%2e%2e/secret.txt", "//secret.txt"])
def test_anything_else_is_not_found(store: Store, path: str) -> None:
    (store.folder.parent / "secret.txt").write_text("secret")
    assert _get(store, path) == (404, b"")


def test_an_outage_answers_503_until_it_is_over(store: Store) -> None:
    store.put("a.png", b"picture")
    store.outage.set()
    assert _get(store, "/a.png")[0] == 503
    store.outage.clear()
    assert _get(store, "/a.png")[0] == 200

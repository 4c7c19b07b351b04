"""Objects by s3: references, from a server that speaks the protocol."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from sluice.core.errors import BadSettings, DependencyDown, Refused, Rejection, Unfetchable
from sluice.media.fetch import Fetcher
from sluice.settings import Fetch, Media
from sluice_schemas import Image
from tests.support.stores import BODY, store

PATIENCE_S = 60
MEDIA = Media(max_image_bytes=1000)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Run a server with the buckets `pictures` and `secrets`."""
    boto3 = pytest.importorskip("boto3")
    servers = pytest.importorskip("moto.server")
    server = servers.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
    for bucket in ("pictures", "secrets"):
        client.create_bucket(Bucket=bucket)
    for key, body in (("a/b c.png", BODY), ("big", bytes(1001)), ("ä?x#y", BODY)):
        client.put_object(Bucket="pictures", Key=key, Body=body)
    client.put_object(Bucket="secrets", Key="a", Body=b"secret")
    yield url
    server.stop()


def fetcher(endpoint: str, **changes: Any) -> Fetcher:
    settings: dict[str, Any] = {
        "s3_endpoint": endpoint,
        "s3_buckets": ("pictures", "absent"),
        "s3_access_key_id": "key",
        "s3_secret_access_key": SecretStr("secret"),
        "total_timeout_s": 20.0,
        "threads": 2,
    }
    return Fetcher(Fetch(**settings | changes), MEDIA)


@pytest.fixture(scope="module")
def shop(endpoint: str) -> Iterator[Fetcher]:
    with fetcher(endpoint) as made:
        yield made


@pytest.mark.parametrize("key", ["a/b c.png", "ä?x#y"])
def test_an_object_is_read_by_its_key(shop: Fetcher, key: str) -> None:
    assert shop.submit(Image(uri=f"s3://pictures/{key}")).result(PATIENCE_S) == BODY


@pytest.mark.parametrize(
    ("uri", "kind", "reason"),
    [
        ("s3://secrets/a", Refused, "reference_bucket"),
        ("s3://pictures/missing", Unfetchable, "not_found"),
        ("s3://absent/a", Unfetchable, "not_found"),
        ("s3://pictures/big", Unfetchable, "too_large"),
    ],
)
def test_what_is_not_to_be_had_is_a_data_error(shop: Fetcher, uri: str, kind: type[Rejection], reason: str) -> None:
    with pytest.raises(Rejection) as error:
        shop.submit(Image(uri=uri)).result(PATIENCE_S)
    assert (type(error.value), error.value.reason) == (kind, reason)


def test_a_store_that_is_not_there_is_a_dependency() -> None:
    with fetcher("http://127.0.0.1:1", total_timeout_s=1.0) as made, pytest.raises(DependencyDown) as error:
        made.submit(Image(uri="s3://pictures/hunter2")).result(PATIENCE_S)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(("status", "kind"), [(403, Unfetchable), (404, Unfetchable), (500, DependencyDown)])
def test_answers_are_told_apart_by_their_status(status: int, kind: type[Exception]) -> None:
    with store() as made, fetcher(made.url("/status"), total_timeout_s=1.0) as asking, pytest.raises(kind):
        asking.submit(Image(uri=f"s3://pictures/{status}")).result(PATIENCE_S)


def test_without_buckets_nothing_is_asked_for(endpoint: str) -> None:
    with fetcher(endpoint, s3_buckets=()) as made, pytest.raises(Refused):
        made.submit(Image(uri="s3://pictures/a")).result(PATIENCE_S)


def test_a_missing_extra_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(BadSettings, match=r"pip install 'sluice\[s3\]'"):
        fetcher("")

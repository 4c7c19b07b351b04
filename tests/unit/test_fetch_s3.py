"""Objects by s3: references, from a server that speaks the protocol."""

import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from sluice.core.errors import BadSettings, DependencyDown, Refused, Rejection, Unfetchable
from sluice.media.fetching.fetcher import Fetcher
from sluice.settings import Fetch, Media
from sluice_schemas import Image
from tests.support.stores import BODY, store

PATIENCE_S = 60
KEYS = (
    "a/b c.png", "ä?x#y", "image%20x", "image x", "100%", "a%2Fb", "a%25", "a+b", "a?versionId=1", "a#b", "a&b=c",
    "Screenshot 2026-01-01 at 9.41.00\u202fAM.png", "a\xa0b", "\U0001f469\u200d\U0001f4bb.png", "so\xadft", "a\u200fb",
    "a\u3000b", "a\\b", "C:\\pictures\\1.png", " a ", "~a", "a*b", "a'b(c)!", '"<>^`{|}', "...", ".a/..b", "a:b@c",
    "\u202ea", "a;b", "e\u0301", "\xe9", "\ufeffa", "$(x)", "a,b", "x/" * 30 + "y", "k" * 250,
)  # fmt: skip
"""Keys that people have. A key with a slash at an end, or two in a row, is refused: clients drop them."""
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
    for key, body in ((key, BODY if key != "big" else bytes(1001)) for key in (*KEYS, "big")):
        client.put_object(Bucket="pictures", Key=key, Body=body)
    client.put_object(Bucket="pictures", Key="streamed", Body=BODY, ContentEncoding="aws-chunked")
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


@pytest.mark.parametrize("key", [*KEYS, "streamed"], ids=ascii)
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


@pytest.mark.parametrize(
    ("status", "kind"),
    [(code, Unfetchable) for code in (401, 403, 404)]
    + [(code, DependencyDown) for code in (301, 400, 409, 429, 500, 503)],
)
def test_answers_are_told_apart_by_their_status(status: int, kind: type[Exception]) -> None:
    """A region that is not the bucket's is answered 301 or 400: a setting to mend, so every record waits."""
    total_s = 1.0 if kind is DependencyDown else PATIENCE_S
    with store() as made, fetcher(made.url("/status"), total_timeout_s=total_s) as asking, pytest.raises(kind):
        asking.submit(Image(uri=f"s3://pictures/{status}")).result(PATIENCE_S)


@pytest.mark.parametrize("path", ["/drip/headers", "/drip/body", "/silent", "/lying/10", "/chunked/10", "/moved/302"])
def test_an_endpoint_that_drips_lies_or_runs_in_circles_is_left_at_the_deadline(path: str) -> None:
    began = time.monotonic()
    with store() as made, fetcher(made.url(path), total_timeout_s=1.0) as asking, pytest.raises(DependencyDown):
        asking.submit(Image(uri="s3://pictures/10")).result(PATIENCE_S)
    assert time.monotonic() - began < 25  # the store goes on for thirty


def test_a_huge_object_is_not_read() -> None:
    """Its length is declared, the rest never comes, and nobody waits for it."""
    with store() as made, fetcher(made.url("/lying/123456789012?"), total_timeout_s=600.0) as asking:
        with pytest.raises(Unfetchable) as error:
            asking.submit(Image(uri="s3://pictures/a")).result(PATIENCE_S)
        assert error.value.reason == "too_large"


def test_signed_headers_stay_with_the_endpoint() -> None:
    with store() as made, store() as other:
        made.moved_to = other.url("/ok")
        with fetcher(made.url("/elsewhere?"), total_timeout_s=PATIENCE_S) as asking:
            assert asking.submit(Image(uri="s3://pictures/a")).result(PATIENCE_S) == BODY
        assert "authorization" in made.asked[0][1]
        assert not {"authorization", "x-amz-security-token"} & set(other.asked[0][1])


def test_a_proxy_in_the_environment_is_not_used(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:1")
    for reachable in (endpoint, endpoint.replace("127.0.0.1", "localhost")):
        with fetcher(reachable) as made:
            assert made.submit(Image(uri="s3://pictures/ä?x#y")).result(PATIENCE_S) == BODY


@pytest.mark.parametrize(
    "key", ["%2e%2e/secrets/a", "..%2fsecrets/a", "a/%2e%2e/%2e%2e/secrets/a", "?secrets/a", "#/a"]
)
def test_no_key_leaves_its_bucket(shop: Fetcher, key: str) -> None:
    with pytest.raises(Unfetchable) as error:
        shop.submit(Image(uri=f"s3://pictures/{key}")).result(PATIENCE_S)
    assert error.value.reason == "not_found"


def test_an_object_that_only_fails_is_given_up_while_its_bucket_serves_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sluice.media.fetching.fetcher._BACKOFF_S", 1e6)
    with store() as made, fetcher(made.url("/ok"), object_patience_s=1e-6) as asking:
        made.trouble = lambda path: 503 if path.endswith("broken") else 0
        assert asking.submit(Image(uri="s3://pictures/fine")).result(PATIENCE_S) == BODY
        errors = [asking.submit(Image(uri="s3://pictures/broken")).exception(PATIENCE_S) for _ in range(3)]
    assert [type(error) for error in errors] == [DependencyDown, DependencyDown, Unfetchable]


def test_without_buckets_nothing_is_asked_for(endpoint: str) -> None:
    with fetcher(endpoint, s3_buckets=()) as made, pytest.raises(Refused):
        made.submit(Image(uri="s3://pictures/a")).result(PATIENCE_S)


def test_a_missing_extra_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(BadSettings, match=r"pip install 'sluice\[s3\]'"):
        fetcher("")

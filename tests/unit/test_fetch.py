"""What a store may do to us, and what the record it was for gets."""

import hashlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sluice.core.errors import DependencyDown, Refused, Rejection, SluiceError, Unfetchable
from sluice.media.fetching.fetcher import Fetcher
from sluice.settings import Fetch, Media
from sluice_schemas import Image
from tests.support.stores import BODY, Store, store

PATIENCE_S = 60
HOST = "127.0.0.1"
MEDIA = Media(max_image_bytes=1000, max_inline_bytes=100)


@pytest.fixture(scope="module")
def running() -> Iterator[Store]:
    with store() as made:
        yield made


@pytest.fixture
def shop(running: Store) -> Store:
    running.asked.clear()
    return running


Make = Callable[..., Fetcher]


@pytest.fixture
def make(running: Store) -> Iterator[Make]:
    made: list[Fetcher] = []

    def build(resolve: Any = None, clock: Callable[[], float] = time.monotonic, **changes: Any) -> Fetcher:
        settings: dict[str, Any] = {
            "allowed_schemes": ("http", "https", "s3", "file"),
            "allowed_hosts": (HOST, "images.test"),
            "allowed_ports": (running.port, 1),
            "allow_private_addresses": True,
            "threads": 2,
            "connect_timeout_s": 30.0,
            "first_byte_timeout_s": 30.0,
            "total_timeout_s": 30.0,
        }
        extra = {"resolve": resolve} if resolve else {}
        made.append(Fetcher(Fetch(**settings | changes), MEDIA, clock=clock, **extra))
        return made[-1]

    yield build
    for fetcher in made:
        fetcher.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Callable[[], float]:
    """Return a clock by which a second passes at every look: a deadline ends after so many steps, never sooner."""
    monkeypatch.setattr("sluice.media.fetching.fetcher._BACKOFF_S", 0.001)
    looks = itertools.count()
    return lambda: next(looks)


def get(fetcher: Fetcher, uri: str, **fields: Any) -> bytes:
    return fetcher.submit(Image(uri=uri, **fields)).result(PATIENCE_S)


def failure(fetcher: Fetcher, image: Image) -> SluiceError:
    with pytest.raises(SluiceError) as error:
        fetcher.submit(image).result(PATIENCE_S)
    return error.value


def reason(fetcher: Fetcher, uri: str, kind: type[Rejection]) -> str:
    error = failure(fetcher, Image(uri=uri))
    assert type(error) is kind
    return error.reason


def test_inline_bytes_are_there_at_once(make: Make) -> None:
    assert make().submit(Image(bytes=b"x")).done()
    assert make().submit(Image(bytes=b"x", uri="https://else.where/")).result(0) == b"x"


def test_inline_bytes_over_the_limit_are_refused(make: Make) -> None:
    assert make().submit(Image(bytes=bytes(100))).result(0)
    error = failure(make(), Image(bytes=bytes(101)))
    assert isinstance(error, Refused)
    assert error.reason == "inline_too_large"


def test_an_event_without_an_image_is_refused(make: Make) -> None:
    error = failure(make(), Image())
    assert isinstance(error, Refused)
    assert error.reason == "no_image"


@pytest.mark.parametrize("how", ["inline", "http", "file"])
def test_bytes_that_differ_from_the_event_are_a_data_error(make: Make, shop: Store, tmp_path: Path, how: str) -> None:
    (tmp_path / "a").write_bytes(BODY)
    sources: dict[str, dict[str, Any]] = {
        "inline": {"bytes": BODY},
        "http": {"uri": shop.url("/ok")},
        "file": {"uri": (tmp_path / "a").as_uri()},
    }
    source = sources[how]
    fetcher = make(file_roots=(tmp_path,))
    digest = hashlib.sha256(BODY).hexdigest()
    assert fetcher.submit(Image(**source, sha256=digest.upper())).result(PATIENCE_S) == BODY
    error = failure(fetcher, Image(**source, sha256=digest[:-1] + ("0" if digest[-1] != "0" else "1")))
    assert isinstance(error, Unfetchable)
    assert error.reason == "hash_mismatch"


def test_the_exact_path_and_query_are_asked_for_without_cookies_or_compression(make: Make, shop: Store) -> None:
    fetcher = make()
    get(fetcher, shop.url("/cookie"))
    get(fetcher, shop.url("/ok/a%2Fb?sig=a%2Bb+c&x="))
    path, headers = shop.asked[1]
    assert path == "/ok/a%2Fb?sig=a%2Bb+c&x="
    assert headers["host"] == f"{HOST}:{shop.port}"
    assert headers["accept-encoding"] == "identity"
    assert "cookie" not in headers


def test_a_proxy_in_the_environment_is_not_used(make: Make, shop: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert get(make(), shop.url("/ok")) == BODY


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/status/404", "not_found"),
        ("/status/410", "not_found"),
        ("/status/403", "forbidden"),
        ("/status/401", "forbidden"),
        ("/status/400", "bad_status"),
        ("/status/206", "bad_status"),
        ("/big/1001", "too_large"),
        ("/chunked/1001", "too_large"),
        ("/zipped", "bad_encoding"),
    ],
)
def test_a_store_that_answers_no_is_a_data_error(make: Make, shop: Store, path: str, expected: str) -> None:
    assert reason(make(), shop.url(path), Unfetchable) == expected
    assert len(shop.asked) == 1


def test_the_largest_allowed_body_passes(make: Make, shop: Store) -> None:
    assert len(get(make(), shop.url("/big/1000"))) == 1000
    assert len(get(make(), shop.url("/chunked/1000"))) == 1000


@pytest.mark.parametrize("path", ["/status/500", "/status/503", "/status/429", "/lying/10"])
def test_a_store_in_trouble_is_asked_again_and_then_waited_for(
    make: Make, shop: Store, impatient: Callable[[], float], path: str
) -> None:
    fetcher = make(clock=impatient)
    assert isinstance(failure(fetcher, Image(uri=shop.url(path))), DependencyDown)
    assert len(shop.asked) >= 2


def test_a_store_that_recovers_in_time_costs_nothing(make: Make, shop: Store) -> None:
    assert get(make(), shop.url("/flaky/2")) == BODY
    assert len(shop.asked) == 3


@pytest.mark.parametrize("path", ["/silent", "/drip/headers", "/drip/body"])
def test_a_store_that_keeps_us_waiting_is_left_at_the_deadline(make: Make, shop: Store, path: str) -> None:
    """Each dripped byte arrives within the read timeout; the total is what ends it."""
    began = time.monotonic()
    assert isinstance(failure(make(total_timeout_s=0.6), Image(uri=shop.url(path))), DependencyDown)
    assert time.monotonic() - began < 20  # the store goes on for thirty


def test_a_store_without_a_first_byte_is_left_before_the_deadline(
    make: Make, shop: Store, impatient: Callable[[], float]
) -> None:
    fetcher = make(clock=impatient, first_byte_timeout_s=0.1)
    assert isinstance(failure(fetcher, Image(uri=shop.url("/silent"))), DependencyDown)
    assert len(shop.asked) >= 2


def test_nobody_listening_is_a_dependency(make: Make) -> None:
    assert isinstance(failure(make(total_timeout_s=0.5), Image(uri=f"http://{HOST}:1/")), DependencyDown)


def test_a_name_that_does_not_resolve_is_a_dependency(make: Make) -> None:
    def nothing(host: str, port: int) -> list[str]:
        raise OSError(host, port)

    assert isinstance(failure(make(nothing, total_timeout_s=0.5), Image(uri="http://images.test:1/")), DependencyDown)


def test_a_resolver_that_hangs_is_a_dependency(make: Make) -> None:
    leave = threading.Event()

    def hanging(host: str, port: int) -> list[str]:
        leave.wait(30)
        return [f"{host}{port}"]

    fetcher = make(hanging, connect_timeout_s=0.1, total_timeout_s=0.3)
    assert isinstance(failure(fetcher, Image(uri="http://images.test:1/")), DependencyDown)
    leave.set()


def test_names_nobody_waits_for_any_more_are_not_looked_up(make: Make, shop: Store) -> None:
    leave, looks = threading.Event(), list[str]()

    def hanging(host: str, port: int) -> list[str]:
        looks.append(f"{host}:{port}")
        leave.wait(PATIENCE_S)
        return [HOST]

    hosts = tuple(f"{number}.test" for number in range(20))
    slow = make(hanging, allowed_hosts=(".test",), threads=20, connect_timeout_s=0.1, total_timeout_s=0.1)
    waiting = [slow.submit(Image(uri=shop.url("/ok", host=host))) for host in hosts]
    assert all(isinstance(fetched.exception(PATIENCE_S), DependencyDown) for fetched in waiting)
    leave.set()
    slow.close()
    slow._web._network._names._pools[True].shutdown(wait=True)
    assert len(looks) <= 4  # as many as are looked up at once


def test_the_address_that_was_checked_is_the_one_connected_to(make: Make, shop: Store) -> None:
    """A name that answers with loopback at the second look (DNS rebinding) is only looked up once."""
    looks: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        looks.append(f"{host}:{port}")
        return [HOST]

    assert get(make(rebinding), shop.url("/ok", host="images.test")) == BODY
    assert looks == [f"images.test:{shop.port}"]
    assert shop.asked[0][1]["host"] == f"images.test:{shop.port}"


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "64:ff9b::7f00:1"])
def test_a_name_that_resolves_inside_is_refused_and_nobody_is_asked(make: Make, shop: Store, address: str) -> None:
    fetcher = make(lambda *_: ["8.8.8.8", address], allow_private_addresses=False)
    assert reason(fetcher, shop.url("/ok", host="images.test"), Refused) == "reference_address"
    assert shop.asked == []


def test_the_next_address_is_tried_when_one_does_not_answer(make: Make, shop: Store) -> None:
    fetcher = make(lambda *_: ["127.0.0.2", HOST])
    assert get(fetcher, shop.url("/ok", host="images.test")) == BODY


@pytest.mark.parametrize(
    "path", ["/status/503?sig=hunter2", "/status/404?sig=hunter2", "/to/hunter2", "/silent?hunter2"]
)
def test_errors_repeat_neither_path_nor_query(make: Make, shop: Store, path: str) -> None:
    error: BaseException | None = failure(make(total_timeout_s=0.5), Image(uri=shop.url(path)))
    while error is not None:
        assert "hunter2" not in str(error)
        error = error.__cause__


def test_closing_ends_the_wait_for_a_retry(make: Make, shop: Store) -> None:
    fetcher = make(total_timeout_s=600)
    waiting = fetcher.submit(Image(uri=shop.url("/status/503")))
    deadline = time.monotonic() + PATIENCE_S
    while not shop.asked and time.monotonic() < deadline:
        pass
    began = time.monotonic()
    fetcher.close()
    assert time.monotonic() - began < 10
    assert isinstance(waiting.exception(0), DependencyDown)

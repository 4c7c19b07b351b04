"""What a server may do to HTTP itself: lies about lengths, packed bodies, floods, answers to nobody's question."""

import bz2
import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from sluice.core.errors import DependencyDown, Rejection, SluiceError, Unfetchable
from sluice.media.fetching.fetcher import Fetcher
from sluice.settings import Fetch, Media
from sluice_schemas import Image
from tests.support.raw_http import Talk, talk

PATIENCE_S = 60
LIMIT = 100_000
OK = b"HTTP/1.1 200 OK\r\n"
BOMB = bytes(10_000_000)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a fetch fail with its first failure: no deadline leaves room for the pause before a second try."""
    monkeypatch.setattr("sluice.media.fetching.fetcher._BACKOFF_S", 1e6)


def fetcher(port: int, **changes: Any) -> Fetcher:
    settings: dict[str, Any] = {
        "allowed_schemes": ("http",),
        "allowed_hosts": ("127.0.0.1",),
        "allowed_ports": (port,),
        "allow_private_addresses": True,
        "threads": 1,
        "first_byte_timeout_s": 30.0,
        "total_timeout_s": 30.0,
    }
    return Fetcher(Fetch(**settings | changes), Media(max_image_bytes=LIMIT))


def answer(*answers: bytes, repeat: bytes = b"", **changes: Any) -> bytes | SluiceError:
    """Return what becomes of one fetch from a server that says this."""
    with talk(*answers, repeat=repeat) as server, fetcher(server.port, **changes) as made:
        return ask(made, server)


def ask(fetcher: Fetcher, server: Talk, path: str = "/") -> bytes | SluiceError:
    try:
        return fetcher.submit(Image(uri=server.url(path))).result(PATIENCE_S)
    except SluiceError as error:
        return error


def reason(found: bytes | SluiceError) -> str:
    """Return why an object was given up; "down" when it is waited for instead."""
    assert isinstance(found, SluiceError)
    return found.reason if isinstance(found, Rejection) else "down"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"Content-Length: 10\r\n\r\nshort", "down"),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "down"),
        (b"Content-Length: -1\r\n\r\nhello", "down"),
        (b"Content-Length: 0x5\r\n\r\nhello", "down"),
        (b"Content-Length: 5 6\r\n\r\nhello", "down"),
        (b"Content-Length: 99999999999999999999\r\n\r\nhello", "too_large"),
        (b"Content-Length: 100001\r\n\r\n", "too_large"),
        (b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "down"),
        (b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n", "down"),
        (b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", "down"),
        (b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello", "down"),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", "down"),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "down"),
        (b"Transfer-Encoding: chunked\r\n\r\n5;" + b"x" * 200_000, "down"),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 50_000, "down"),
        (b"X: " + b"x" * 200_000 + b"\r\n\r\n", "down"),
        (b"X: y\r\n" * 50_000 + b"\r\n", "down"),
        (b"No colon\r\n\r\n", "down"),
        (b"X: a\x00b\r\n\r\n", "down"),
    ],
    ids=lambda said: ascii(said[:60]),
)
def test_a_body_that_is_not_what_it_says_is_no_image(said: bytes, expected: str) -> None:
    assert reason(answer(OK + said)) == expected


@pytest.mark.parametrize("greeting", [b"", b"\x00\x01\x02\r\n\r\n", b"SSH-2.0-OpenSSH\r\n\r\n"])
def test_what_does_not_speak_http_is_a_dependency(greeting: bytes) -> None:
    assert reason(answer(greeting)) == "down"


def test_both_length_and_chunks_are_read_as_chunks() -> None:
    """RFC 9112 section 6.3: the chunks count; what follows them on this connection is believed no more."""
    both = b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    assert answer(OK + both) == b"hello"


def test_what_follows_the_declared_length_is_no_answer_to_the_next_question() -> None:
    smuggled = OK + b"Content-Length: 4\r\n\r\nevil"
    first = OK + b"Content-Length: 5\r\n\r\nhello" + smuggled
    with talk(first, OK + b"Content-Length: 4\r\n\r\ngood") as server, fetcher(server.port) as made:
        assert ask(made, server, "/first") == b"hello"
        assert ask(made, server, "/second") != b"evil"


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("gzip, gzip", lambda body: gzip.compress(gzip.compress(body))),
        ("identity, gzip", gzip.compress),
        ("br", lambda _: b"\x0b"),
        ("zstd", lambda _: b"(\xb5/\xfd"),
        ("bzip2", bz2.compress),
    ],
)
def test_a_packed_body_is_refused_and_never_unpacked(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    body = pack(BOMB)
    head = f"Content-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    tracemalloc.start()
    try:
        assert reason(answer(OK + head + body)) == "bad_encoding"
        assert tracemalloc.get_traced_memory()[1] < len(BOMB) / 2
    finally:
        tracemalloc.stop()


def test_a_second_encoding_does_not_hide_behind_the_first() -> None:
    head = b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"
    assert reason(answer(OK + head)) == "bad_encoding"


@pytest.mark.parametrize(
    "coding",
    [
        "Content-Encoding: aws-chunked",
        "Content-Encoding: AWS-Chunked",
        "Content-Encoding: identity,aws-chunked",
        "Content-Encoding:  aws-chunked ,\tidentity, ",
        "Content-Encoding: aws-chunked\r\ncontent-encoding: identity",
        "Content-Encoding: ,",
        "Content-Encoding:",
    ],
)
def test_a_word_of_how_an_object_was_stored_is_no_coding(coding: str) -> None:
    assert answer(OK + f"{coding}\r\nContent-Length: 5\r\n\r\nhello".encode()) == b"hello"


@pytest.mark.parametrize(
    "coding",
    [
        "Content-Encoding: aws-chunked, gzip",
        "Content-Encoding: gzip,aws-chunked",
        "Content-Encoding: aws-chunked\r\nContent-Encoding: identity,br",
        "Content-Encoding: aws-chunkedgzip",
        "Content-Encoding: aws-chunked;gzip",
    ],
)
def test_a_coding_does_not_hide_behind_such_a_word(coding: str) -> None:
    assert reason(answer(OK + f"{coding}\r\nContent-Length: 5\r\n\r\nhello".encode())) == "bad_encoding"


def bad_request(body: bytes, head: bytes = b"") -> bytes:
    return b"HTTP/1.1 400 Bad Request\r\n" + head + b"Content-Length: %d\r\n\r\n" % len(body) + body


S3 = b"<?xml version='1.0'?>\n<Error><Code>%s</Code><Message>no</Message></Error>"


@pytest.mark.parametrize(
    "said",
    [
        *(
            bad_request(S3 % code)
            for code in (
                b"ExpiredToken", b"InvalidToken", b"TokenRefreshRequired", b"RequestTimeTooSkewed", b"RequestExpired",
                b"AuthorizationQueryParametersError", b"AuthorizationHeaderMalformed", b"InvalidAccessKeyId",
                b"SignatureDoesNotMatch", b"AccessDenied", b"InvalidAuthenticationInfo", b"CredentialsNotSupported",
            )
        ),
        bad_request(b"<Error> <Message>x</Message>\n<Code>\n ExpiredToken </Code></Error>"),
        bad_request(b'{"error": {"code" : "ExpiredToken", "message": "no"}}'),
        bad_request(b"", b"x-ms-error-code: InvalidAuthenticationInfo\r\n"),
        b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(S3 % b"ExpiredToken")
        + S3 % b"ExpiredToken" + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 9999\r\n\r\n" + S3 % b"ExpiredToken",
    ],
    ids=lambda said: ascii(said[-70:]),
)  # fmt: skip
def test_a_permission_that_has_expired_is_a_forbidden_object(said: bytes) -> None:
    assert reason(answer(said)) == "forbidden"


@pytest.mark.parametrize(
    "said",
    [
        bad_request(b""),
        bad_request(S3 % b"InvalidRequest"),
        bad_request(S3 % b"InvalidArgument"),
        bad_request(b"<Error><Code>InvalidURI</Code><Message>ExpiredToken</Message></Error>"),
        bad_request(b"\xff\xfe<Code>"),
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        bad_request(b" " * 20_000 + S3 % b"ExpiredToken"),
    ],
    ids=lambda said: ascii(said[-70:]),
)
def test_any_other_bad_request_stays_one(said: bytes) -> None:
    assert reason(answer(said)) == "bad_status"


def test_an_endless_explanation_is_left_at_the_limit() -> None:
    endless = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    with talk(endless, repeat=b"x" * 1000) as server, fetcher(server.port, total_timeout_s=3600.0) as made:
        assert reason(ask(made, server)) == "bad_status"


@pytest.mark.parametrize("head", [b"\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
def test_an_endless_body_is_left_at_the_limit(head: bytes) -> None:
    piece = b"x" * 1000 if head == b"\r\n" else b"3e8\r\n" + b"x" * 1000 + b"\r\n"
    with talk(OK + head, repeat=piece) as server, fetcher(server.port) as made:
        assert reason(ask(made, server)) == "too_large"


@pytest.mark.parametrize("line", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"])
def test_endless_preliminary_answers_are_left_at_the_limit(line: bytes) -> None:
    """Nothing but the deadline would end them, and until then they would keep a processor busy."""
    with talk(b"", repeat=line * 100) as server, fetcher(server.port, total_timeout_s=3600.0) as made:
        assert reason(ask(made, server)) == "down"


def test_tiny_chunks_are_left_at_the_limit() -> None:
    """A byte a chunk makes six of one: the wire is held to a limit as well as the body."""
    head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    with talk(head, repeat=b"1;a=bcdefghijklmnop\r\nx\r\n" * 100) as server, fetcher(server.port) as made:
        assert reason(ask(made, server)) == "down"


@pytest.mark.parametrize(
    "line", [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: evil\r\n\r\n", b"HTTP/1.1 999 Odd\r\n\r\n"]
)
def test_an_odd_status_is_no_image(line: bytes) -> None:
    assert reason(answer(line)) in {"bad_status", "down"}


def test_one_preliminary_answer_is_nothing_special() -> None:
    assert answer(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nhello") == b"hello"


def test_nothing_of_ours_but_the_question_is_said() -> None:
    """No cookie that was set, no credentials, no name of the one who refers."""
    first = OK + b"Set-Cookie: a=b; Domain=127.0.0.1\r\nWWW-Authenticate: Basic\r\nContent-Length: 1\r\n\r\nx"
    with talk(first, first) as server, fetcher(server.port) as made:
        assert [ask(made, server, "/a"), ask(made, server, "/b?c")] == [b"x", b"x"]
        names = {line.partition(b":")[0].lower() for heard in server.heard for line in heard.splitlines()[1:] if line}
    assert names == {b"host", b"accept", b"accept-encoding", b"user-agent"}


def test_a_refused_body_leaves_no_connection_behind() -> None:
    """What is left unread of an object that is too large must not be taken for the next one."""
    large = OK + b"Content-Length: 100001\r\n\r\n" + b"x" * 100_001
    with talk(large) as server, fetcher(server.port) as made:
        for _ in range(3):
            found = ask(made, server)
            assert isinstance(found, Unfetchable)
            assert not isinstance(found, DependencyDown)

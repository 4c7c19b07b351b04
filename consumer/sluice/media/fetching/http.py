"""http and https references: each name resolved once, its addresses checked, and that very address connected to.

httpcore rather than a full client: no proxy, cookie, netrc, redirect or decompression exists here to be switched off.
"""

import re
import ssl
import threading
from collections.abc import Callable, Iterable
from urllib.parse import urljoin

import httpcore

from sluice.core.errors import Refused, Unfetchable
from sluice.media.fetching import references
from sluice.media.fetching.circuit_breaker import Transient
from sluice.media.fetching.host_names import Names, Resolve
from sluice.settings import Fetch

_WIRE = 256 * 1024  # headers and framing; with twice the body far more than chunks of an honest size take
_OK, _BAD_REQUEST, _REQUEST_TIMEOUT, _TOO_EARLY, _TOO_MANY_REQUESTS, _SERVER_ERROR = 200, 400, 408, 425, 429, 500
_GONE, _FORBIDDEN, _REDIRECTS = {404, 410}, {401, 403}, {301, 302, 303, 307, 308}
_NO_CODINGS = {b"", b"identity", b"aws-chunked"}
"""aws-chunked is how an object came to the store; stores that keep the word with it send plain bytes all the same."""

_MAX_ERROR_BYTES = 16 * 1024  # S3's longest repeat the request in a few thousand bytes
_ERROR_CODE = re.compile(rb"""<Code>\s*(\w+)\s*</Code>|"code"\s*:\s*"(\w+)\"""", re.IGNORECASE)
_PERMISSION = re.compile(
    rb"Expired|Token|Skew|Signature|Credential|AccessDenied|AccessKey|Forbidden|Unauthorized|Authenticat|Authoriz"
    rb"|InvalidSecurity|MissingSecurity",
    re.IGNORECASE,
)
_HEADERS = [(b"Accept", b"image/*"), (b"Accept-Encoding", b"identity"), (b"User-Agent", b"sluice")]


class Web:
    """Fetches over HTTP/1.1. Thread-safe; connections are kept per host name."""

    def __init__(
        self,
        settings: Fetch,
        rules: references.Rules,
        *,
        resolve: Resolve,
        tls: ssl.SSLContext | None,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._rules = rules
        names = Names(
            resolve,
            clock,
            patience_s=settings.object_patience_s,
            fetches=settings.threads,
            spelled_out=sum(not host.startswith(".") for host in rules.hosts),
        )
        self._network = _Network(names, clock, allow_private=settings.allow_private_addresses)
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls or ssl.create_default_context(),
            max_connections=settings.threads,
            keepalive_expiry=5.0,
            network_backend=self._network,
        )

    def get(self, reference: references.Web, max_bytes: int, deadline_s: float) -> bytes:
        """Fetch one image. Raises Refused, Unfetchable or Transient; ends by `deadline_s` on the clock."""
        self._network.allow(deadline_s, 2 * max_bytes + _WIRE)
        for _ in range(self._settings.max_redirects + 1):
            try:
                answer = self._ask(reference, max_bytes)
            except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
                raise Transient(type(error).__name__) from error
            if isinstance(answer, bytes):
                return answer
            reference = answer
        raise Refused("reference_redirect", "more redirects than SLUICE_FETCH__MAX_REDIRECTS")

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()
        self._network.close()

    def _ask(self, reference: references.Web, max_bytes: int) -> "bytes | references.Web":
        seconds = self._settings
        timeouts = {
            "connect": seconds.connect_timeout_s,
            "read": seconds.first_byte_timeout_s,
            "write": seconds.first_byte_timeout_s,
            "pool": seconds.total_timeout_s,
        }
        self._network.rule(reference.rule)
        url = httpcore.URL(
            scheme=reference.scheme.encode(),
            host=reference.host.strip("[]").encode(),
            port=reference.port,
            target=reference.target.encode(),
        )
        headers = [(b"Host", _host_header(reference)), *_HEADERS]
        with self._pool.stream("GET", url, headers=headers, extensions={"timeout": timeouts}) as response:
            stream = response.extensions["network_stream"]
            if isinstance(stream, _Stream) and not stream.heard:
                raise Transient("an answer from before the question")
            if response.status in _REDIRECTS:
                return self._redirected(reference, response)
            _check_status(response)
            return _body(response, max_bytes)

    def _redirected(self, reference: references.Web, response: httpcore.Response) -> references.Web:
        if self._settings.max_redirects == 0:
            raise Refused("reference_redirect", "SLUICE_FETCH__MAX_REDIRECTS is 0")
        target = references.parse(_absolute(reference, _header(response, b"location").decode("latin-1")), self._rules)
        if not isinstance(target, references.Web) or (reference.scheme, target.scheme) == ("https", "http"):
            raise Refused("reference_redirect", "to a weaker scheme")
        return target


class _Network(httpcore.NetworkBackend):
    """Connects to addresses that passed the guards, and holds every read and write to the thread's deadline."""

    def __init__(self, names: Names, clock: Callable[[], float], *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._names = names
        self._clock = clock
        self._sockets = httpcore.SyncBackend()
        self._thread = threading.local()

    def allow(self, deadline_s: float, max_bytes: int) -> None:
        """Set when the calling thread must be done, and how much it may read until then."""
        self._thread.deadline_s = deadline_s
        self._thread.bytes_left = max_bytes

    def rule(self, rule: str) -> None:
        """Set which rule allows the host that the calling thread asks for now."""
        self._thread.rule = rule

    def spend(self, size: int) -> None:
        """Count what was read: preliminary answers and chunks of one byte have no end of their own."""
        self._thread.bytes_left -= size
        if self._thread.bytes_left < 0:
            raise httpcore.RemoteProtocolError

    def left(self, timeout: float | None) -> float:
        """Return the shorter of a timeout and what is left of the thread's time; ReadTimeout when nothing is."""
        left: float = self._thread.deadline_s - self._clock()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left if timeout is None else min(timeout, left)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Resolve once, check every address, connect to the first that answers."""
        del local_address
        found = self._names.find(host, port, self._thread.rule, self.left(timeout))
        addresses = references.check_addresses(found, allow_private=self._allow_private)
        for last, address in enumerate(addresses, start=1 - len(addresses)):
            try:
                stream = self._sockets.connect_tcp(address, port, self.left(timeout), None, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if last == 0:
                    raise
            else:
                return _Stream(stream, self)
        raise httpcore.ConnectError

    def close(self) -> None:
        """Let go of the resolver threads."""
        self._names.close()


class _Stream(httpcore.NetworkStream):
    """A connection whose every step ends by the deadline: a server that drips bytes, or floods us, wins nothing."""

    def __init__(self, stream: httpcore.NetworkStream, network: _Network) -> None:
        self._stream = stream
        self._network = network
        self.heard = False
        """Whether anything came since the last word said: a body longer than declared leaves a rest behind."""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._stream.read(max_bytes, self._network.left(timeout))
        self._network.spend(len(data))
        self.heard = True
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.heard = False
        self._stream.write(buffer, self._network.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, self._network.left(timeout)), self._network)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


def _absolute(reference: references.Web, location: str) -> str:
    """Resolve a redirect's target, which urljoin would repair in silence: it drops tabs and spaces at the ends."""
    if not location or not location.isprintable() or location != location.strip():
        raise Refused("reference_redirect", "without a target of plain characters")
    try:
        return urljoin(reference.origin + reference.target, location)
    except ValueError as error:  # brackets that hold no address, characters that normalise to others
        raise Refused("reference_malformed", "a redirect's target") from error


def _host_header(reference: references.Web) -> bytes:
    usual = {"https": 443, "http": 80}[reference.scheme]
    return (reference.host if reference.port == usual else f"{reference.host}:{reference.port}").encode()


def _check_status(response: httpcore.Response) -> None:
    status = response.status
    if status == _OK:
        return
    if status in _GONE:
        raise Unfetchable("not_found", f"status {status}")
    if status in _FORBIDDEN or (status == _BAD_REQUEST and _permission(response)):
        raise Unfetchable("forbidden", f"status {status}")
    if status >= _SERVER_ERROR or status in (_REQUEST_TIMEOUT, _TOO_EARLY, _TOO_MANY_REQUESTS):
        raise Transient(f"status {status}")
    raise Unfetchable("bad_status", f"status {status}")


def _permission(response: httpcore.Response) -> bool:
    """Whether a store calls a request bad because what allowed it, a signature or a token, is no longer good.

    S3 answers a presigned URL so whose token has expired; the code is in the body, with Azure in a header, too.
    """
    said = bytearray()
    try:
        for piece in response.iter_stream():
            said += piece
            if len(said) > _MAX_ERROR_BYTES:
                break
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError):
        pass  # what was said so far tells, or the status alone does
    codes = [found[1] or found[2] for found in _ERROR_CODE.finditer(said[:_MAX_ERROR_BYTES])]
    return any(_PERMISSION.search(code) for code in (*codes, _header(response, b"x-ms-error-code")))


def _body(response: httpcore.Response, max_bytes: int) -> bytes:
    said = b",".join(value for key, value in response.headers if key.lower() == b"content-encoding")
    if {coding.strip().lower() for coding in said.split(b",")} - _NO_CODINGS:
        raise Unfetchable("bad_encoding", "an encoded body that was not asked for")
    length = _header(response, b"content-length")
    if length.isdigit() and int(length) > max_bytes:
        raise Unfetchable("too_large", f"over {max_bytes} bytes")
    data = bytearray()
    for piece in response.iter_stream():
        data += piece
        if len(data) > max_bytes:
            raise Unfetchable("too_large", f"over {max_bytes} bytes")
    return bytes(data)


def _header(response: httpcore.Response, name: bytes) -> bytes:
    return next((value for key, value in response.headers if key.lower() == name), b"")

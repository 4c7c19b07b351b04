"""References to bytes, guarded: what an event names is fetched only if the settings allow it, and in bounded time.

Refused: we will not ask. Unfetchable: the store answered, and the image is not to be had. DependencyDown: the store
gave no proper answer in time; nothing is known of the image, so its record waits.
"""

import hashlib
import random
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from sluice.core.errors import DependencyDown, Refused, Rejection, Unfetchable
from sluice.media import files, guards, store, web
from sluice.media.breaker import Breakers
from sluice.settings import Fetch, Media
from sluice_schemas import Image

_BACKOFF_S = 0.2  # doubled at each try, plus up to as much again so that many fetchers do not return in step

Ask = Callable[[float], bytes]


class Fetcher:
    """Fetches images on a pool of threads. `tls` and `resolve` default to the system's; `clock` is monotonic."""

    def __init__(
        self,
        settings: Fetch,
        media: Media,
        *,
        resolve: web.Resolve = web.resolve,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._max_bytes = media.max_image_bytes
        self._max_inline_bytes = media.max_inline_bytes
        self._clock = clock
        self._rules = guards.Rules(
            schemes=settings.allowed_schemes,
            hosts=settings.allowed_hosts,
            ports=settings.allowed_ports,
            buckets=settings.s3_buckets,
        )
        self._breakers = Breakers(clock)
        self._read_object = store.reader(settings) if settings.s3_buckets else None
        self._web = web.Web(settings, self._rules, resolve=resolve, tls=tls, clock=clock)
        self._closing = threading.Event()
        self._jitter = random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="fetch")

    def submit(self, image: Image) -> Future[bytes]:
        """Get the bytes of an image, inline ones at once. The future raises Refused, Unfetchable or DependencyDown."""
        if image.bytes is None:
            return self._threads.submit(self._referenced, image)
        done: Future[bytes] = Future()
        try:
            done.set_result(_checked(image, self._inline(image.bytes)))
        except Rejection as error:
            done.set_exception(error)
        return done

    def close(self) -> None:
        """Stop waiting for retries, end the threads, close the connections."""
        self._closing.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._web.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _inline(self, data: bytes) -> bytes:
        if len(data) > self._max_inline_bytes:
            raise Refused("inline_too_large", f"{len(data)} bytes; SLUICE_MEDIA__MAX_INLINE_BYTES allows fewer")
        return data

    def _referenced(self, image: Image) -> bytes:
        if not image.uri:
            raise Refused("no_image", "neither bytes nor a reference")
        reference = guards.parse(image.uri, self._rules)
        if isinstance(reference, guards.Local):
            return _checked(image, files.read(reference.path, self._settings.file_roots, self._max_bytes))
        name, ask = self._remote(reference)
        return _checked(image, self._guarded(name, ask))

    def _remote(self, reference: guards.Web | guards.Stored) -> tuple[str, Ask]:
        """Return who is asked, and how; the question gets the deadline."""
        if isinstance(reference, guards.Web):
            return reference.origin, lambda deadline_s: self._web.get(reference, self._max_bytes, deadline_s)
        read_object = self._read_object
        if read_object is None:
            raise Refused("reference_bucket", "SLUICE_FETCH__S3_BUCKETS is empty")
        return (
            f"s3://{reference.bucket}",
            lambda deadline_s: read_object(reference, self._max_bytes, max(0.001, deadline_s - self._clock())),
        )

    def _guarded(self, name: str, ask: Ask) -> bytes:
        """Ask through the breaker: an answer closes it, whatever the answer; only silence opens it."""
        self._breakers.admit(name)
        answered = False
        try:
            data = self._tried(name, ask)
            answered = True
        except Rejection:
            answered = True
            raise
        finally:
            self._breakers.note(name, answered=answered)
        return data

    def _tried(self, name: str, ask: Ask) -> bytes:
        """Ask again after each transient failure while the deadline allows; then DependencyDown."""
        deadline_s = self._clock() + self._settings.total_timeout_s
        pause_s = _BACKOFF_S
        while True:
            try:
                return ask(deadline_s)
            except web.Transient as error:
                wait_s = pause_s * (1 + self._jitter.random())
                if self._clock() + wait_s >= deadline_s or self._closing.wait(wait_s):
                    raise DependencyDown(name, str(error)) from error
                pause_s *= 2


def _checked(image: Image, data: bytes) -> bytes:
    if image.sha256 is not None and image.sha256.lower() != hashlib.sha256(data).hexdigest():
        raise Unfetchable("hash_mismatch", "the bytes are not those the event was made for")
    return data

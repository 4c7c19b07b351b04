"""References to bytes, guarded: what an event names is fetched only if the settings allow it, and in bounded time.

Refused: we will not ask. Unfetchable: the store answered, and the image is not to be had. DependencyDown: the store
gave no proper answer in time; nothing is known of the image, so its record waits: for ever if the store serves nothing,
for `object_patience_s` if it serves every other image but this.
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
from sluice.media.fetching import files, host_names, http, references, s3
from sluice.media.fetching.circuit_breaker import Breakers, Transient
from sluice.media.fetching.object_failures import ObjectFailures
from sluice.settings import Fetch, Media
from sluice_schemas import Image

_BACKOFF_S = 0.2  # doubled at each try, plus up to as much again so that many fetchers do not return in step


class Fetcher:
    """Fetches images on a pool of threads. `tls` and `resolve` default to the system's; `clock` is monotonic."""

    def __init__(
        self,
        settings: Fetch,
        media: Media,
        *,
        resolve: host_names.Resolve = host_names.resolve,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._max_bytes = media.max_image_bytes
        self._max_inline_bytes = media.max_inline_bytes
        self._clock = clock
        self._rules = references.Rules(
            schemes=settings.allowed_schemes,
            hosts=settings.allowed_hosts,
            ports=settings.allowed_ports,
            buckets=settings.s3_buckets,
        )
        self._breakers = Breakers(clock)
        self._object_failures: ObjectFailures[references.Reference] = ObjectFailures(clock, settings.object_patience_s)
        self._read_object = s3.reader(settings) if settings.s3_buckets else None
        self._web = http.Web(settings, self._rules, resolve=resolve, tls=tls, clock=clock)
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

    @property
    def resting(self) -> int:
        """How many stores get no request now, because they failed again and again; any thread may ask."""
        return self._breakers.open

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
        return _checked(image, self._guarded(references.parse(image.uri, self._rules)))

    def _guarded(self, reference: references.Reference) -> bytes:
        """Ask through the breaker: a store that answers closes it, whatever the answer; only silence opens it."""
        store_name, began_s = reference.store, self._clock()
        self._breakers.admit(store_name)
        answers = False
        try:
            data = self._tried(reference, began_s + self._settings.total_timeout_s)
            answers = True
            self._object_failures.served(reference)
        except Rejection:
            answers = True
            self._object_failures.forget(reference)
            raise
        except DependencyDown as down:
            answers = self._serves_another(reference, began_s)
            if not answers or isinstance(
                down.__cause__, host_names.Unanswered
            ):  # of the object itself nothing is known
                self._object_failures.forget(reference)
            elif self._object_failures.failed(reference):
                raise Unfetchable("store_error", "for this object alone, again and again") from down
            raise
        finally:
            self._breakers.note(store_name, answered=answers)
        return data

    def _serves_another(self, reference: references.Reference, since_s: float) -> bool:
        """Whether the store has served another object since, or serves one now: what it served last is asked for."""
        probe = self._object_failures.probe(reference)
        if probe is None or self._closing.is_set():
            return False
        other, served_s = probe
        if served_s >= since_s:
            return True
        try:
            self._ask(other, self._clock() + self._settings.connect_timeout_s + self._settings.first_byte_timeout_s)
        except (Transient, Rejection):  # a refusal may be a gateway's, with no store behind it
            return False
        self._object_failures.served(other)
        return True

    def _tried(self, reference: references.Reference, deadline_s: float) -> bytes:
        """Ask again after each transient failure while the deadline allows; then DependencyDown."""
        pause_s = _BACKOFF_S
        while True:
            try:
                return self._ask(reference, deadline_s)
            except host_names.Unanswered as error:
                raise DependencyDown(reference.store, str(error)) from error
            except Transient as error:
                wait_s = pause_s * (1 + self._jitter.random())
                if self._clock() + wait_s >= deadline_s or self._closing.wait(wait_s):
                    raise DependencyDown(reference.store, str(error)) from error
                pause_s *= 2

    def _ask(self, reference: references.Reference, deadline_s: float) -> bytes:
        match reference:
            case references.Web():
                return self._web.get(reference, self._max_bytes, deadline_s)
            case references.Local(path):
                return files.read(path, self._settings.file_roots, self._max_bytes)
        if self._read_object is None:
            raise Refused("reference_bucket", "SLUICE_FETCH__S3_BUCKETS is empty")
        return self._read_object(reference, self._max_bytes, max(0.001, deadline_s - self._clock()))


def _checked(image: Image, data: bytes) -> bytes:
    if image.sha256 is not None and image.sha256.lower() != hashlib.sha256(data).hexdigest():
        raise Unfetchable("hash_mismatch", "the bytes are not those the event was made for")
    return data

"""Decoder processes that may die: an image goes in, a Picture or Unreadable comes out, always, and in bounded time."""

import hashlib
import os
import sys
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from types import TracebackType
from typing import Self

from sluice.core.errors import DependencyDown, Unreadable
from sluice.core.metrics import Observe
from sluice.media.decoding.limits import Limits
from sluice.media.decoding.sniff import sniff
from sluice.media.workers import protocol
from sluice.media.workers.fork_client import Asked, Decoder, ForkServerClient
from sluice.moderation.values import Picture, Thumbnail
from sluice.settings import Media

_TRIES = 2
_IMAGES_PER_DECODER = 500  # a leak in a parser then stays small
_DECODE = "sluice.media.decoding.picture:decode_picture"
_WALL_TIMES, _LEAST_WALL_S = 6, 60.0


class DecoderPool:
    """Decodes images in disposable processes, `media.decoders` at a time (0: one per core).

    A verdict depends on bytes and not on load: what an image may take is processor time, `decode_timeout_s` of it. Six
    times that by the clock, a minute at least, and a decoder counts as stalled: the machine is too crowded, so the
    image waits, unless others were decoded between two times that this one was not. A decoder that dies is replaced
    and the image gets a second try, because a killer of processes is not the image's fault; the second death is.
    """

    def __init__(
        self, media: Media, *, observe: Observe, thumbnails: tuple[Thumbnail, ...] = (), decode: str = _DECODE
    ) -> None:
        self._limits = Limits.of(media, thumbnails=thumbnails)
        self._cpu_s = media.decode_timeout_s
        self._wall_s = max(_WALL_TIMES * media.decode_timeout_s, _LEAST_WALL_S)
        self._lock = threading.Lock()
        self._answered = 0
        self._stalls: dict[str, int] = {}
        self._observe = observe
        self._idle: deque[Decoder] = deque()
        self._fork_client = ForkServerClient(
            {
                "limits": asdict(self._limits),
                "memory_bytes": media.decoder_memory_bytes,
                "cpu_s": media.decode_timeout_s,
                "decode": decode,
                "warm": decode == _DECODE,
            }
        )
        self._threads = ThreadPoolExecutor(media.decoders or _cores(), thread_name_prefix="decode")

    def submit(self, data: bytes) -> Future[Picture]:
        """Decode an image. The future raises Unreadable, DependencyDown when that cannot be done now, NoDecoders."""
        return self._threads.submit(self._picture, data, self._limits)

    def known(self, data: bytes) -> Future[Picture]:
        """Decode a picture of our own likewise, whatever the settings refuse."""
        return self._threads.submit(self._picture, data, self._limits.of_ours(), ours=True)

    def close(self) -> None:
        """Stop taking images, let the running ones finish, end every process."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        while self._idle:
            self._idle.pop().kill()
        self._fork_client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _picture(self, data: bytes, limits: Limits, *, ours: bool = False) -> Picture:
        if len(data) > limits.max_image_bytes:
            raise Unreadable("too_many_bytes", f"{len(data)} bytes, {limits.max_image_bytes} allowed")
        sniff(data, limits.formats)
        asked = Asked(data, limits, hashlib.sha256(data).hexdigest(), ours)
        reason = ""
        for _ in range(_TRIES):
            answer = self._tried(asked)
            if isinstance(answer, Picture):
                return answer
            reason = answer
            self._observe("sluice.decoder.deaths", 1, {"reason": reason})
            if reason == "decode_timeout":
                raise Unreadable(reason, f"over {self._cpu_s:g} s of processor time (media.decode_timeout_s)")
        if reason == "decode_stalled":
            self._blame_or_wait(asked.sha256)
        raise Unreadable(reason, f"{_TRIES} decoders failed on this image")

    def _tried(self, asked: Asked) -> Picture | str:
        """Return the picture, or why its decoder had to end. Raises Unreadable."""
        decoder = self._decoder()
        try:
            picture = decoder.picture(asked, self._wall_s)
        except Unreadable as error:
            self._give_back(decoder, spoilt=error.reason == "decoder_memory")
            self._count(asked.sha256)
            raise
        except protocol.Spent:
            reason = "decode_timeout"
        except TimeoutError:
            reason = "decode_stalled"
        except (protocol.Garbled, OSError):
            reason = "decoder_crash"
        else:
            self._give_back(decoder)
            self._count(asked.sha256)
            return picture
        decoder.kill()
        return reason

    def _count(self, sha256: str) -> None:
        with self._lock:
            self._answered += 1
            self._stalls.pop(sha256, None)

    def _blame_or_wait(self, sha256: str) -> None:
        """Raise DependencyDown, unless others were answered since this image was told to wait before."""
        with self._lock:
            before = self._stalls.setdefault(sha256, self._answered)
            if self._answered == before:
                said = f"no answer within {self._wall_s:g} s, and the processor time is not used up: too few processors"
                raise DependencyDown("decoder processes", said)
            del self._stalls[sha256]

    def _decoder(self) -> Decoder:
        while self._idle:
            decoder = self._idle.pop()
            if decoder.alive():
                return decoder
            decoder.kill()
        return self._fork_client.decoder()

    def _give_back(self, decoder: Decoder, *, spoilt: bool = False) -> None:
        if spoilt or decoder.images >= _IMAGES_PER_DECODER:
            decoder.kill()
        else:
            self._idle.append(decoder)


def _cores() -> int:
    """Count the cores this process may use, which in a container are fewer than the machine's."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1

"""One life of a fast worker: the product's own consumer, but for what judges, and with fail-points.

A worker of a trial dies every few seconds, and loading models takes longer. So lives are forked from a server that has
imported everything once, decoding is a look at a picture's first and last bytes, and scores follow from its digest. The
clients, the loop, the batcher, the pipeline, the verdict builder, the fuse and the policy are those of `sluice run`.
"""

import hashlib
import os
import re
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread

import numpy as np

from sluice.cli.frame import print_error
from sluice.cli.run import Stop
from sluice.core.errors import Rejection, Unreadable
from sluice.core.metrics import Observe
from sluice.models.load import Turning
from sluice.models.worker import InferenceWorker, PassWatchdog
from sluice.moderation.values import CHECKER, Job, Picture, Scores, Thumbnail
from sluice.services.moderator import app
from sluice.settings import Media, Models
from sluice.settings.sources import load
from sluice_schemas import Clip, Concept, ModelRef, Technical
from tests.chaos.failpoints import Mortal, Order, Trap
from tests.support.forked import settle

DEAF = "CHAOS_DEAF"
POISON = re.compile(rb"poison [0-9]+")
"""What a picture holds that kills whoever decodes it; the feed puts it there."""
ENDS = {b"\xff\xd8\xff": b"\xff\xd9", b"\x89PNG": b"IEND\xaeB`\x82"}
"""How a whole JPEG or PNG ends, by how it starts."""
MODEL = ModelRef("safety", "digest", "1", hashlib.sha256(b"digest").hexdigest(), "float32")
FIRES_AT = 253  # of 255: one picture in ten
TECHNICAL = Technical(blur=0.0, noise_sigma=0.0, clipped_dark=0.0, clipped_light=0.0, flat=0.0)
TILES = np.zeros((1, 1, 1, 3), np.uint8)


def live(environment: Mapping[str, str], folder: Path, log: Path, line: Connection) -> None:
    """Live until SIGTERM, an error or a fail-point; orders come by `line`, the point of death goes back by it."""
    settle(environment, folder, log)
    trap = Trap(line.send)
    Thread(target=_obey, args=(line, trap), daemon=True).start()
    try:
        app.run(load(None).settings, Stop(), factories(trap, deaf=DEAF in environment))
    except Exception as error:  # noqa: BLE001  the edge of a process, as in `sluice.__main__`
        traceback.print_exception(error)
        sys.exit(print_error(error))


def factories(trap: Trap, *, deaf: bool = False) -> app.Factories:
    """Return how the ends of such a consumer are opened; a deaf one never hears of an error, and so never doubts."""
    mortal = Mortal(trap, deaf=deaf)

    def decoders(_media: Media, *, observe: Observe, thumbnails: tuple[Thumbnail, ...]) -> nullcontext[Glance]:  # noqa: ARG001
        return nullcontext(Glance(trap))

    def inference(_models: Models, *, observe: Observe, turning: Turning) -> InferenceWorker:  # noqa: ARG001
        def score(jobs: Sequence[Job]) -> list[Scores | Rejection]:
            trap("before_lane")
            scores: list[Scores | Rejection] = [scores_of(job.picture.sha256) for job in jobs]
            trap("after_lane")
            return scores

        return InferenceWorker(score, [MODEL], PassWatchdog(time.monotonic), timeout_s=60.0)

    return app.Factories(consumer=mortal.consumer, producer=mortal.producer, decoders=decoders, inference=inference)


@dataclass(frozen=True, slots=True)
class Glance:
    """Decoders that take what starts and ends like one for a picture, and die of poison."""

    at: Trap

    def known(self, data: bytes) -> Future[Picture]:
        """Look at one of our own likewise."""
        return self.submit(data)

    def submit(self, data: bytes) -> Future[Picture]:
        """Look at it at once."""
        self.at("after_fetch")
        done: Future[Picture] = Future()
        try:
            done.set_result(self._picture(data))
        except Unreadable as error:
            done.set_exception(error)
        return done

    def _picture(self, data: bytes) -> Picture:
        sha256 = hashlib.sha256(data).hexdigest()
        self.at("mid_decode")
        if dose := POISON.search(data):
            self.at.end(dose[0].decode())
        if not any(data.startswith(start) and data.endswith(end) for start, end in ENDS.items()):
            raise Unreadable("corrupt", "no whole picture")
        return Picture(sha256, "image/jpeg", 1, 1, frames=1, tiles=TILES, coverage=1.0, technical=TECHNICAL)


def scores_of(sha256: str) -> Scores:
    """Return scores that follow from a digest."""
    values = bytes.fromhex(sha256)
    concepts = tuple(_concept(name, value) for name, value in zip(CHECKER.plain, values, strict=False))
    fired = any(concept.fired for concept in concepts)
    return Scores(concepts, fired, guard_band_recheck=False, clip=Clip(values[-1] / 255, 7, prompt_truncated=False))


def _concept(name: str, value: int) -> Concept:
    cosine, threshold = value / 255, FIRES_AT / 255
    return Concept(name, cosine, threshold, 0.0, cosine - threshold, cosine > threshold)


def _obey(line: Connection, trap: Trap) -> None:
    """Pass orders on to the trap; end at once when nobody is at the other end of the line any more."""
    try:
        while True:
            order: Order = line.recv()
            trap.set(order)
    except (EOFError, OSError):
        os._exit(1)

"""`python -m tests.bench.blank`: `sluice run` but for what judges. Nothing is decoded, and every picture scores alike.

A pass takes BENCH_PASS_MS milliseconds and BENCH_IMAGE_MS more for each picture (0 both): a device that is busy while
the processor is not.
"""

import hashlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import nullcontext

import numpy as np

from sluice.cli.frame import print_error
from sluice.cli.run import Stop
from sluice.core.errors import Rejection
from sluice.core.metrics import Observe
from sluice.models.load import Turning
from sluice.models.worker import InferenceWorker, PassWatchdog
from sluice.moderation.values import CHECKER, Job, Picture, Scores
from sluice.services.moderator import app
from sluice.settings import Models, Settings
from sluice.settings.sources import load
from sluice_schemas import Clip, Concept, ModelRef, Technical

TECHNICAL = Technical(blur=0.0, noise_sigma=0.0, clipped_dark=0.0, clipped_light=0.0, flat=0.0)
TILES = np.zeros((1, 224, 224, 3), np.uint8)
SCORES = Scores(
    tuple(Concept(name, 0.1, 0.2, 0.0, -0.1, fired=False) for name in CHECKER.plain),
    reference_has_nsfw=False,
    guard_band_recheck=False,
    clip=Clip(0.25, 7, prompt_truncated=False),
)
MODEL = ModelRef("safety", "blank", "1", hashlib.sha256(b"blank").hexdigest(), "float32")


class Decoders:
    """Take anything for a picture; its digest is computed, as the real ones do."""

    def submit(self, data: bytes) -> Future[Picture]:
        """Answer at once."""
        sha256 = hashlib.sha256(data).hexdigest()
        done: Future[Picture] = Future()
        done.set_result(Picture(sha256, "image/jpeg", 512, 512, 1, TILES, 1.0, TECHNICAL))
        return done

    known = submit


def inference(_models: Models, *, observe: Observe, turning: Turning) -> InferenceWorker:  # noqa: ARG001
    """Make an inference worker whose passes take as long as the environment says."""
    pass_s, image_s = (float(os.environ.get(f"BENCH_{name}_MS", "0")) / 1000 for name in ("PASS", "IMAGE"))

    def score(jobs: Sequence[Job]) -> list[Scores | Rejection]:
        if pass_s or image_s:
            time.sleep(pass_s + image_s * len(jobs))
        return [SCORES] * len(jobs)

    return InferenceWorker(score, [MODEL], PassWatchdog(time.monotonic), timeout_s=60.0)


OPENING = app.Factories(decoders=lambda *_, **__: nullcontext(Decoders()), inference=inference)


def main(run: Callable[[Settings, Stop], None]) -> None:
    """Run until SIGTERM or an error."""
    try:
        run(load(None).settings, Stop())
    except Exception as error:  # noqa: BLE001  the edge of a process, as in `sluice.__main__`
        traceback.print_exception(error)
        sys.exit(print_error(error))


if __name__ == "__main__":
    main(lambda settings, stop: app.run(settings, stop, OPENING))

"""Everything that judges, without Kafka: decoders, models, a policy, and the builder of verdicts."""

import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from sluice.core.metrics import Observe
from sluice.media.decoding.tiles import preprocess_digest
from sluice.media.workers.pool import DecoderPool
from sluice.models import files
from sluice.models.plugin import opinions, plugins
from sluice.moderation.pipeline import Clocks
from sluice.moderation.policy import Policy
from sluice.moderation.values import Picture, Provenance, Thumbnail
from sluice.moderation.verdicts import VerdictBuilder
from sluice.policies import chosen, refuse_missing_opinions, with_plugins
from sluice.settings import Media, Models, Settings
from sluice_schemas import Mode

if TYPE_CHECKING:
    from sluice.models.load import Turning
    from sluice.models.worker import InferenceWorker

CLOCKS = Clocks(monotonic=time.monotonic, now=lambda: datetime.now(UTC))


class Decoders(Protocol):
    """What the decoders are asked."""

    def submit(self, data: bytes) -> Future[Picture]:
        """Decode an image. The future raises Unreadable, or DependencyDown when that cannot be done now."""

    def known(self, data: bytes) -> Future[Picture]:
        """Decode a picture of our own, which no limit of the settings holds for, likewise."""


class OpenDecoders(Protocol):
    """Makes decoders that end with the block."""

    def __call__(
        self, media: Media, /, *, observe: Observe, thumbnails: tuple[Thumbnail, ...]
    ) -> AbstractContextManager[Decoders]:
        """Start them."""


class OpenInference(Protocol):
    """Makes a lane."""

    def __call__(self, models: Models, /, *, observe: Observe, turning: "Turning") -> "InferenceWorker":
        """Load its models. Raises BadSettings or WeightsNotAttested."""


def load_inference(models: Models, /, *, observe: Observe, turning: "Turning") -> "InferenceWorker":
    """Load the models, and with them the libraries that run them."""
    from sluice.models.load import load

    return load(models, observe=observe, turning=turning)


@dataclass(frozen=True, slots=True)
class JudgeFactories:
    """How decoders and models are opened; a trial that injects faults, or needs no models, opens its own."""

    decoders: OpenDecoders = DecoderPool
    inference: OpenInference = load_inference


@dataclass(frozen=True, slots=True)
class Judging:
    """What it takes to judge a picture: decoders, models, a policy, and the builder of verdicts."""

    decoders: Decoders
    inference: "InferenceWorker"
    policy: Policy
    verdict_builder: VerdictBuilder


@contextmanager
def judging(
    settings: Settings,
    *,
    worker: str,
    observe: Observe,
    preview: Thumbnail | None = None,
    factories: JudgeFactories = JudgeFactories(),
) -> Iterator[Judging]:
    """Load the policy and the models and start the decoders; all end with the block.

    `preview` is a thumbnail to make besides those that plug-ins want. Raises BadSettings or
    WeightsNotAttested.
    """
    policy, settings = chosen(settings.policy), with_plugins(settings)
    files.locate(settings.models.bundle)  # what is missing is said before the libraries are loaded, which takes seconds
    further = plugins(settings.models)
    refuse_missing_opinions(policy, opinions(settings.models, further))
    with ExitStack() as stack:
        wanted = tuple(dict.fromkeys((*(model.thumbnail for model in further), *filter(None, [preview]))))
        # First, for their fork server loads its libraries in a process of its own while ours are loaded here.
        decoders = stack.enter_context(factories.decoders(settings.media, observe=observe, thumbnails=wanted))
        inference = factories.inference(settings.models, observe=observe, turning=policy.turning_cosines)
        stack.callback(inference.close)
        provenance = Provenance(inference.provenance, preprocess_digest(settings.media.tile_above_aspect))
        letters = settings.dead_letters
        verdict_builder = VerdictBuilder(
            policy.ref,
            provenance,
            Mode(settings.policy.mode),
            worker,
            max_value_bytes=letters.max_value_bytes,
            include_inline_images=letters.include_inline_images,
        )
        yield Judging(decoders, inference, policy, verdict_builder)

"""`python -m tests.bench.naive_loop`: the usual loop, on the settings `sluice run` gets.

One message at a time, the published classes, a commit for each. Where there was a choice it was made in the loop's
favour: inference mode, torchmetrics' function, which runs its model once where `CLIPScore(...)` runs it twice, and one
JSON message out, neither transaction nor checks of what came in. The loop is at-least-once.
"""

import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from confluent_kafka import Message
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from diffusers.utils import logging as diffusers_logging
from PIL import Image as Pillow
from torch import Tensor
from torchmetrics.functional.multimodal import clip_score
from transformers import CLIPModel, CLIPProcessor, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from sluice.cli.run import Stop
from sluice.settings import Settings
from sluice.settings.sources import load
from sluice_schemas import ImageGenerated, decode
from tests.bench.plain import clients

POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Features:
    """CLIP as torchmetrics 1.9 expects it: since transformers 5 the features stand inside of an output."""

    model: CLIPModel

    @property
    def config(self) -> Any:
        """The model's own."""
        return self.model.config

    def to(self, device: torch.device) -> Self:
        """Move the model."""
        module: Any = self.model
        module.to(device)
        return self

    def get_image_features(self, pixels: Tensor) -> Tensor:
        """Return what CLIP makes of the pixels (N, P)."""
        output: Any = self.model.get_image_features(pixel_values=pixels)
        features: Tensor = output.pooler_output
        return features

    def get_text_features(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return what CLIP makes of the tokens (N, P)."""
        output: Any = self.model.get_text_features(input_ids=ids, attention_mask=mask)
        features: Tensor = output.pooler_output
        return features


@dataclass(frozen=True, slots=True)
class Judge:
    """The two models and their preprocessing, picture by picture."""

    device: torch.device
    checker: Any
    processor: Any
    clip: Features

    @classmethod
    def of(cls, bundle: Path, device: torch.device) -> "Judge":
        """Load what the bundle holds, as their authors' documentation does."""
        diffusers_logging.set_verbosity_error()
        checker: Any = StableDiffusionSafetyChecker.from_pretrained(bundle / "safety_checker")
        clip: Any = CLIPModel.from_pretrained(bundle / "clip")
        tokenizer = CLIPTokenizer.from_pretrained(bundle / "clip")
        make: Any = CLIPProcessor
        processor = make(image_processor=CLIPImageProcessorPil(), tokenizer=tokenizer)
        return cls(device, checker.to(device).eval(), processor, Features(clip.to(device).eval()))

    def __call__(self, data: bytes, prompt: str) -> dict[str, object]:
        """Say whether the checker finds the picture unsafe, and how well it agrees with its prompt, 100 at most."""
        shown = Pillow.open(BytesIO(data)).convert("RGB")
        pixels = np.array(shown)
        with torch.inference_mode():
            seen = self.processor.image_processor(shown, return_tensors="pt")["pixel_values"].to(self.device)
            _, flagged = self.checker(clip_input=seen, images=[pixels])
            tensor = torch.from_numpy(pixels).permute(2, 0, 1).to(self.device)
            model: Any = (self.clip, self.processor)
            score = clip_score(tensor, prompt, lambda: model)
        return {"nsfw": bool(flagged[0]), "clip_score": float(score)}


def consume(settings: Settings, judge: Judge, stop: Stop) -> None:
    """Judge one message after the other, publish the answer, wait for it, commit."""
    with clients(settings) as (consumer, producer):
        while not stop():
            message = consumer.poll(POLL_S)
            if message is None or message.error():
                continue
            producer.produce(settings.topics.verdicts, answer(judge, message), message.key())
            producer.flush()
            consumer.commit(message=message, asynchronous=False)


def answer(judge: Judge, message: Message) -> bytes:
    """Read one message and write what is to be said of it."""
    event = decode(message.value() or b"", ImageGenerated)
    found = judge(event.image.bytes or b"", event.prompt or "")
    return json.dumps({"image_id": event.image_id, **found}).encode()


def main() -> None:
    """Run the loop until SIGTERM."""
    settings = load(None).settings
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    judge = Judge.of(Path(settings.models.bundle), device)
    consume(settings, judge, Stop())


if __name__ == "__main__":
    main()

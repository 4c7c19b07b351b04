"""Real outputs without anything being judged: for each image a verdict and a quality event with scores of its own."""

from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from random import Random

import numpy as np

from sluice.core.records import Message, Partition, Record
from sluice.kafka.codec import Codec, framing_of
from sluice.moderation.values import CHECKER, Job, Picture, Provenance, Scores
from sluice.moderation.verdicts import EPOCH, Subject, VerdictBuilder
from sluice.policies import preset
from sluice.settings import Registry, Topics
from sluice_schemas import Clip, Concept, Generator, Image, ImageGenerated, Mode, ModelRef, Technical, Timings

TILES = np.zeros((1, 224, 224, 3), np.uint8)
ROLES = ("safety", "clip", "tower")
NOW = EPOCH + timedelta(days=20_000)


def outputs(count: int, topics: Topics, *, seed: int = 1) -> Iterator[tuple[Message, ...]]:
    """Yield what is published for each of `count` images, as the consumer's own policy, builder and codec write it."""
    dice, policy = Random(seed), preset("balanced")
    models = tuple(ModelRef(role, "openai", "main", sha256(role.encode()).hexdigest(), "float16") for role in ROLES)
    provenance = Provenance(models, sha256(b"pixels").hexdigest())
    verdict_builder = VerdictBuilder(
        policy.ref, provenance, Mode.ENFORCE, "worker-0", max_value_bytes=65536, include_inline_images=False
    )
    codec = Codec(framing_of(Registry(), topics), topics, "/sluice/sluice", 2**21)
    for number in range(count):
        subject, scores = _subject(number, topics.images, dice), _scores(dice)
        decision = policy.judge(scores, subject.event, subject.job.picture)
        judged = verdict_builder.judged(subject, scores, decision, NOW + timedelta(milliseconds=number))
        yield codec.encode(judged)


def _subject(number: int, topic: str, dice: Random) -> Subject:
    digest = dice.randbytes(32).hex()
    noise = Technical(
        dice.uniform(50, 900), dice.uniform(0, 9), dice.random() / 9, dice.random() / 9, dice.uniform(9, 90)
    )
    picture = Picture(digest, "image/jpeg", 1024, 1024, 1, TILES, 1.0, noise)
    image = Image(uri=f"s3://pictures/{digest}.jpg", sha256=digest)
    event = ImageGenerated(
        image_id=dice.randbytes(16).hex(),
        created_at=NOW,
        image=image,
        request_id=dice.randbytes(16).hex(),
        generator=Generator("stable-diffusion", "1.5", steps=30, seed=number),
    )
    record = Record(Partition(topic, number % 6), number, 1_728_000_000_000 + number, event.image_id.encode(), b"")
    laps = Timings(*(dice.uniform(0, 90) for _ in range(6)))
    return Subject(record, event, Job(picture, None), laps)


def _scores(dice: Random) -> Scores:
    cosines = [single(dice.uniform(0.0, 0.18)) for _ in CHECKER.plain]
    concepts = (
        Concept(name, cosine, single(0.2), 0.0, single(cosine - single(0.2)), fired=False)
        for name, cosine in zip(CHECKER.plain, cosines, strict=True)
    )
    clip = Clip(single(dice.uniform(0.15, 0.35)), dice.randrange(5, 70), prompt_truncated=False)
    return Scores(tuple(concepts), reference_has_nsfw=False, guard_band_recheck=False, clip=clip)


def single(value: float) -> float:
    """Round as a model's float32 does: what it leaves of a double is what compression meets."""
    return float(np.float32(value))

"""What a plan rests on: each number with where it comes from, and the benchmark that measures it."""

from dataclasses import dataclass
from typing import Literal

from sluice.settings import Kafka


@dataclass(frozen=True, slots=True)
class Fact:
    """A number, what it counts, where it comes from, and what measures it."""

    value: float
    unit: str
    kind: Literal["measured", "published", "computed", "setting", "assumed"]
    by: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What a plan rests on."""

    gpu: Fact = Fact(2500, "images/s of one H200, both models", "computed", "not yet measured here")
    end_to_end: Fact = Fact(0.85, "of that from Kafka to Kafka", "assumed", "not yet measured here")
    busy: Fact = Fact(0.7, "of all capacity in use", "assumed", "the rest is for deaths, rollouts, backlogs")
    jpeg_512: Fact = Fact(3.6, "ms of a core, JPEG of 512 px to model input and measures", "measured", "`media`")
    jpeg_1024: Fact = Fact(8.0, "ms, JPEG of 1024 px", "measured", "`media`")
    png_1024: Fact = Fact(23.9, "ms, PNG of 1024 px", "measured", "`media`")
    webp_1024: Fact = Fact(13.3, "ms, WebP of 1024 px", "measured", "`media`")
    python: Fact = Fact(0.16, "ms of Python an event, one thread of a replica", "measured", "`overhead`")
    picture: Fact = Fact(300, "KB of a picture", "assumed", "your pictures")
    event: Fact = Fact(650, "bytes of an event with a reference and a prompt", "measured", "`sluice_schemas`")
    verdict: Fact = Fact(430, "bytes of a verdict in the log", "measured", "`kafka`")
    quality: Fact = Fact(260, "bytes of a quality event in the log", "measured", "`kafka`")
    commit: Fact = Fact(25, "ms of a transaction on a real cluster, 10 to 50", "published", "`kafka`, on yours")
    touched: Fact = Fact(0.8, "ms for each partition a transaction writes to", "measured", "`kafka`")
    ended: Fact = Fact(1200, "partitions/s in which a broker ends transactions", "measured", "`kafka`, at least")
    new_prompt: Fact = Fact(0.25, "of images bring a new prompt", "assumed", "your prompts")
    text: Fact = Fact(2.7 / 162, "of an image's FLOP, a prompt of 16 tokens", "computed", "not yet measured here")
    partition: Fact = Fact(10, "MB/s into a partition", "published", "a rule of thumb")
    copies: Fact = Fact(4000, "copies of partitions on a broker", "published", "KIP-578")
    broker: Fact = Fact(0.6, "GB/s out of a broker, half of 10 Gbit/s", "assumed", "your brokers")
    session: Fact = Fact(Kafka().session_timeout_s, "s until classic gives a silent member up", "setting", "`kafka`")
    stop: Fact = Fact(3, "s between heartbeats of classic: all stop for as long", "setting", "`rebalance`")
    transaction: Fact = Fact(Kafka().transaction_timeout_s, "s an open transaction may last", "setting", "`kafka`")
    scan: Fact = Fact(10, "s until brokers look for those that lasted longer", "setting", "the brokers'")
    consumer_session: Fact = Fact(45, "s until consumer gives a silent member up", "setting", "the brokers'")
    consumer_stop: Fact = Fact(
        5, "s between heartbeats of consumer: what moves stops for as long", "setting", "likewise"
    )
    load: Fact = Fact(30, "s from a process's start until it can judge", "assumed", "not yet measured here")
    life: Fact = Fact(7, "days until a replica dies", "assumed", "your machines")


FACTS = Facts()
MIX = {"jpeg_512": 0.5, "jpeg_1024": 0.3, "png_1024": 0.1, "webp_1024": 0.1}
CORES_OF_A_GPU = 16

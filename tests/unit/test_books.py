"""What the loop's books tell of what was read and what landed."""

from collections import defaultdict
from dataclasses import replace

import pytest

from sluice.core.records import Message, Partition, Record
from sluice.moderation.values import Judged, Judgement
from sluice.stream.loop_metrics import LoopMetrics
from sluice_schemas import Clip, Concept, Generator
from tests.support.books import books
from tests.support.outcomes import judged, rejected

NOW_S = 1_700_000_000.0
PLACE = Partition("images", 0)


class Told:
    """Books on a clock that stands still, and everything they told."""

    def __init__(self) -> None:
        self.seen: defaultdict[str, list[tuple[float, dict[str, str]]]] = defaultdict(list)
        self.books: LoopMetrics = books(
            observe=lambda name, value, labels: self.seen[name].append((value, dict(labels))), now_s=lambda: NOW_S
        )

    def values(self, name: str) -> list[float]:
        return [value for value, _ in self.seen[name]]

    def by(self, name: str) -> dict[tuple[str, ...], float]:
        return {tuple(labels.values()): value for value, labels in self.seen[name]}


@pytest.fixture
def told() -> Told:
    return Told()


def record(offset: int, age_s: float = 0.0) -> Record:
    return Record(PLACE, offset, round((NOW_S - age_s) * 1000), b"k", b"v")


def by(model_id: str) -> Judged:
    outcome = judged(record(0))
    return replace(outcome, quality=replace(outcome.quality, generator=Generator(model_id)))


def test_every_image_has_an_age_also_what_was_made_in_the_future_and_nothing_that_has_no_time(told: Told) -> None:
    timeless = Record(PLACE, 9, -1, b"k", b"v")
    outcomes: list[Judgement] = [
        judged(record(0, 3.5)),
        rejected(record(1, 0.25)),
        judged(record(2, -60.0)),
        judged(timeless),
    ]
    told.books.committed(outcomes, [], 0.1)
    assert told.values("sluice.event.age") == [3.5, 0.25, 0.0]


def test_a_landing_tells_how_large_it_was_how_long_it_took_and_what_was_sent_where(told: Told) -> None:
    messages = [Message(topic, b"k", b"v") for topic in ("verdicts", "quality", "verdicts")]
    told.books.committed([judged(record(0)), judged(record(1))], messages, 0.25)
    assert told.values("sluice.commit.records") == [2]
    assert told.values("sluice.commit.duration") == [0.25]
    assert told.by("messaging.client.operation.duration") == {("kafka", "commit"): 0.25}
    assert told.by("messaging.client.sent.messages") == {
        ("kafka", "send", "verdicts"): 2,
        ("kafka", "send", "quality"): 1,
    }


def test_what_was_read_is_told_with_topic_and_group_and_an_empty_poll_is_none(told: Told) -> None:
    told.books.polled([], 0.1)
    told.books.polled([record(0), record(1)], 0.5)
    assert told.by("messaging.client.consumed.messages") == {("kafka", "poll", "images", "g"): 2}
    assert told.by("messaging.client.operation.duration") == {("kafka", "poll"): 0.5}


def test_verdicts_are_told_by_status_and_generator_and_dead_letters_by_stage_and_reason(told: Told) -> None:
    told.books.committed([by("sdxl"), by("sdxl"), by(""), rejected(record(1), "too_large")], [], 0.1)
    assert told.by("sluice.verdicts") == {
        ("ALLOW", "sdxl"): 2,
        ("ALLOW", "unknown"): 1,
        ("INDETERMINATE", "unknown"): 1,
    }
    assert told.by("sluice.dead_letters") == {("test", "too_large"): 1}


def test_strangers_make_no_more_than_twenty_names_of_generators_and_no_long_ones(told: Told) -> None:
    told.books.committed([by("x" * 16_000), *(by(f"model-{number}") for number in range(30))], [], 0.1)
    told.books.committed([by("model-29"), by("model-3"), by("")], [], 0.1)
    names = {labels["generator"] for _, labels in told.seen["sluice.verdicts"]}
    assert names == {"x" * 64, *(f"model-{number}" for number in range(19)), "other", "unknown"}
    assert sum(told.values("sluice.verdicts")) == 34


def test_the_margin_is_that_of_the_nearest_concept_and_scores_are_told_where_they_are_given(told: Told) -> None:
    concepts = tuple(Concept(f"sd.c0{n}", 0.1, 0.2, 0.0, margin, fired=False) for n, margin in enumerate((-0.3, -0.1)))
    outcome = judged(record(0))
    scored = replace(
        outcome,
        verdict=replace(outcome.verdict, concepts=concepts),
        quality=replace(outcome.quality, clip=Clip(0.25, 7, prompt_truncated=False), aesthetic=5.5),
    )
    told.books.committed([scored, outcome, rejected(record(1))], [], 0.1)
    assert told.values("sluice.margin") == [-0.1]
    assert told.values("sluice.clip.cosine") == [0.25]
    assert told.values("sluice.aesthetic.score") == [5.5]


def test_partitions_come_and_go_by_kind(told: Told) -> None:
    told.books.assigned([PLACE])
    told.books.gone([PLACE], "revoked")
    told.books.assigned([PLACE])
    told.books.gone([PLACE], "lost")
    kinds = [labels["kind"] for _, labels in told.seen["sluice.rebalances"]]
    assert kinds == ["assigned", "revoked", "assigned", "lost"]
    assert told.values("sluice.partitions.assigned") == [1, 0, 1, 0]

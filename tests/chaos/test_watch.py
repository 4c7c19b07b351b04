"""Each error of the committed offsets is found while it happens, and an outage is none."""

from collections.abc import Callable, Iterator, Mapping

import pytest
from confluent_kafka import KafkaError, KafkaException

from tests.chaos.watch import Watch

Offsets = Mapping[int, int]


@pytest.fixture
def watching() -> Iterator[Callable[..., Watch]]:
    opened: list[Watch] = []

    def watch(*committed: Offsets | KafkaException, answered: Offsets = {}) -> Watch:  # noqa: B006  never changed
        told = iter(committed)

        def tell() -> Offsets:
            told_now = next(told)
            if isinstance(told_now, KafkaException):
                raise told_now
            return told_now

        watch = Watch(tell, lambda: answered, every_s=3600)
        opened.append(watch)
        for _ in committed:
            watch.look()
        return watch

    yield watch
    for each in opened:
        each.close()


def test_offsets_that_grow_before_their_outputs_are_read_are_right(watching: Callable[..., Watch]) -> None:
    watch = watching({0: 5, 1: 0}, {0: 9, 1: 0}, answered={0: 4})
    assert (watch.samples, watch.back, watch.behind) == (2, 0, 0)


def test_an_offset_that_goes_back_is_counted_once_for_each_step(watching: Callable[..., Watch]) -> None:
    assert watching({0: 5, 1: 7}, {0: 3, 1: 7}, {0: 5, 1: 6}).back == 2


def test_an_offset_that_goes_back_across_an_outage_is_found(watching: Callable[..., Watch]) -> None:
    watch = watching({0: 5}, KafkaException(KafkaError(KafkaError._TRANSPORT)), {0: 4})
    assert (watch.samples, watch.back) == (2, 1)


def test_an_output_that_is_read_before_its_offset_is_committed_is_found(watching: Callable[..., Watch]) -> None:
    assert watching({0: 5, 1: 0}, answered={0: 5, 1: -1}).behind == 1
    assert watching({0: 0}, answered={0: 0}).behind == 1

"""A fail-point ends a life where and when it was told, and nothing that ships knows of one."""

from pathlib import Path
from threading import Event

import pytest
from confluent_kafka import Consumer, Producer

from sluice.kafka.client import consumer_config, producer_config
from sluice.media.workers.pool import DecoderPool
from sluice.services.moderator import app
from sluice.services.moderator.judging import load_inference
from sluice.settings import Kafka
from tests.chaos.failpoints import POINTS, Order, Trap

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(file for source in ("consumer", "schemas", "producer_sim") for file in (ROOT / source).rglob("*.py"))
LOCAL = Kafka(bootstrap_servers="localhost:9092")
PATIENCE_S = 30.0


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def ended() -> Event:
    return Event()


@pytest.fixture
def trap(said: list[str], ended: Event) -> Trap:
    return Trap(said.append, ended.set)


def test_a_trap_ends_at_its_point_and_its_passage_and_says_so(trap: Trap, said: list[str]) -> None:
    trap("after_poll")
    trap.set(Order("after_poll", passage=2))
    trap("after_poll")
    trap("after_begin")
    assert said == []
    trap("after_poll")
    assert said == ["after_poll"]


def test_what_comes_first_is_done_only_where_a_life_ends(trap: Trap, said: list[str]) -> None:
    trap("after_begin", lambda: said.append("flushed"))
    trap.set(Order("after_begin"))
    trap("after_begin", lambda: said.append("flushed"))
    assert said == ["flushed", "after_begin"]


def test_a_point_that_lasts_ends_a_life_before_it_is_over(trap: Trap, said: list[str], ended: Event) -> None:
    trap.set(Order("in_commit", delay_s=0.001))
    with trap.during("in_commit"):
        assert ended.wait(PATIENCE_S)
    assert said == ["in_commit"]


def test_a_point_that_was_over_sooner_is_tried_again_at_each_passage_and_earlier(trap: Trap, ended: Event) -> None:
    trap.set(Order("in_commit", delay_s=3600))
    for _ in range(60):
        with trap.during("in_commit"):
            ended.wait(0.01)
    assert ended.is_set()


def test_there_are_fourteen_points_and_nothing_that_ships_names_one() -> None:
    assert len(set(POINTS)) == 14
    assert SHIPPED
    for file in SHIPPED:
        text = file.read_text().lower()
        assert not [point for point in (*POINTS, "failpoint", "fail_point", "fail-point") if point in text], file


def test_production_opens_the_plain_clients_the_real_decoders_and_the_real_lane() -> None:
    factories = app.PRODUCTION
    assert (factories.decoders, factories.inference) == (DecoderPool, load_inference)
    consumer = factories.consumer(consumer_config(LOCAL), lambda _: None)
    assert type(consumer) is Consumer
    consumer.close()
    assert type(factories.producer(producer_config(LOCAL), lambda _: None)) is Producer

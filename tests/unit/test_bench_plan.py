"""The plan's arithmetic, and the simulator against what can be computed in closed form."""

from dataclasses import replace
from pathlib import Path

import pytest

from sluice.settings import Batching
from tests.bench.facts import FACTS
from tests.bench.fleet import Departure, Fleet, deaths, rollout, simulate
from tests.bench.plan import BEGIN, Plan, marked, rebalancing, reports

ALONE = Fleet(replicas=1, partitions=4, busy=0.7, session_s=10, load_s=5, stop_s=3, eager=True)
MANY = Fleet(replicas=10, partitions=40, busy=0.7, session_s=10, load_s=30, stop_s=3, eager=True)
PAGE = Path(__file__).parents[2] / "docs/capacity.md"


@pytest.mark.parametrize("age_s", [0.0, 1.0, 5.0, 10.0, 12.0])
@pytest.mark.parametrize("busy", [0.3, 0.7, 0.9])
def test_after_a_death_ages_are_as_a_queue_that_stood_still_has_them(age_s: float, busy: float) -> None:
    """Still for D seconds, of events older than x there are (D - x) / (1 - busy) seconds' worth."""
    fleet, seconds = replace(ALONE, busy=busy), 1000.0
    ages = simulate(fleet, [Departure(100.0, 0)], seconds, step_s=0.02)
    still_s = fleet.session_s + fleet.stop_s
    assert ages.beyond(age_s) == pytest.approx((still_s - age_s) / (1 - busy) / seconds, rel=0.02, abs=5e-5)


def test_whatever_happens_every_event_lands_once() -> None:
    gone = [*deaths(MANY, 2000, life_s=1000, seed=3), *rollout(MANY, 300, share=0.2)]
    ages = simulate(MANY, gone, 4000)
    assert len(gone) > 20
    assert ages.counts.sum() == pytest.approx(MANY.partitions * 4000)


def test_a_rollout_stops_all_of_an_eager_fleet_and_next_to_nothing_of_the_other() -> None:
    """Each of ten replicas leaves and comes back, and each time all stand still for D: share D / (1 - busy) / T."""
    seconds = 3600.0
    gone = rollout(MANY, 100, share=0.1)
    eager = simulate(MANY, gone, seconds, step_s=0.05)
    moving = simulate(replace(MANY, eager=False), gone, seconds, step_s=0.05)
    least = 2 * len(gone) * MANY.stop_s / (1 - MANY.busy) / seconds
    assert least < eager.beyond(0) < 1.5 * least, "more, since those who stay are busier meanwhile"
    assert moving.beyond(0) < eager.beyond(0) / 4
    assert eager.longest < 1.5 * MANY.stop_s


def test_what_the_dead_held_waits_for_a_session_and_a_stop() -> None:
    ages = simulate(MANY, [Departure(100.0, 3)], 1000, step_s=0.05)
    assert ages.longest == pytest.approx(MANY.session_s + MANY.stop_s, abs=0.1)


def test_nothing_waits_while_nothing_happens() -> None:
    assert simulate(MANY, [], 500).beyond(0) == 0


def test_deaths_are_as_many_as_their_rate_says_and_the_same_for_a_seed() -> None:
    gone = deaths(MANY, 100_000, life_s=1000, seed=5)
    assert len(gone) == pytest.approx(MANY.replicas * 100_000 / 1000, rel=0.1)
    assert gone == deaths(MANY, 100_000, life_s=1000, seed=5) != deaths(MANY, 100_000, life_s=1000, seed=6)


def test_deaths_cost_an_eager_group_more_the_larger_it_is() -> None:
    small, large = (rebalancing(replace(MANY, replicas=count), 1e6) for count in (10, 1000))
    assert small == pytest.approx((30 + 2 * 3 * 10) / 1e6)
    assert large > 60 * small
    assert rebalancing(replace(MANY, replicas=1000, eager=False), 1e6) == pytest.approx(36 / 1e6)


@pytest.mark.parametrize("rate", [1.0, 1e3, 1e5, 1e6])
def test_a_plan_can_lose_a_replica(rate: float) -> None:
    plan = Plan(rate)
    assert plan.rate <= plan.capacity * (plan.replicas - 1)
    share = plan.partitions / plan.replicas
    assert plan.busy * (share + 1) / share <= 0.9, "who takes on one more partition still keeps up"


def test_landings_hold_what_came_during_the_last_one_within_what_may_fly() -> None:
    quiet, busy = Plan(10.0).own, Plan(1e6).spread
    flying = Batching().max_records * Batching().max_flights
    assert quiet.events == Batching().max_records
    assert busy.events == flying
    assert busy.limit == pytest.approx(flying / busy.seconds)
    assert busy.limit < busy.rate, "spread over all partitions, landings do not keep up with a GPU"


def test_twice_the_speed_of_a_gpu_is_half_of_them() -> None:
    fast = replace(FACTS, gpu=replace(FACTS.gpu, value=2 * FACTS.gpu.value))
    assert Plan(1e6, fast).replicas == pytest.approx(Plan(1e6).replicas / 2, abs=1)


def test_the_page_holds_what_the_plan_says() -> None:
    """Mended by `python -m tests.bench.plan --into docs/capacity.md`."""
    before, block, after = marked(PAGE.read_text())
    assert block == "".join(f"{report.as_text()}\n" for report in reports())
    assert "Beyond one machine" in before
    assert "What is not known" in after


def test_a_page_without_its_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match="marks"):
        marked(f"a page{BEGIN}without an end")

"""Programmes: named sequences of trials on one cluster, and the one report over all of them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from tests.chaos.outcome import Finding
from tests.chaos.plans import PLANS as FAULTS
from tests.chaos.plans_inputs import STORE_PLANS, Shop, poison
from tests.chaos.plans_wire import WIRE_PLANS, behind
from tests.chaos.proxy import Proxy
from tests.chaos.stage import Lives, Protocol, Stage
from tests.chaos.trial import Plan, Size, hold
from tests.support.brokers import Cluster

HALF = 0.5


@dataclass(frozen=True, slots=True)
class Part:
    """One trial of a programme: a plan, its size, and the group protocol it is held under."""

    plan: str
    faults: int
    events: int
    protocol: Protocol = "classic"
    workers: int = 3
    round: int = 1

    @property
    def name(self) -> str:
        """A name of its own within the programme."""
        return f"{self.plan}-{self.protocol}-{self.round}"


QUICK = (
    Part("kills", 8, 8_000),
    Part("failpoints", 14, 8_000),
    Part("kills", 4, 4_000, "consumer"),
)
LONG = (
    Part("kills", 120, 48_000),
    Part("kills", 80, 32_000, "consumer"),
    Part("failpoints", 84, 33_000),
    Part("failpoints", 56, 23_000, "consumer"),
    Part("zombies", 12, 9_000),
    Part("zombies", 8, 6_000, "consumer"),
    Part("endtxn", 20, 14_000),
    Part("network", 20, 9_000),
    Part("brokers", 12, 9_000),
    Part("brokers", 8, 6_000, "consumer"),
    Part("poison", 3, 1_000),
    Part("store", 4, 4_000),
    Part("scale", 10, 6_000, workers=1),
    Part("rolling", 12, 6_000),
)
RELEASE = tuple(replace(part, round=number) for number in (1, 2, 3) for part in LONG)
PROGRAMMES: Mapping[str, Sequence[Part]] = {"quick": QUICK, "long": LONG, "release": RELEASE}
PLANS: Mapping[str, Plan] = {**FAULTS, "poison": poison}
SINGLE = (*PLANS, *STORE_PLANS, *WIRE_PLANS)
"""Plans that may be asked for by themselves."""


def play(part: Part, cluster: Cluster, folder: Path, *, seed: int, lives: Lives = "fork") -> Finding:
    """Hold one trial in a new folder."""
    folder.mkdir()
    stage = Stage(cluster.address, folder, lives=lives, protocol=part.protocol, cluster=cluster)
    size = Size(
        part.events,
        part.faults,
        part.workers,
        seed + part.round - 1,
        poison=part.faults if part.plan == "poison" else 0,
        by_http=HALF if part.plan in STORE_PLANS else 0.0,
    )
    with _set(part, stage) as (set_up, plan):
        return hold(set_up, size, part.plan, plan)


@contextmanager
def _set(part: Part, stage: Stage) -> Iterator[tuple[Stage, Plan]]:
    """Set a stage up, with a proxy or a picture store if the plan wants one."""
    if part.plan in PLANS:
        yield stage.set_up(), PLANS[part.plan]
    elif part.plan in STORE_PLANS:
        with closing(Shop(stage.folder / "pictures")) as shop:
            stage = replace(stage, shelf=shop.shelf, given=shop.given)
            yield stage.set_up(), lambda trial: STORE_PLANS[part.plan](trial, shop)
    else:
        assert stage.cluster
        with Proxy(stage.cluster.doors) as proxy:
            stage = replace(stage, given=behind(proxy))
            yield stage.set_up(), lambda trial: WIRE_PLANS[part.plan](trial, proxy)


def report(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the totals as JSON's types, then every trial's own."""
    faults = [fault for finding in findings for fault in finding.faults]
    recovered = [fault.recovered_s for fault in faults if fault.recovered_s is not None]
    errors: Counter[str] = Counter()
    for finding in findings:
        errors.update(finding.errors)
    return {
        "exact": bool(findings) and all(finding.exact for finding in findings),
        "trials": len(findings),
        "protocols": sorted({finding.protocol for finding in findings}),
        "events": sum(finding.afterwards.published for finding in findings),
        "faults": len(faults),
        "faults_by_kind": dict(Counter(fault.kind for fault in faults)),
        **errors,
        "recovered_s": {"median": median(recovered), "max": max(recovered)} if recovered else None,
        "elapsed_s": sum(finding.elapsed_s for finding in findings),
        "parts": [finding.as_json() for finding in findings],
    }

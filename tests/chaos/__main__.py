"""`python -m tests.chaos --plan quick`: trials against real brokers. Exit code 0 only if every one was exact.

A programme (quick, long, release) is a sequence of plans; README.md says what each does and what is checked. A plan by
itself takes its size from --faults, --events and so on.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

from tests.chaos.outcome import Finding
from tests.chaos.plans import PLANS
from tests.chaos.programme import PROGRAMMES, SINGLE, Part, play, report
from tests.chaos.stage import Stage
from tests.chaos.trial import Size, hold
from tests.support.brokers import apache_cluster, embedded


def main() -> int:
    """Hold the trials that were asked for, say what they found, return the exit code."""
    asked = _parsed()
    folder = asked.folder or Path(mkdtemp(prefix="sluice-chaos-"))
    (folder / "broker").mkdir(parents=True)
    found: list[Finding] = []

    def say(finding: Finding) -> None:
        found.append(finding)
        sys.stdout.write(finding.as_text() + "\n")
        sys.stdout.flush()
        if asked.json:  # after each, so that a long run that breaks off leaves what it found
            asked.json.write_text(json.dumps({"plan": asked.plan, "seed": asked.seed} | report(found), indent=2) + "\n")

    if asked.brokers == "embedded":
        say(_embedded(asked, folder))
    else:
        with apache_cluster(folder / "broker", int(asked.brokers)) as cluster:
            for part in _parts(asked):
                say(play(part, cluster, folder / part.name, seed=asked.seed, lives=asked.consumer))
    return 0 if all(finding.exact for finding in found) else 1


def _parts(asked: argparse.Namespace) -> Sequence[Part]:
    if asked.plan in PROGRAMMES:
        parts = PROGRAMMES[asked.plan]
        return [part for part in parts if not asked.only or part.plan in asked.only.split(",")]
    return [Part(asked.plan, asked.faults, asked.events, asked.protocol, asked.workers)]


def _embedded(asked: argparse.Namespace, folder: Path) -> Finding:
    """Hold a trial on the broker of the demo, which takes offsets of a generation that is over: one worker only."""
    with embedded(folder / "broker") as address:
        stage = Stage(address, folder, lives=asked.consumer, evicts=False).set_up()
        return hold(stage, Size(asked.events, asked.faults, seed=asked.seed), asked.plan, PLANS[asked.plan])


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--plan", choices=(*PROGRAMMES, *SINGLE), default="quick", help="what goes wrong")
    parser.add_argument("--only", help="of a programme, the parts with these plans: kills,brokers")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where the report goes")
    parser.add_argument("--folder", type=Path, help="a new folder for the brokers' data and the logs of every life")
    single = parser.add_argument_group("one plan by itself")
    single.add_argument("--events", type=int, default=4_000)
    single.add_argument("--faults", type=int, default=10)
    single.add_argument("--workers", type=int, default=3)
    single.add_argument("--protocol", choices=("classic", "consumer"), default="classic", help="of the group")
    single.add_argument("--consumer", choices=("fork", "sluice"), default="fork", help="sluice: the real command")
    single.add_argument("--brokers", choices=("3", "1", "embedded"), default="3", help="of Apache Kafka, 300 MB each")
    asked = parser.parse_args()
    if asked.brokers != "embedded" and not os.environ.get("KAFKA_HOME"):
        parser.error("this needs KAFKA_HOME, the folder of an unpacked Apache Kafka, and Java 17")
    if asked.brokers == "embedded" and (asked.plan not in PLANS or asked.plan in {"zombies", "brokers", "scale"}):
        parser.error("--brokers embedded serves one worker and one plan only")
    return asked


if __name__ == "__main__":
    sys.exit(main())

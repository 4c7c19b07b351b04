"""`python -m tests.chaos --plan kills`: one trial against a real broker. Exit code 0 only if it was exact."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from tests.chaos.plans import PLANS
from tests.chaos.stage import Stage
from tests.chaos.trial import Size, hold
from tests.support.brokers import Cluster, apache_cluster, embedded


def main() -> int:
    """Hold the trial that was asked for, say what it found, return the exit code."""
    asked = _parsed()
    size = Size(asked.events, asked.faults, asked.workers, asked.seed, backlog=asked.backlog)
    folder = asked.folder or Path(mkdtemp(prefix="sluice-chaos-"))
    home = folder / "broker"
    home.mkdir(parents=True)
    with _running(asked, home) as (address, cluster):
        stage = Stage(
            address,
            folder,
            lives=asked.consumer,
            protocol=asked.protocol,
            partitions=asked.partitions,
            cluster=cluster,
            evicts=bool(cluster),
        ).set_up()
        finding = hold(stage, size, asked.plan, PLANS[asked.plan])
    sys.stdout.write(finding.as_text() + "\n")
    if asked.json:
        asked.json.write_text(json.dumps(finding.as_json() | {"broker": asked.broker}, indent=2) + "\n")
    return 0 if finding.exact else 1


@contextmanager
def _running(asked: argparse.Namespace, home: Path) -> Iterator[tuple[str, Cluster | None]]:
    """Run the brokers that were asked for."""
    if asked.broker == "embedded":
        with embedded(home) as address:
            yield address, None
    else:
        with apache_cluster(home, asked.brokers) as cluster:
            yield cluster.address, cluster


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--plan", choices=PLANS, default="kills", help="what goes wrong")
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--faults", "--kills", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--backlog", type=int, default=400, help="events that may wait for their answer")
    parser.add_argument(
        "--broker", choices=("embedded", "kafka"), default="embedded", help="kafka needs KAFKA_HOME, Java 17"
    )
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1, help="nodes of kafka, 300 MB each")
    parser.add_argument("--consumer", choices=("sluice", "fork"), default="fork", help="sluice is the real command")
    parser.add_argument("--protocol", choices=("classic", "consumer"), default="classic", help="of the group")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where the findings go")
    parser.add_argument("--folder", type=Path, help="a new folder for the broker's data and the logs of every life")
    asked = parser.parse_args()
    if asked.broker == "kafka" and not os.environ.get("KAFKA_HOME"):
        parser.error("--broker kafka needs KAFKA_HOME, the folder of an unpacked Apache Kafka")
    if asked.broker == "embedded" and asked.workers > 1:
        parser.error("--broker embedded takes offsets of a generation that is over, so it serves one worker only")
    if asked.plan == "brokers" and asked.brokers == 1:
        parser.error("--plan brokers kills one of --brokers 3")
    if asked.plan == "zombies" and asked.workers == 1:
        parser.error("--plan zombies needs --workers 2 or more: somebody must take over")
    return asked


if __name__ == "__main__":
    sys.exit(main())

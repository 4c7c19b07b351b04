"""What a demo is to do, and the settings its consumers run with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sluice.settings import Fetch, Kafka, Models, Settings, Telemetry, Topics

GROUP = "sluice-demo"


@dataclass(frozen=True, slots=True)
class Plan:
    """`rate_per_s` 0 sends as fast as the broker takes it; `kills` is how often a consumer is killed on the way.

    The usual rate is what two cores keep up with, so that the latency is that of judging and not of a queue.
    """

    events: int = 2000
    seed: int = 1
    rate_per_s: float = 25.0
    workers: int = 1
    kills: int = 0
    bundle: str = "starter"
    patience_s: float = 90.0
    """With nothing new for so long, the demo gives up. Loading models on a busy machine takes most of it."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a demo takes place: a folder of its own, a broker and the port the simulator serves pictures on."""

    folder: Path
    bootstrap_servers: str
    store_port: int
    bundle: str = "starter"

    @property
    def truth(self) -> Path:
        """The simulator's notes on what it sent."""
        return self.folder / "truth.jsonl"

    @property
    def store(self) -> Path:
        """The pictures that events refer to."""
        return self.folder / "pictures"

    def of_worker(self, number: int, kind: str) -> Path:
        """Return a file of one consumer."""
        return self.folder / f"consumer-{number}.{kind}"

    def settings(self, number: int, http_port: int | None = None) -> Settings:
        """Return the settings of one consumer: those of production, but for one broker and the simulator's pictures.

        Its metrics are served at `http_port`. The fuse stays as it is: its 5 % are far above the 2 % of hostile inputs.
        """
        return Settings(
            kafka=Kafka(
                bootstrap_servers=self.bootstrap_servers,
                group_id=GROUP,
                transactional_id=f"{GROUP}-{number}",
                consumer_options={"client.id": f"{GROUP}-{number}"},
            ),
            topics=Topics(replication_factor=1, min_insync_replicas=1),
            fetch=Fetch(
                allowed_schemes=("http", "file"),
                allowed_hosts=("127.0.0.1",),
                allowed_ports=(self.store_port,),
                allow_private_addresses=True,
                file_roots=(self.store,),
            ),
            models=Models(bundle=self.bundle),
            telemetry=Telemetry(
                log_format="json",
                http_port=http_port,
                linger_s=0,
                ready_file=self.of_worker(number, "ready"),
            ),
        )

    def simulator(self, plan: Plan) -> dict[str, str]:
        """Return the simulator's arguments."""
        return {
            "--bootstrap-servers": self.bootstrap_servers,
            "--truth": str(self.truth),
            "--store": str(self.store),
            "--store-port": str(self.store_port),
            "--linger-s": "86400",  # it is stopped when all is answered
            "--events": str(plan.events),
            "--seed": str(plan.seed),
            "--rate": str(plan.rate_per_s),
        }


def as_file(settings: Settings) -> str:
    """Return what differs from the defaults as a settings file (JSON is YAML)."""
    return json.dumps(settings.model_dump(mode="json", exclude_defaults=True), indent=2) + "\n"


def flat(arguments: Mapping[str, str]) -> list[str]:
    """Return arguments as a command line has them."""
    return [part for pair in arguments.items() for part in pair]

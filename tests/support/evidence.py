"""All that leaves the real commands when what goes in is full of canaries, sorted by where it was found."""

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum, auto
from pathlib import Path
from time import monotonic, sleep

from confluent_kafka import Producer

from sluice.settings.environment import without_settings
from sluice_schemas.signing import new_key
from tests.chaos.stage import Stage
from tests.support import forked
from tests.support.canaries import Canary, held_by
from tests.support.collector import Collector, collector
from tests.support.forked import Forked
from tests.support.gossip_store import GossipStore, gossip_store
from tests.support.outputs import headers_of, letter_of, published, remainder
from tests.support.planted import MAX_INLINE_BYTES, PICTURES, Planted, often, planted, sick, unreadable
from tests.support.ports import free_port
from tests.support.scraped import figures

WITHIN_S = 200.0
LOOK_EVERY_S = 0.1
SICK, EVENTS = 20, 1000
LONGEST_RUN = 40
"""Of dead letters in a partition: more than the events hold, so that it takes a flood to blow the fuse."""

KEY = new_key()


class Place(StrEnum):
    """Where something may be found."""

    LOG = auto()
    SPAN = auto()
    METRIC = auto()
    FILE = auto()  # heartbeat, ready
    VERDICT = auto()
    QUALITY = auto()
    HEADERS = auto()  # of the records published
    LETTER = auto()  # but not what follows, which is the original record's
    LETTER_KEY = auto()
    LETTER_VALUE = auto()
    LETTER_HEADERS = auto()
    DLQ = auto()  # `dlq list` and `dlq show`, for people
    DLQ_JSON = auto()
    PAGE = auto()  # the report of `moderate`
    CONSOLE = auto()  # what all other commands print
    STORE = auto()  # what the picture store was asked
    COLLECTOR = auto()  # paths and headers of requests that brought telemetry


@dataclass(frozen=True, slots=True)
class Consumer:
    """A `sluice run`, and the files it writes."""

    process: Forked
    log: Path
    port: int

    @property
    def files(self) -> list[Path]:
        """What it wrote besides, in its folder and where temporary files go."""
        given = {self.log.name, "signing.pem", Canary.FOLDER}
        return [file for file in self.log.parent.iterdir() if file.is_file() and file.name not in given]

    @property
    def figures(self) -> dict[str, float]:
        """What it has counted."""
        return figures(self.port)

    @property
    def landed(self) -> int:
        """Verdicts committed."""
        return int(sum(count for name, count in self.figures.items() if name.startswith("verdicts.")))


@dataclass
class Evidence:
    """What was found, and how each process ended."""

    folder: Path
    said: dict[Place, list[bytes]] = field(default_factory=lambda: {place: [] for place in Place})
    endings: dict[str, int] = field(default_factory=dict)
    reasons: set[str] = field(default_factory=set)
    collector: Collector = field(default_factory=Collector)

    def add(self, place: Place, said: Iterable[bytes]) -> None:
        """Put something there."""
        self.said[place] += said

    def where(self, word: str | bytes) -> set[Place]:
        """Return the places where a word stands, in whatever form."""
        return {place for place, said in self.said.items() if held_by(said, word)}


def gather(address: str, folder: Path) -> Evidence:
    """Run everything once."""
    evidence = Evidence(folder)
    stage = Stage(address, folder, partitions=2, evicts=False).set_up()
    with gossip_store() as store, collector() as evidence.collector, ThreadPoolExecutor(1) as aside:
        elsewhere = aside.submit(_console, evidence, folder / Canary.FOLDER)
        _consume(evidence, stage, store)
        _letters(evidence, stage)
        elsewhere.result()
        evidence.add(Place.STORE, store.asked)
    _outputs(evidence, stage)
    _telemetry(evidence)
    return evidence


def settings(folder: Path) -> dict[str, str]:
    """Return settings, all of them in order, whose secrets are canaries; a process has more in its environment."""
    (folder / "signing.pem").write_bytes(KEY)
    return {
        "SLUICE_KAFKA__SASL_PASSWORD": Canary.SETTING,
        "SLUICE_KAFKA__SSL_KEY_PASSWORD": Canary.SETTING,
        "SLUICE_KAFKA__PRODUCER_OPTIONS": f'{{"ssl.keystore.password": "{Canary.SETTING}"}}',
        "SLUICE_REGISTRY__PASSWORD": Canary.SETTING,
        "SLUICE_SIGNING__KEY_FILE": "signing.pem",
        "SLUICE_SIGNING__KEY_ID": "planted",
        "SLUICE_FETCH__S3_ACCESS_KEY_ID": "planter",
        "SLUICE_FETCH__S3_SECRET_ACCESS_KEY": Canary.S3_CREDENTIAL,
        "AWS_SECRET_ACCESS_KEY": Canary.ENVIRONMENT,
        "HF_TOKEN": Canary.ENVIRONMENT,
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(folder),
    }


def _talkative(stage: Stage, store: GossipStore, metrics: str, traces: str) -> Stage:
    """Let a worker follow references to the store, bear with what comes, and tell all it can, to these collectors."""
    given = {
        "SLUICE_FETCH__ALLOWED_SCHEMES": "http,s3,file",
        "SLUICE_FETCH__ALLOWED_HOSTS": "127.0.0.1",
        "SLUICE_FETCH__ALLOWED_PORTS": str(store.port),
        "SLUICE_FETCH__ALLOW_PRIVATE_ADDRESSES": "true",
        "SLUICE_FETCH__S3_BUCKETS": "pictures",
        "SLUICE_FETCH__S3_ENDPOINT": f"http://{store.address}",
        "SLUICE_FETCH__FILE_ROOTS": str(stage.folder / "roots"),
        "SLUICE_FETCH__MAX_REDIRECTS": "1",
        "SLUICE_FETCH__TOTAL_TIMEOUT_S": "3",
        "SLUICE_BATCHING__RETRY_PAUSE_S": "0.5",
        "SLUICE_MEDIA__MAX_INLINE_BYTES": str(MAX_INLINE_BYTES),
        "SLUICE_FUSE__MAX_SHARE": "1",
        "SLUICE_FUSE__MAX_RUN": str(LONGEST_RUN),
        "SLUICE_POISON__JOURNAL_FOLDER": str(stage.folder),
        "SLUICE_TELEMETRY__LOG_LEVEL": "DEBUG",
        "SLUICE_TELEMETRY__HEARTBEAT_FILE": str(stage.folder / "heartbeat"),
        "SLUICE_TELEMETRY__OTLP": "true",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": traces,
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": metrics,
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={Canary.OTLP_HEADER},{Canary.SETTING} no header",
    }
    return replace(stage, given={**settings(stage.folder), **given})


def _consume(evidence: Evidence, stage: Stage, store: GossipStore) -> None:
    """Let a consumer live through an outage of the store and of the collector, then answer all, then blow its fuse."""
    endpoint = f"{evidence.collector.address}/v1/{{}}?token={Canary.OTLP_QUERY}"
    stage = _talkative(stage, store, endpoint.format("metrics"), endpoint.format("traces"))
    _publish(stage, sick(store.address, SICK))
    _publish(stage, planted(store.address, EVENTS - SICK))
    with _consumer(stage, "worker") as worker:
        _until(worker, lambda: any(name.startswith("dependency.down.") for name in worker.figures))
        _until(worker, lambda: b"v1/metrics" in worker.log.read_bytes())
        store.well.set()
        evidence.collector.listen()
        _until(worker, lambda: worker.landed == EVENTS)
        evidence.add(Place.FILE, [file.read_bytes() for file in worker.files])
        _publish(stage, unreadable(2 * LONGEST_RUN), partition=0)
        evidence.endings["run"] = worker.process.wait(WITHIN_S)
        evidence.add(Place.LOG, [worker.log.read_bytes()])


@contextmanager
def _consumer(stage: Stage, name: str) -> Iterator[Consumer]:
    log = stage.folder / f"{name}.log"
    port = free_port()
    given = stage.environment(name, port)
    with Forked(("--debug", "run"), given, stage.folder, log) as process:
        yield Consumer(process, log, port)


def _publish(stage: Stage, records: Iterable[Planted], *, partition: int = -1) -> None:
    producer = Producer(stage.broker.config(message_max_bytes=4 * 1024 * 1024))
    for record in records:
        producer.produce(stage.topics.images, record.value, record.key, partition, headers=[*record.headers])
    assert producer.flush(WITHIN_S) == 0


def _until(worker: Consumer, condition: Callable[[], bool]) -> None:
    deadline = monotonic() + WITHIN_S
    while not condition():
        assert worker.process.poll() is None, worker.log.read_text()
        assert monotonic() < deadline, f"waited in vain: {worker.figures}\n{worker.log.read_text()}"
        sleep(LOOK_EVERY_S)


def _letters(evidence: Evidence, stage: Stage) -> None:
    """List the dead letters, and show one of an event and one of a record that is none."""
    environment = stage.environment("reader")
    listed = _sluice(stage.folder, environment, "dlq", "list", "--json", "--limit", str(EVENTS))
    evidence.add(Place.DLQ_JSON, [listed.stdout])
    evidence.add(Place.CONSOLE, [listed.stderr])
    letters = json.loads(listed.stdout)
    of_event = next(letter["place"] for letter in letters if letter["error"]["reason"] == "reference_host")
    of_garbage = next(letter["place"] for letter in letters if letter["error"]["reason"] == "wrong_magic")
    for command in (["list"], ["show", of_event], ["show", of_garbage]):
        ended = _sluice(stage.folder, environment, "dlq", *command)
        evidence.add(Place.DLQ, [ended.stdout, ended.stderr])
        evidence.endings[" ".join(["dlq", command[0]])] = ended.returncode


def _outputs(evidence: Evidence, stage: Stage) -> None:
    names = stage.topics
    for topic, place in ((names.verdicts, Place.VERDICT), (names.quality, Place.QUALITY)):
        for message in published(stage.broker, topic, stage.partitions):
            evidence.add(place, [message.value() or b"", message.key() or b""])
            evidence.add(Place.HEADERS, [headers_of(message)])
    for message in published(stage.broker, names.dead_letters, stage.partitions):
        letter = letter_of(message)
        evidence.reasons.add(letter.error.reason)
        evidence.add(Place.HEADERS, [headers_of(message)])
        evidence.add(Place.LETTER, [remainder(letter)])
        evidence.add(Place.LETTER_KEY, [message.key() or b"", letter.key or b""])
        evidence.add(Place.LETTER_VALUE, [letter.value or b""])
        evidence.add(Place.LETTER_HEADERS, [f"{h.key}=".encode() + (h.value or b"") for h in letter.headers])


def _telemetry(evidence: Evidence) -> None:
    evidence.add(Place.SPAN, evidence.collector.traces)
    evidence.add(Place.METRIC, evidence.collector.metrics)
    evidence.add(Place.COLLECTOR, evidence.collector.asked)


def _console(evidence: Evidence, folder: Path) -> None:
    """Run what needs no broker: a report on pictures, the settings as they are, and what is wrong with others."""
    folder.mkdir()
    (folder / "garbage.pem").write_text(often(Canary.SETTING))
    (folder / "settings.yaml").write_text(f"kafka:\n  sasl_password {Canary.SETTING}\nregistry: {Canary.SETTING}\n")
    names = []
    for format_, data in zip(("png", "jpeg", "webp"), PICTURES, strict=True):
        for name, content in ((f"whole.{format_}", data), (f"half.{format_}", data[: len(data) // 2])):
            (folder / name).write_bytes(content)
            names.append(name)
    given = {**without_settings(), **settings(folder), "TMPDIR": str(folder.parent)}  # of which doctor tells
    tls = {
        "SLUICE_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
        "SLUICE_KAFKA__SECURITY_PROTOCOL": "SSL",
        "SLUICE_KAFKA__SSL_KEY_FILE": "garbage.pem",
    }
    judge = ["moderate", *names, "--bundle", "starter", "--prompt", often(Canary.PROMPT), "--report", "page.html"]
    for name, more, command in (
        ("moderate", {}, [*judge, "--json"]),
        ("settings", {}, ["config", "show"]),
        ("wrong settings", {}, ["--config", "settings.yaml", "config", "show"]),
        ("wrong key", tls, ["topics", "check"]),
    ):
        ended = _sluice(folder, given | more, *command)
        evidence.add(Place.CONSOLE, [ended.stdout, ended.stderr])
        evidence.endings[name] = ended.returncode
    evidence.add(Place.PAGE, [(folder / "page.html").read_bytes()])


def _sluice(folder: Path, environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return forked.run(("--debug", *arguments), environment, folder, WITHIN_S)

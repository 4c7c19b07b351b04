"""The whole road on a locked broker, each role with its least permissions, and other people's clients at its end."""

import json
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path

import fastavro
import httpx
import pytest
from confluent_kafka import Consumer, KafkaError, Producer
from typer.testing import CliRunner, Result

from sluice.cli import app as cli
from sluice.cli.frame import Invocation
from sluice.core.deadline import Deadline
from sluice.core.errors import Denied
from sluice.core.records import Partition, Record
from sluice.kafka.acls import Role
from sluice.kafka.client import (
    admin_config,
    consumer_config,
    open_admin,
    open_producer,
    plain_producer_config,
    producer_config,
)
from sluice.kafka.codec import Codec
from sluice.settings.environment import without_settings
from sluice_schemas.registry import ConfluentFraming, connect
from tests.contract.test_registry import address as registry_address
from tests.support.brokers import KAFKA
from tests.support.forked import Forked
from tests.support.locked import LockedBroker
from tests.support.outcomes import judged
from tests.support.road import PATIENCE_S, Road

pytestmark = [*KAFKA]
__all__ = ["registry_address"]

EVENTS = 24
NEVER_SAID = b"an aborted transaction wrote this"


@pytest.fixture(scope="module")
def road(locked: LockedBroker) -> Road:
    """Make a road without topics on which each role may do what it must and nothing else."""
    road = Road(locked)
    for role in Role:
        road.grant(f"User:{role}", [acl for acl in road.acls if acl.role is role])
    return road


@pytest.fixture(scope="module")
def travelled(road: Road, tmp_path_factory: pytest.TempPathFactory) -> Road:
    """Let the administrator make the topics, the simulator send events and `sluice run` answer them."""
    folder = tmp_path_factory.mktemp("road")
    created = sluice(road, Role.ADMINISTRATOR, "topics", "create", "--json")
    assert [row["result"] for row in json.loads(created.stdout)] == ["created"] * 6, created.output
    simulate(road, folder / "truth.jsonl")
    given = road.variables(road.broker.user(Role.CONSUMER))
    models = {"SLUICE_MODELS__BUNDLE": "starter", "SLUICE_MODELS__DEVICE": "cpu", "SLUICE_FUSE__MAX_SHARE": "1"}
    worker = Forked(("run",), without_settings() | given | models, folder, folder / "run.log")
    try:
        until(lambda: road.committed() == EVENTS, worker, folder / "run.log")
    finally:
        worker.send_signal(signal.SIGTERM)
        code = worker.wait(PATIENCE_S)
    assert code == 0, (folder / "run.log").read_text()
    abort(road)
    return road


def sluice(road: Road, role: Role, *arguments: str) -> Result:
    """Run a command in this process, as a role."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in road.variables(road.broker.user(role)).items():
            patch.setenv(name, value)
        return CliRunner().invoke(cli, arguments, obj=Invocation())


def simulate(road: Road, truth: Path) -> None:
    """Let the simulator send, as a producer."""
    login = admin_config(road.broker.user(Role.PRODUCER))
    options = [f"-X{name}={value}" for name, value in login.items() if name.startswith(("security", "sasl", "ssl"))]
    start = [sys.executable, "-m", "sluice_sim", "send", "--bootstrap-servers", road.broker.scram, *options]
    what = ["--images-topic", road.topics.images, "--events", str(EVENTS), "--pictures", "4", "--hostile", "0.2"]
    command = [*start, *what, "--by-file", "0", "--by-http", "0", "--truth", str(truth)]
    subprocess.run(command, check=True, timeout=2 * PATIENCE_S, env=without_settings())


def until(condition: Callable[[], bool], worker: Forked, log: Path) -> None:
    """Wait for the condition; a worker that has ended will not meet it."""
    deadline = Deadline.after(2 * PATIENCE_S, time.monotonic)
    while not condition():
        assert worker.poll() is None, log.read_text()
        assert not deadline.over, log.read_text()
        time.sleep(0.1)


def abort(road: Road) -> None:
    """Leave something in the verdicts that was never said."""
    config = producer_config(road.broker.nobody.model_copy(update={"transactional_id": f"{road.name}-never"}))
    producer = Producer(config)
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    producer.produce(road.topics.verdicts, NEVER_SAID, b"never")
    assert producer.flush(PATIENCE_S) == 0
    producer.abort_transaction(PATIENCE_S)


def read_as(road: Road, role: Role, topic: str, count: int) -> list[bytes]:
    """Read as a service of that role would: in a group, committed records only."""
    mine = {"group_id": f"{road.name}-{role}-1"}
    consumer = Consumer(consumer_config(road.broker.user(role).model_copy(update=mine)))
    consumer.subscribe([topic])
    deadline = Deadline.after(PATIENCE_S, time.monotonic)
    values: list[bytes] = []
    while len(values) < count and not deadline.over:
        message = consumer.poll(0.1)
        error = message and message.error()
        assert not error or error.code() == KafkaError._PARTITION_EOF, error
        if message is not None and not error:
            values.append(message.value() or b"")
    consumer.commit(offsets=consumer.position(consumer.assignment()), asynchronous=False)
    consumer.close()
    return values


def test_with_exactly_these_permissions_the_whole_road_runs(travelled: Road) -> None:
    """The fixture had the administrator, the producer and the consumer at work; `published` finds no second verdict."""
    counts = travelled.published()
    assert counts["verdicts"] == EVENTS
    assert 0 < counts["dead_letters"] == EVENTS - counts["quality"]
    assert sluice(travelled, Role.ADMINISTRATOR, "topics", "check").exit_code == 0
    found = json.loads(sluice(travelled, Role.CONSUMER, "doctor", "--json").stdout)
    assert [row["what"] for row in found if row["state"] == "fail"] == ["models"]  # no bundle is set for doctor here


def test_display_and_monitoring_read_what_is_theirs(travelled: Road) -> None:
    topics, counts = travelled.topics, travelled.published()
    shown = read_as(travelled, Role.DISPLAY, topics.verdicts, EVENTS)
    watched = read_as(travelled, Role.MONITORING, topics.verdicts, EVENTS)
    assert sorted(shown) == sorted(watched) == sorted(r.value or b"" for r in travelled.records(topics.verdicts))
    assert len(read_as(travelled, Role.MONITORING, topics.quality, counts["quality"])) == counts["quality"]
    assert travelled.committed(open_admin(admin_config(travelled.broker.user(Role.MONITORING)), print)) == EVENTS


def test_an_operator_lists_dead_letters_and_puts_them_back(travelled: Road) -> None:
    ends = len(travelled.records(travelled.topics.images))
    listed = json.loads(sluice(travelled, Role.OPERATOR, "dlq", "list", "--json").stdout)
    assert len(listed) == travelled.published()["dead_letters"]
    put_back = next(letter for letter in listed if letter["value"] is not None)
    assert sluice(travelled, Role.OPERATOR, "dlq", "requeue", put_back["place"]).exit_code == 0
    assert len(travelled.records(travelled.topics.images)) == ends + 1


def test_whoever_is_on_call_sees_the_lag_and_who_reads_images_sees_ages_too(travelled: Road) -> None:
    travelled.publish(1)
    seen = {
        role: json.loads(sluice(travelled, role, "lag", "--json").stdout)
        for role in (Role.MONITORING, Role.OPERATOR, Role.CONSUMER)
    }
    for found in seen.values():
        assert found["lag"] >= 1
        assert sum(row["committed"] for row in found["partitions"]) == EVENTS
    assert [found["oldest_s"] is None for found in seen.values()] == [True, True, False]
    for role, what in ((Role.PRODUCER, f"group {travelled.name}"), (Role.DISPLAY, f"topic {travelled.topics.images}")):
        error = sluice(travelled, role, "lag").exception
        assert isinstance(error, Denied)
        assert f"Describe on {what}" in str(error)


def test_kcat_reads_what_was_committed(travelled: Road) -> None:
    """By certificate: Debian's librdkafka cannot do SCRAM with Kafka 4 (librdkafka pull request 4895)."""
    if not shutil.which("kcat"):
        pytest.skip("there is no kcat on the PATH")
    broker = travelled.broker
    identity = broker.authority.sign("kcat")
    travelled.grant("User:CN=kcat", [acl for acl in travelled.acls if acl.role is Role.DISPLAY])
    login = admin_config(broker.bearer(identity))
    options = [f"-X{name}={value}" for name, value in login.items() if name.startswith(("security", "ssl"))]
    command = ["kcat", "-C", "-b", broker.mtls, "-t", travelled.topics.verdicts, "-o", "beginning", "-e", "-q",
               "-X", "isolation.level=read_committed", *options, "-f", "%R%s"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=True)
    assert sorted(framed(done.stdout)) == committed(travelled)


def framed(data: bytes) -> Iterator[bytes]:
    """Yield values that each have their length before them."""
    stream = BytesIO(data)
    while length := stream.read(4):
        yield stream.read(struct.unpack(">i", length)[0])


def committed(road: Road) -> list[bytes]:
    values = sorted(record.value or b"" for record in road.records(road.topics.verdicts))
    assert len(values) == EVENTS
    assert NEVER_SAID not in values
    return values


def test_kafkas_own_consumer_reads_what_was_committed(travelled: Road, tmp_path: Path) -> None:
    user = travelled.broker.user(Role.DISPLAY)
    login = tmp_path / "display.properties"
    login.write_text(
        "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nssl.truststore.type=PEM\n"
        f"ssl.truststore.location={user.ssl_ca_file}\n"
        "sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required "
        f'username="{user.sasl_username}" password="{user.sasl_password.get_secret_value()}";\n'
    )
    between = b"-- next --"
    printed = travelled.broker.tool(
        "kafka-console-consumer.sh", "--bootstrap-server", user.bootstrap_servers, "--command-config", str(login),
        "--topic", travelled.topics.verdicts, "--group", f"{travelled.name}-display-console", "--from-beginning",
        "--isolation-level", "read_committed", "--max-messages", str(EVENTS),
        "--formatter-property", f"line.separator={between.decode()}",
    )  # fmt: skip
    assert sorted(printed.split(between)[:-1]) == committed(travelled)


@pytest.mark.registry
def test_a_registrys_schema_reads_the_values_that_were_written(locked: LockedBroker, registry_address: str) -> None:
    road = Road(locked).create()
    outcome = judged(Record(Partition(road.topics.images, 0), 3, 0, b"i-1", b""))
    with closing(connect(registry_address)) as registry:
        codec = Codec(ConfluentFraming(registry, auto_register=True), road.topics, "/test", 1)
        producer = open_producer(plain_producer_config(locked.nobody), lambda _: None)
        for message in codec.encode(outcome):
            producer.produce(message.topic, message.value, message.key)
        assert producer.flush(PATIENCE_S) == 0
    (record,) = road.records(road.topics.verdicts)
    magic, number = struct.unpack(">bi", (record.value or b"")[:5])
    schema = json.loads(httpx.get(f"{registry_address}/schemas/ids/{number}", trust_env=False).json()["schema"])
    read = fastavro.schemaless_reader(BytesIO((record.value or b"")[5:]), fastavro.parse_schema(schema), None)
    assert isinstance(read, dict)
    verdict = outcome.verdict
    said = (read["verdict_id"], read["image_id"], read["status"], read["policy"]["digest"], read["produced_at"])
    assert (magic, *said) == (
        0, verdict.verdict_id, verdict.image_id, verdict.status, verdict.policy.digest, verdict.produced_at,
    )  # fmt: skip

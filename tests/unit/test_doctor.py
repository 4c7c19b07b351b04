"""`sluice doctor`: what it looks at, and a fix for all that fails."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AclOperation
from typer.testing import CliRunner, Result

from sluice import doctor
from sluice.cli import app
from sluice.cli.frame import Invocation
from sluice.doctor import Row, examine
from sluice.kafka import cluster_checks
from sluice.kafka.acls import Acl, Role
from sluice.kafka.client import admin_config, open_admin, open_producer, plain_producer_config
from sluice.services.moderator import self_test_file
from sluice.settings import Kafka, Models, Policy, SelfTest, Settings, Telemetry, Topics
from sluice.telemetry import http
from sluice_schemas import ModelRef
from tests.support.brokers import embedded
from tests.support.checkpoints import pin, write_bundle

NOW_S = 1_800_000_000.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_bundle(tmp_path_factory.mktemp("bundle") / "tiny"))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded(tmp_path_factory.mktemp("broker")) as address:
        yield address


def sluice(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, obj=Invocation())


def rows(settings: Settings, *what: str) -> dict[str, Row]:
    return {row.what: row for row in examine(settings, NOW_S) if not what or row.what in what}


def test_every_failing_row_has_a_fix_and_the_exit_status_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = sluice("doctor", "--json")
    failing = {row["what"]: row["fix"] for row in json.loads(result.stdout) if row["state"] == "fail"}
    assert result.exit_code == 1
    assert failing == {
        "models": "set SLUICE_MODELS__BUNDLE to openai (and run `sluice models fetch`), a folder, or starter (demo)",
        "broker": "set SLUICE_KAFKA__BOOTSTRAP_SERVERS to host:port[,...]",
    }


def test_settings_that_cannot_be_read_are_rows_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLUICE_FUSE__WINDOW", "0")
    monkeypatch.setenv("SLUICE_FUSE__WINDOWS", "0")
    result = sluice("doctor")
    assert result.exit_code == 1
    assert [line.split()[:2] for line in result.stdout.splitlines()[1:]] == [["fail", "settings"]] * 2


def test_a_policy_that_asks_a_model_nobody_loads_fails(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("id: a\nversion: 1\nopinions: [{model: nudenet, label: X, at_least: 0.5, action: BLOCK}]\n")
    found = rows(Settings(policy=Policy(file=file)))["opinions"]
    assert (found.state, found.fix) == ("fail", "add nudenet to SLUICE_MODELS__PLUGINS")


def test_a_plug_in_that_cannot_be_loaded_fails_and_counts_as_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("id: a\nversion: 1\nopinions: [{model: absent, label: X, at_least: 0.5, action: BLOCK}]\n")
    found = rows(Settings(policy=Policy(file=file), models=Models(plugins=("absent",))))
    assert "opinions" not in found
    assert found["plug-in absent"].state == "fail"


def test_a_policy_that_cannot_be_used_fails_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("id: a\nversion: one\n")
    found = rows(Settings(policy=Policy(file=file)))["policy"]
    assert found.state == "fail"
    assert "p.yaml:2: version = 'one'" in found.found


def test_weights_and_device_are_named(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "tiny")
    settings = Settings(models=Models(bundle=str(folder), device="cpu"))
    unpinned = rows(settings)["weights"]
    assert (unpinned.state, unpinned.fix) == ("warn", "sluice models pin FOLDER")
    pin(folder)
    found = rows(settings)
    assert found["weights"].state == "ok"
    assert found["weights"].found.startswith("tiny ")
    assert (found["device"].state, found["device"].found) == ("warn", "cpu, float32: about one image a second")


def test_a_policy_that_asks_for_a_label_that_its_model_never_reports_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled = SimpleNamespace(ref=ModelRef("mine", "mine", "", "0" * 64, "float32"), labels=("gore",))
    monkeypatch.setattr("sluice.models.plugin.find", lambda _name: labelled)
    file = tmp_path / "p.yaml"
    for label, state in (("gore", "ok"), ("Gore", "fail")):
        file.write_text(f"id: a\nversion: 1\nopinions: [{{model: mine, label: {label}, at_least: 1, action: BLOCK}}]\n")
        found = rows(Settings(policy=Policy(file=file), models=Models(plugins=("mine",))))["opinions"]
        assert found.state == state
    assert "its labels are gore" in found.found
    assert found.fix == "name one of these labels in the policy"


def test_canaries_without_known_answers_are_worth_a_word(bundle: str) -> None:
    tiny, starter = Models(bundle=bundle, device="cpu"), Models(bundle="starter", device="cpu")
    assert rows(Settings(models=starter))["self-test"].state == "ok"
    found = rows(Settings(models=tiny))["self-test"]
    assert (found.state, found.fix.partition(",")[0]) == ("warn", "sluice models self-test --write FILE")
    assert (
        rows(Settings(models=tiny, self_test=SelfTest(enabled=False)))["self-test"].fix
        == "SLUICE_SELF_TEST__ENABLED=true"
    )
    other = rows(Settings(models=tiny, self_test=SelfTest(file=self_test_file.SHIPPED)))["self-test"]
    assert (other.state, other.fix.partition(" --")[0]) == ("fail", "once these are attested: sluice models self-test")


def test_a_port_that_is_taken_is_worth_a_word() -> None:
    with http.serving("127.0.0.1", 0, {}) as port:
        taken = rows(Settings(telemetry=Telemetry(http_port=port)))["probes"]
    assert (taken.state, taken.fix.rpartition(" ")[2]) == ("warn", "SLUICE_TELEMETRY__HTTP_PORT")
    assert rows(Settings(telemetry=Telemetry(http_port=0)))["probes"].found.startswith("127.0.0.1:0 is free")


@pytest.mark.parametrize("setting", ["bundle", "device"])
def test_a_wrong_setting_of_the_models_is_mended_by_that_setting(setting: str, bundle: str) -> None:
    wrong = {"bundle": "/nowhere", "device": "cuda:99"}[setting]
    found = rows(Settings(models=Models(bundle=bundle, device="cpu").model_copy(update={setting: wrong})))["models"]
    assert (found.state, found.fix) == ("fail", f"SLUICE_MODELS__{setting.upper()}")


def test_missing_weights_name_the_command_that_fetches_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    found = rows(Settings(models=Models(bundle="openai")))["models"]
    assert (found.state, found.fix) == ("fail", "run `sluice models fetch`")


@pytest.mark.parametrize(("free_mib", "state"), [(50, "fail"), (500, "warn"), (5000, "ok")])
def test_a_full_disk_is_seen(free_mib: int, state: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = type("Usage", (), {"free": free_mib * 1024**2})
    monkeypatch.setattr("sluice.doctor.shutil.disk_usage", lambda _: usage)
    monkeypatch.setattr("sluice.doctor.tempfile.gettempdir", lambda: str(tmp_path))
    assert rows(Settings())[f"disk {tmp_path}"].state == state


@pytest.mark.parametrize(
    ("newest_ms", "state"), [(None, "ok"), (int(NOW_S * 1000), "ok"), (int((NOW_S + 60) * 1000), "warn")]
)
def test_records_from_the_future_mean_a_wrong_clock(newest_ms: int | None, state: str) -> None:
    assert doctor._clock(newest_ms, NOW_S).state == state


@pytest.mark.parametrize(
    ("ours", "found", "state"),
    [
        ("classic", None, "warn"),
        ("classic", cluster_checks.Group((), "classic", ""), "ok"),
        ("classic", cluster_checks.Group(("a@b",), "classic", "range"), "ok"),
        ("classic", cluster_checks.Group(("a@b",), "classic", ""), "ok"),
        ("classic", cluster_checks.Group(("a@b",), "classic", "cooperative-sticky"), "fail"),
        ("classic", cluster_checks.Group(("a@b",), "consumer", "uniform"), "warn"),
        ("consumer", cluster_checks.Group(("a@b",), "classic", "range"), "warn"),
        ("consumer", cluster_checks.Group(("a@b",), "consumer", "uniform"), "ok"),
    ],
)
def test_who_is_in_the_group_is_told_and_whether_they_let_us_in(
    ours: Literal["classic", "consumer"], found: cluster_checks.Group | None, state: str
) -> None:
    row = doctor._group(Kafka(group_id="g", group_protocol=ours), found)
    assert (row.what, row.state) == ("group g", state)
    assert (state == "ok") or row.fix
    assert not found or found.assignor in row.found


def test_limits_of_the_brokers_are_told_and_named() -> None:
    (unknown,) = doctor._limits(Kafka(), {})
    assert (unknown.state, unknown.what) == ("warn", "limits")
    (fine,) = doctor._limits(Kafka(), {"transaction.max.timeout.ms": 900_000})
    assert fine.state == "ok"
    (beyond,) = doctor._limits(Kafka(transaction_timeout_s=1200.0), {"transaction.max.timeout.ms": 900_000})
    assert (beyond.state, beyond.fix) == ("fail", "SLUICE_KAFKA__TRANSACTION_TIMEOUT_S")


def test_permissions_are_told_one_by_one() -> None:
    kafka = Kafka(sasl_username="sluice")
    assert [row.state for row in doctor._permissions(kafka, None)] == ["warn"]
    assert [row.state for row in doctor._permissions(kafka, [])] == ["ok"]
    missing = [Acl(Role.CONSUMER, "Write", "topic", "verdicts"), Acl(Role.CONSUMER, "Read", "group", "sluice")]
    denied = list(doctor._permissions(kafka, missing))
    assert [row.found for row in denied] == ["Write on topic verdicts is denied", "Read on group sluice is denied"]
    assert denied[0].fix == "kafka-acls.sh --add --allow-principal User:sluice --operation Write --topic verdicts"


class Answer:
    """A future of the admin client."""

    def __init__(self, allowed: list[AclOperation] | None, error: int | None = None) -> None:
        self.authorized_operations, self._error = allowed, error

    def result(self) -> "Answer":
        if self._error is not None:
            raise KafkaException(KafkaError(self._error))
        return self


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        (Answer([AclOperation.READ]), {"READ"}),
        (Answer([]), None),
        (Answer(None), None),
        (Answer(None, KafkaError.GROUP_AUTHORIZATION_FAILED), set()),
        (Answer(None, KafkaError.TOPIC_AUTHORIZATION_FAILED), set()),
        (Answer(None, KafkaError.UNSUPPORTED_VERSION), None),
    ],
)
def test_a_denied_question_is_a_denial_and_an_old_broker_is_none(answer: Answer, allowed: set[str] | None) -> None:
    assert cluster_checks._allowed(answer.result) == allowed


@pytest.mark.embedded
def test_a_broker_is_asked_for_topics_permissions_and_time(broker: str) -> None:
    kafka = Kafka(bootstrap_servers=broker)
    settings = Settings(kafka=kafka, topics=Topics(partitions=1, replication_factor=1, min_insync_replicas=1))
    found = rows(settings)
    assert found["broker"].state == "ok"
    assert (found["topic images.generated.v1"].state, found["topic images.generated.v1"].fix) == (
        "fail",
        "sluice topics create",
    )
    assert {"permissions", "clock"} <= found.keys()


@pytest.mark.embedded
def test_the_newest_timestamp_of_topics_is_found_or_not_told(broker: str) -> None:
    kafka = Kafka(bootstrap_servers=broker)
    admin = open_admin(admin_config(kafka), lambda _: None)
    assert cluster_checks.newest_timestamp_ms(admin, ["absent"]) is None
    producer = open_producer(plain_producer_config(kafka), lambda _: None)
    producer.produce("stamped", b"x", timestamp=1_700_000_000_000)
    assert producer.flush(60) == 0
    assert cluster_checks.newest_timestamp_ms(admin, ["stamped"]) in (None, 1_700_000_000_000)


def test_a_silent_broker_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sluice.kafka.cluster_checks.TIMEOUT_S", 0.3)
    found = rows(Settings(kafka=Kafka(bootstrap_servers="127.0.0.1:1")))["broker"]
    assert found.state == "fail"
    assert found.found.startswith("no broker answers")

"""The least that each role needs, and how it is told: values, commands, JSON."""

import json
import shlex

import pytest
from typer.testing import CliRunner, Result

from sluice.cli import app
from sluice.cli.frame import Invocation
from sluice.kafka.acls import Acl, Role, granting, least, of_consumer
from sluice.settings import Kafka, Topics

TOPICS = Topics()


def sluice(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["topics", "acls", *arguments], obj=Invocation())


def of(role: Role, kafka: Kafka = Kafka(), prefix: str = "") -> list[str]:  # noqa: B008 -- frozen
    return [str(acl) for acl in least(kafka, TOPICS, prefix) if acl.role is role]


def test_a_consumer_reads_images_and_writes_outputs_and_transactions() -> None:
    assert of(Role.CONSUMER) == [
        "Read on topic images.generated.v1",
        "Read on group sluice",
        "Write on topic images.verdicts.v1",
        "Write on topic images.quality.v1",
        "Write on topic images.deadletter.v1",
        "Write on transactional-id sluice-*",
    ]


def test_only_the_consumer_writes_verdicts_and_only_operators_read_dead_letters() -> None:
    acls = least(Kafka(), TOPICS)
    assert {acl.role for acl in acls if acl.operation == "Write" and acl.name == TOPICS.verdicts} == {Role.CONSUMER}
    assert {acl.role for acl in acls if acl.operation == "Read" and acl.name == TOPICS.dead_letters} == {Role.OPERATOR}
    assert not any(acl.operation in {"Alter", "Delete", "All"} for acl in acls)


@pytest.mark.parametrize(
    ("transactional_id", "prefix", "named"),
    [("", "", "sluice-*"), ("sluice-3", "", "sluice-3"), ("sluice-3", "sluice-", "sluice-*"), ("", "mine-", "mine-*")],
)
def test_transactional_ids_are_one_or_what_several_begin_with(transactional_id: str, prefix: str, named: str) -> None:
    kafka = Kafka(transactional_id=transactional_id)
    assert of(Role.CONSUMER, kafka, prefix)[-1] == f"Write on transactional-id {named}"


def test_one_consumer_is_asked_for_its_own_transactional_id() -> None:
    assert of_consumer(Kafka(), TOPICS, "sluice-host")[-1] == Acl(
        Role.CONSUMER, "Write", "transactional-id", "sluice-host"
    )


def test_the_commands_grant_all_of_it_to_whom_it_is_said() -> None:
    lines = sluice("--principal", "display=User:CN=a b", "--command-config", "root.properties").stdout.splitlines()
    words = [shlex.split(line) for line in lines if not line.startswith("#")]
    told = {(word[i + 1], word[i + 2]) for word in words for i, part in enumerate(word) if part == "--operation"}
    assert all(word[:2] == ["kafka-acls.sh", "--bootstrap-server"] for word in words)
    assert all("root.properties" in word for word in words)
    assert {word[word.index("--allow-principal") + 1] for word in words} == {
        "User:consumer", "User:producer", "User:CN=a b", "User:monitoring", "User:operator", "User:administrator",
    }  # fmt: skip
    assert {operation for operation, _ in told} == {"Read", "Write", "Create", "Describe", "DescribeConfigs"}
    assert [line for line in lines if line.startswith("# display")] == [
        "# display: display services; their groups begin with this name"
    ]


def test_a_prefix_is_a_command_of_its_own() -> None:
    lines = [line for line in sluice("--role", "consumer").stdout.splitlines() if "--transactional-id" in line]
    assert len(lines) == 1
    assert lines[0].endswith("--resource-pattern-type prefixed --operation Write --transactional-id sluice-")


def test_the_user_of_the_settings_is_the_consumers_principal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_KAFKA__SASL_USERNAME", "moderation")
    monkeypatch.setenv("SLUICE_KAFKA__BOOTSTRAP_SERVERS", "broker:9093")
    rows = json.loads(sluice("--role", "consumer", "--role", "display", "--json").stdout)
    assert {row["role"]: row["principal"] for row in rows} == {
        "consumer": "User:moderation",
        "display": "User:display",
    }
    assert "--bootstrap-server broker:9093" in sluice().stdout


@pytest.mark.parametrize("wrong", ["display", "nobody=User:x", "display="])
def test_a_principal_without_a_role_is_refused(wrong: str) -> None:
    assert sluice("--principal", wrong).exit_code == 2


def test_one_permission_is_one_command() -> None:
    assert granting(Acl(Role.DISPLAY, "Read", "group", "show", prefixed=True), "User:x") == [
        "--add", "--allow-principal", "User:x", "--resource-pattern-type", "prefixed", "--operation", "Read",
        "--group", "show",
    ]  # fmt: skip

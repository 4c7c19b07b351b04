"""A broker with TLS, users, certificates and ACLs: the least is enough, less is named, and nobody else gets in."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AclBindingFilter, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

from sluice.cli.frame import exit_code
from sluice.core.deadline import Deadline
from sluice.core.errors import Denied
from sluice.doctor import Row, examine
from sluice.kafka.acls import Acl, Role, least, script
from sluice.kafka.client import open_producer, plain_producer_config
from sluice.kafka.reader import requeue
from sluice.services.moderator import app
from sluice.settings import Kafka, Settings, Topics
from sluice.settings.environment import without_settings
from tests.support.brokers import KAFKA
from tests.support.certificates import Authority, Identity
from tests.support.locked import LockedBroker
from tests.support.road import PATIENCE_S, Road, binding
from tests.unit.test_cli_kafka import LETTER

pytestmark = [*KAFKA]

CONSUMER = f"User:{Role.CONSUMER}"
NEEDED = [acl for acl in least(Kafka(), Topics()) if acl.role is Role.CONSUMER]


@pytest.fixture
def road(locked: LockedBroker) -> Road:
    """Make a road on which the consumer may do what it needs, and nobody anything else."""
    road = Road(locked).create()
    road.grant(CONSUMER, of(Role.CONSUMER, road))
    return road


def of(role: Role, road: Road) -> list[Acl]:
    return [acl for acl in road.acls if acl.role is role]


def at_the_brokers(settings: Settings) -> list[Row]:
    """Return what doctor finds there; of models these settings know nothing."""
    rows = list(examine(settings, 0.0))
    return rows[[row.what for row in rows].index("models") + 1 :]


def failing(settings: Settings) -> list[tuple[str, str]]:
    return [(row.found, row.fix) for row in at_the_brokers(settings) if row.state == "fail"]


def test_kafkas_own_tool_takes_the_printed_commands_and_grants_what_they_say(locked: LockedBroker) -> None:
    road = Road(locked)
    wanted = of(Role.CONSUMER, road)
    tool = ["kafka-acls.sh", "--bootstrap-server", locked.plain]
    who = "User:CN=by hand,O=it's us"
    commands = [line for line in script(wanted, tool, dict.fromkeys(Role, who)) if not line.startswith("#")]
    with ThreadPoolExecutor(len(commands)) as threads:
        list(threads.map(lambda command: locked.tool("bash", "-c", command), commands))
    anything: Any = None  # the type stubs know no filter that leaves something open
    theirs = AclBindingFilter(
        ResourceType.ANY, anything, ResourcePatternType.ANY, who, anything, AclOperation.ANY, AclPermissionType.ANY
    )
    assert set(locked.admin.describe_acls(theirs).result()) == {binding(who, acl) for acl in wanted}


@pytest.mark.parametrize("which", range(len(NEEDED)), ids=[f"{acl.operation}-{acl.name}" for acl in NEEDED])
def test_without_one_permission_doctor_names_it_and_the_consumer_leaves_and_loses_nothing(
    which: int, road: Road, locked: LockedBroker
) -> None:
    login, missing = locked.user(Role.CONSUMER), of(Role.CONSUMER, road)[which]
    named = f"{missing.operation} on {missing.kind} {missing.name.removesuffix('-')}"
    road.publish(good=3, broken=1)
    taken: list[Acl] = []

    def bereave() -> bool:
        if not taken and road.committed() == 4:
            road.take(CONSUMER, missing)
            taken.append(missing)
            road.publish(good=3, broken=1)
        return False

    with pytest.raises(Denied, match=r"authorization failed.*sluice topics acls"):
        road.consume(login, bereave)
    with pytest.raises(Denied, match=rf"({named}|transactional_id).*sluice topics acls"):
        road.consume(login, lambda: False)
    (finding,) = [row for row in at_the_brokers(road.settings(login)) if row.what == "permissions"]
    assert finding.state == "fail"
    assert finding.found.startswith(named)
    assert finding.fix.startswith(
        f"kafka-acls.sh --add --allow-principal {CONSUMER} --operation {missing.operation} --"
    )
    assert road.committed() == road.published()["verdicts"]
    road.grant(CONSUMER, [missing])
    road.consume(login, lambda: road.committed() == 8)
    assert road.published() == {"verdicts": 8, "quality": 6, "dead_letters": 2}
    assert failing(road.settings(login)) == []


def test_a_certificate_is_as_good_as_a_password(locked: LockedBroker) -> None:
    road, login = Road(locked).create(), locked.bearer(locked.authority.sign("certified"))
    road.grant("User:CN=certified", of(Role.CONSUMER, road))
    road.publish(good=3, broken=1)
    assert failing(road.settings(login)) == []
    road.consume(login, lambda: road.committed() == 4)
    assert road.published() == {"verdicts": 4, "quality": 3, "dead_letters": 1}


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.CONSUMER])
def test_only_the_consumer_may_say_what_may_be_shown(role: Role, road: Road, locked: LockedBroker) -> None:
    road.grant(f"User:{role}", of(role, road))
    letter = replace(LETTER, value=b"ALLOW")
    producer = open_producer(plain_producer_config(locked.user(role)), lambda _: None)
    with pytest.raises(Denied, match=f"deny Write on topic {road.topics.verdicts}"):
        requeue(producer, letter, road.topics.verdicts, Deadline.after(PATIENCE_S, time.monotonic))
    assert road.records(road.topics.verdicts) == []


@dataclass(frozen=True, slots=True)
class Strangers:
    """What does not open the door: a foreign authority and its certificate, and one of ours that is over."""

    authority: Authority
    foreign: Identity
    expired: Identity


@pytest.fixture(scope="module")
def strangers(locked: LockedBroker, tmp_path_factory: pytest.TempPathFactory) -> Strangers:
    foreign = Authority(tmp_path_factory.mktemp("foreign"), "authority")
    return Strangers(foreign, foreign.sign("certified"), locked.authority.sign("late", expired=True))


def wrong(how: str, locked: LockedBroker, strangers: Strangers) -> Kafka:
    """Return settings with one mistake."""
    user, bearer = locked.user(Role.CONSUMER), locked.bearer(strangers.expired)
    logins = {
        "wrong password": user.model_copy(update={"sasl_password": locked.user(Role.DISPLAY).sasl_password}),
        "a mechanism that is not enabled": user.model_copy(update={"sasl_mechanism": "PLAIN"}),
        "an authority we do not trust": user.model_copy(update={"ssl_ca_file": strangers.authority.file}),
        "another name than the certificate's": user.model_copy(
            update={"bootstrap_servers": locked.scram.replace("127.0.0.1", "localhost")}
        ),
        "our certificate has expired": bearer,
        "our certificate is of a foreign authority": bearer.model_copy(
            update={
                "ssl_certificate_file": strangers.foreign.certificate,
                "ssl_key_file": strangers.foreign.key,
            }
        ),
        "no certificate": bearer.model_copy(update={"ssl_certificate_file": None, "ssl_key_file": None}),
        "clear text to a TLS port": Kafka(bootstrap_servers=locked.scram),
        "TLS to a port in clear text": user.model_copy(update={"bootstrap_servers": locked.plain}),
    }
    return logins[how]


WRONG = {
    "wrong password": "kafka.sasl_username and kafka.sasl_password",
    "a mechanism that is not enabled": "set kafka.sasl_mechanism to one of those",
    "an authority we do not trust": "that we do not trust: set kafka.ssl_ca_file",
    "another name than the certificate's": "not for this name: use one that it bears in kafka.bootstrap_servers",
    "our certificate has expired": "an expired one.*kafka.ssl_certificate_file",
    "our certificate is of a foreign authority": "one of an authority.*kafka.ssl_certificate_file",
    "no certificate": "another certificate of us than none.*kafka.ssl_certificate_file",
    "clear text to a TLS port": "kafka.security_protocol is PLAINTEXT, but this port speaks TLS",
    "TLS to a port in clear text": "kafka.security_protocol is SASL_SSL, but this port speaks no TLS",
}


@pytest.mark.parametrize("how", WRONG)
def test_who_is_not_let_in_is_told_why_and_what_mends_it(
    how: str, locked: LockedBroker, strangers: Strangers, road: Road
) -> None:
    settings = road.settings(wrong(how, locked, strangers))
    with pytest.raises(Denied, match=WRONG[how]) as refused, app.consumer(settings):
        pytest.fail("it was let in")
    said = str(refused.value)
    assert exit_code(refused.value) == 77
    assert "\n" not in said
    (row,) = at_the_brokers(settings)
    assert (row.what, row.state, row.found) == ("broker", "fail", said)
    assert row.fix.startswith("SLUICE_KAFKA__")
    assert "password-of" not in said + row.fix


def test_the_process_leaves_with_77_one_line_and_no_secret(
    locked: LockedBroker, strangers: Strangers, road: Road, tmp_path: Path
) -> None:
    """Before any model is loaded: no bundle is set, and nothing is said of that."""
    bad = road.variables(wrong("wrong password", locked, strangers))
    road.take(CONSUMER, of(Role.CONSUMER, road)[0])
    denied = road.variables(locked.user(Role.CONSUMER))
    for given, expected in ((bad, WRONG["wrong password"]), (denied, f"Read on topic {road.topics.images}")):
        command = [sys.executable, "-m", "sluice", "run"]
        left = subprocess.run(
            command, env=without_settings() | given, cwd=tmp_path, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        (line,) = [line for line in left.stderr.splitlines() if line.startswith("error: ")]
        assert (left.returncode, left.stdout) == (77, "")
        assert expected in line
        assert "Traceback" not in left.stderr
        assert "password-of" not in left.stderr

"""What the chart gives the consumer is what the consumer reads, and what it asks of Strimzi is what the code asks."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from sluice import policies
from sluice.core.errors import BadSettings
from sluice.kafka.acls import Acl, Kind, least
from sluice.kafka.topics import specs
from sluice.services.moderator import self_test_file
from sluice.settings import Policy, Settings
from sluice.settings.environment import without_settings
from sluice.settings.sources import Loaded, load
from tests.helm.chart import CHART, EXAMPLES, NAMESPACE, Helm, Resource, example, merged
from tests.helm.pods import NAME, mounted, variables
from tests.helm.policies import consumer, of, one

SHIPPED = self_test_file.SHIPPED
KINDS: dict[str, Kind] = {"topic": "topic", "group": "group", "transactionalId": "transactional-id"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in set(os.environ) - set(without_settings()):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def read(made: list[Resource], environment: pytest.MonkeyPatch) -> Loaded:
    folder = mounted(made, Path("mounted").absolute(), {})
    for name, value in variables(consumer(made)).items():
        environment.setenv(name, value)
    secrets = Path("secrets").absolute()
    secrets.mkdir(exist_ok=True)
    (secrets / "kafka__sasl_password").write_text("a password")
    environment.setenv("SLUICE_SECRETS_DIR", str(secrets))
    return load(folder / "settings.yaml")


@pytest.mark.parametrize("name", [file.stem for file in EXAMPLES])
def test_the_consumer_reads_what_was_given(helm: Helm, environment: pytest.MonkeyPatch, name: str) -> None:
    found = read(helm.render(example(name)), environment).settings
    given = example(name)["settings"]
    for section, values in given.items():
        for key, value in values.items():
            read_back = getattr(getattr(found, section), key)
            plain = [*map(str, read_back)] if isinstance(read_back, tuple) else read_back
            assert plain == value or str(plain) == value, f"{section}.{key}"
    assert (found.telemetry.http_host, found.telemetry.http_port) == ("0.0.0.0", 9464)  # noqa: S104 -- in a pod
    assert str(found.poison.journal_folder) == "/run/sluice"
    assert found.kafka.transactional_id == f"{found.kafka.group_id}-{NAMESPACE}-{NAME}"


def test_numbers_stay_what_they_are(helm: Helm, environment: pytest.MonkeyPatch) -> None:
    found = read(helm.render(example("object-store")), environment).settings
    assert found.media.max_image_bytes == 33_554_432
    assert found.media.decoders == 12
    assert found.batching.drain_timeout_s == 90.5


def test_decoders_and_threads_are_as_many_as_the_cores_asked_for(helm: Helm, environment: pytest.MonkeyPatch) -> None:
    found = read(helm.render(example("demo")), environment).settings
    assert (found.media.decoders, found.models.torch_threads) == (1, 1)


def test_the_policy_file_is_where_the_setting_says(helm: Helm, environment: pytest.MonkeyPatch) -> None:
    made = helm.render(example("shadow"))
    file = read(made, environment).settings.policy.file
    assert file
    mounts = {mount["mountPath"]: mount["name"] for mount in consumer(made)["volumeMounts"]}
    assert mounts[str(file.parent)] == "config"
    assert (Path("mounted") / file.name).read_text() == example("shadow")["policyFile"]
    assert policies.chosen(Policy(file=Path("mounted") / file.name)).ref.id == "stricter"


def test_canaries_are_where_the_setting_says(helm: Helm, environment: pytest.MonkeyPatch) -> None:
    made = helm.render(merged(example("gpu"), {"selfTestFile": SHIPPED.read_text("utf-8")}))
    file = read(made, environment).settings.self_test.file
    assert str(file) == "/etc/sluice/config/self_test.json"
    assert json.loads((Path("mounted") / "self_test.json").read_text()) == json.loads(SHIPPED.read_text("utf-8"))


def test_a_setting_that_nobody_has_is_refused_by_the_consumer_too(helm: Helm, environment: pytest.MonkeyPatch) -> None:
    made = helm.render(example("demo"))
    config = next(found for found in of(made, "ConfigMap") if "settings.yaml" in found["data"])
    config["data"]["settings.yaml"] += "batchin: {max_records: 1}\n"
    with pytest.raises(BadSettings, match="batchin"):
        read(made, environment)


CUSTOM: dict[str, Any] = {
    "settings": {
        "kafka": {"group_id": "moderation"},
        "topics": {"images": "art.in", "dead_letters": "art.dead", "partitions": 24, "replication_factor": 4},
        "media": {"max_event_bytes": 3_000_000},
    }
}


@pytest.fixture(params=[{}, CUSTOM], ids=["default", "custom"])
def by_strimzi(helm: Helm, request: pytest.FixtureRequest) -> tuple[list[Resource], Settings]:
    values = merged(example("mig-keda-strimzi"), request.param)
    given = {name: section for name, section in values["settings"].items() if name in {"kafka", "topics", "media"}}
    return helm.render(values), Settings(**given)


def test_users_may_what_the_code_says_and_no_more(by_strimzi: tuple[list[Resource], Settings]) -> None:
    made, settings = by_strimzi
    granted = {
        Acl(user["metadata"]["name"].removeprefix("sluice-"), operation, KINDS[resource["type"]], resource["name"],
            resource["patternType"] == "prefix")
        for user in of(made, "KafkaUser")
        for acl in user["spec"]["authorization"]["acls"]
        for operation, resource in ((operation, acl["resource"]) for operation in acl["operations"])
    }  # fmt: skip
    assert granted == set(least(settings.kafka, settings.topics))


def test_topics_are_what_the_code_would_create(by_strimzi: tuple[list[Resource], Settings]) -> None:
    made, settings = by_strimzi
    found = {
        topic["spec"]["topicName"]: (
            topic["spec"]["partitions"],
            topic["spec"]["replicas"],
            {name: str(value) for name, value in topic["spec"]["config"].items()},
        )
        for topic in of(made, "KafkaTopic")
    }
    wanted = specs(settings.topics, settings.media)
    assert found == {spec.name: (spec.partitions, spec.replication_factor, dict(spec.config)) for spec in wanted}


def test_scaling_looks_at_what_is_consumed(by_strimzi: tuple[list[Resource], Settings]) -> None:
    made, settings = by_strimzi
    metadata = one(made, "ScaledObject")["spec"]["triggers"][0]["metadata"]
    assert metadata["topic"] == settings.topics.images
    assert metadata["consumerGroup"] == settings.kafka.group_id
    assert metadata["bootstrapServers"] == "events-kafka-bootstrap.kafka.svc:9093"
    assert metadata["tls"] == "enable"


def test_strimzi_s_certificates_are_where_the_settings_say(helm: Helm, environment: pytest.MonkeyPatch) -> None:
    made = helm.render(example("mig-keda-strimzi"))
    kafka = read(made, environment).settings.kafka
    mounts = [mount["mountPath"] for mount in consumer(made)["volumeMounts"]]
    for file in (kafka.ssl_ca_file, kafka.ssl_certificate_file, kafka.ssl_key_file):
        assert str(file and file.parent) in mounts


REPEATED = re.compile(r'"sluice.setting" \(list [.$] "(\w+)" "(\w+)" "?([\w.]+)"?\)')


def test_defaults_that_templates_repeat_are_those_of_the_code() -> None:
    text = "\n".join(file.read_text("utf-8") for file in (CHART / "templates").rglob("*.*"))
    found = {(section, name): default for section, name, default in REPEATED.findall(text)}
    assert len(found) >= 7
    defaults = Settings()
    for (section, name), default in found.items():
        assert str(getattr(getattr(defaults, section), name)).removesuffix(".0") == default, f"{section}.{name}"


def test_replicas_get_as_much_time_as_their_settings_take(helm: Helm) -> None:
    def grace(values: dict[str, Any]) -> int:
        spec = one(helm.render(merged(example("demo"), {"settings": values})), "StatefulSet")["spec"]
        seconds: int = spec["template"]["spec"]["terminationGracePeriodSeconds"]
        return seconds

    defaults = Settings()
    assert grace({}) == defaults.batching.drain_timeout_s + defaults.kafka.transaction_timeout_s + 25
    assert grace({"batching": {"drain_timeout_s": 90.5}}) == 131
    assert grace({"kafka": {"transaction_timeout_s": 60}}) == 105

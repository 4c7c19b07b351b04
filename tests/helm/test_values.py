"""Nonsense is refused before anything is installed, and what the chart repeats of the code is in step with it."""

import json
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from sluice.settings.sources import LEAVES
from tests.helm import generate
from tests.helm.chart import CHART, Helm, Refused, example, merged

ANYWHERE = {"ipBlock": {"cidr": "0.0.0.0/0"}}
NONSENSE: list[tuple[str, dict[str, Any], str]] = [
    ("demo", {"replica": 3}, "'replica' not allowed"),
    ("demo", {"replicas": -1}, "/replicas"),
    ("demo", {"replicas": 7}, "7 replicas share 6 partitions"),
    ("demo", {"image": {"repository": ""}}, "image.repository"),
    ("demo", {"image": {"tag": "latest"}}, "/image/tag"),
    ("demo", {"image": {"digest": "sha256:12"}}, "/image/digest"),
    ("demo", {"settings": {"kafka": {"bootstrap_server": "b:1"}}}, "'bootstrap_server' not allowed"),
    ("demo", {"settings": {"kafka": {"sasl_password": "x"}}}, "'sasl_password' not allowed"),
    ("demo", {"settings": {"kafka": {"transactional_id": "x"}}}, "'transactional_id' not allowed"),
    ("demo", {"settings": {"telemetry": {"http_port": 80}}}, "'http_port' not allowed"),
    ("demo", {"settings": {"poison": {"journal_folder": "/x"}}}, "'journal_folder' not allowed"),
    ("demo", {"settings": {"batching": {"max_flights": 0}}}, "/settings/batching/max_flights"),
    ("demo", {"settings": {"models": {"precision": "float8"}}}, "/settings/models/precision"),
    ("demo", {"settings": {"kafka": {"bootstrap_servers": ""}}}, "settings.kafka.bootstrap_servers"),
    ("demo", {"settings": {"models": {"bundle": ""}}}, "settings.models.bundle"),
    ("demo", {"settings": {"models": {"bundle": "openai"}}}, "modelCache.kind"),
    ("demo", {"settings": {"kafka": {"allow_insecure": False}}}, "PLAINTEXT is clear text"),
    ("demo", {"settings": {"kafka": {"security_protocol": "SASL_SSL"}}}, "secrets.settings"),
    ("demo", {"modelCache": {"kind": "perReplica"}}, "fetches the bundle openai"),
    ("demo", {"modelCache": {"kind": "image"}}, "modelCache.image"),
    ("demo", {"modelCache": {"kind": "claim"}}, "modelCache.claim"),
    ("demo", {"modelCache": {"kind": "hostPath"}}, "/modelCache/kind"),
    ("demo", {"env": {"SLUICE_KAFKA__GROUP_ID": "x"}}, "SLUICE_KAFKA__GROUP_ID"),
    ("demo", {"env": {"AWS_SECRET_ACCESS_KEY": "x"}}, "AWS_SECRET_ACCESS_KEY"),
    ("demo", {"env": {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=x"}}, "OTEL_EXPORTER_OTLP_HEADERS"),
    ("demo", {"podLabels": {"app.kubernetes.io/name": "x"}}, "app.kubernetes.io/name"),
    ("demo", {"resources": {"requests": {"cpu": "500m"}}}, "/resources/requests/cpu"),
    ("demo", {"resources": {"limits": {"memory": None}}}, "memory"),
    ("demo", {"gpu": {"resource": "gpu"}}, "/gpu/resource"),
    ("demo", {"secrets": {"files": ["Not A Name"]}}, "/secrets/files"),
    ("demo", {"podDisruptionBudget": {"maxUnavailable": 0}}, "/podDisruptionBudget/maxUnavailable"),
    ("demo", {"networkPolicy": {"enabled": True}}, "networkPolicy.egress.brokers.to"),
    ("gpu", {"networkPolicy": {"egress": {"hub": {"to": []}}}}, "networkPolicy.egress.hub.to"),
    ("gpu", {"networkPolicy": {"metricsFrom": []}}, "networkPolicy.metricsFrom"),
    ("gpu", {"networkPolicy": {"egress": {"store": {"to": [ANYWHERE]}}}}, "/networkPolicy/egress/store/to/0"),
    ("gpu", {"networkPolicy": {"egress": {"store": {"to": [{}]}}}}, "/networkPolicy/egress/store/to/0"),
    ("gpu", {"networkPolicy": {"egress": {"store": {"ports": []}}}}, "/networkPolicy/egress/store/ports"),
    ("gpu", {"networkPolicy": {"dns": []}}, "/networkPolicy/dns"),
    ("gpu", {"keda": {"enabled": True}}, "keda.authentication"),
    ("mig-keda-strimzi", {"keda": {"minReplicas": 0}}, "/keda/minReplicas"),
    ("mig-keda-strimzi", {"keda": {"maxReplicas": 13}}, "13 replicas share 12 partitions"),
    ("mig-keda-strimzi", {"keda": {"maxReplicas": 8}}, "8 replicas do not share 12 partitions evenly"),
    ("mig-keda-strimzi", {"keda": {"fallbackReplicas": 13}}, "keda.maxReplicas"),
    ("mig-keda-strimzi", {"keda": {"scaleDownSeconds": 10}}, "/keda/scaleDownSeconds"),
    ("mig-keda-strimzi", {"strimzi": {"users": ["monitoring"]}}, "strimzi.users"),
    ("mig-keda-strimzi", {"strimzi": {"users": ["root"]}}, "/strimzi/users"),
]


@pytest.mark.parametrize(("name", "values", "words"), NONSENSE, ids=[json.dumps(row[1])[:60] for row in NONSENSE])
def test_nonsense_is_refused_and_named(helm: Helm, name: str, values: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused) as refused:
        helm.render(merged(example(name), values))
    assert words in str(refused.value)


def test_the_schema_has_the_settings_of_today() -> None:
    stored = (CHART / "values.schema.json").read_text("utf-8")
    assert stored == generate.schema(), "python -m tests.helm.generate"


def test_the_table_has_the_values_of_today() -> None:
    assert (CHART / "README.md").read_text("utf-8") == generate.readme(), "python -m tests.helm.generate"


def test_settings_are_all_there_but_secrets_and_what_the_chart_decides() -> None:
    offered = {(section, name) for section, found in generate.settings()["properties"].items()
               for name in found["properties"]}  # fmt: skip
    secret = {key for key, field in LEAVES.items() if field.annotation is SecretStr}
    assert set(LEAVES) >= generate.OWNED
    assert len(secret) >= 4
    assert offered == set(LEAVES) - secret - generate.OWNED


def leaves(values: dict[str, Any], above: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    found = set()
    for name, value in values.items():
        found |= leaves(value, (*above, name)) if isinstance(value, dict) and value else {(*above, name)}
    return found


def test_every_value_is_explained_and_bounded() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    said = {path for path, _, _ in generate.values()}
    assert [path for path in leaves(values) if not any(path[: len(known)] == known for known in said)] == []
    allowed = json.loads((CHART / "values.schema.json").read_text("utf-8"))["properties"]
    assert set(values) == set(allowed) - {"global"}

"""The compose file, as far as it can be told without running it: valid, pinned, confined, with settings that exist."""

import json
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.kafka.client import consumer_config
from sluice.settings import Settings, sources
from sluice.settings.environment import without_settings
from sluice_sim import arguments

ROOT = Path(__file__).parents[2]
FILE = ROOT / "compose.yaml"
COMPOSE: Mapping[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVICES: Mapping[str, Mapping[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]


def settings(service: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Settings:
    """Return the settings of one of our services, from its environment as Sluice reads it."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("os.environ", without_settings() | SERVICES[service]["environment"])
    return sources.load().settings


def mounts() -> Iterator[str]:
    """Yield every folder of ours that a service reads."""
    for service in SERVICES.values():
        yield from (volume.split(":")[0] for volume in service.get("volumes", ()) if volume.startswith("."))


def test_it_is_a_compose_file() -> None:
    checker = Path(sysconfig.get_path("scripts")) / "check-jsonschema"
    command = [str(checker), "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_everything_but_our_own_image_is_pinned_to_a_release() -> None:
    foreign = [service["image"] for name, service in SERVICES.items() if name not in OURS]
    assert len(foreign) == 5
    assert all(re.fullmatch(r"[a-z/-]+:v?\d+\.\d+\.\d+", image) for image in foreign), foreign
    assert {SERVICES[name]["image"] for name in OURS} == {"sluice:local"}


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_listens_beyond_this_machine(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


@pytest.mark.parametrize("name", OURS)
def test_ours_may_write_nothing_and_do_nothing_special(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "cap_add", "user", "network_mode", "pid"}


@pytest.mark.parametrize("name", ["topics", "sluice"])
def test_what_it_sets_are_settings_that_kafka_clients_take(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = settings(name, monkeypatch, tmp_path)
    assert found.kafka.bootstrap_servers == "kafka:9092"
    assert consumer_config(found.kafka)["bootstrap.servers"] == "kafka:9092"
    assert found.topics.replication_factor == found.topics.min_insync_replicas == 1
    assert all(isinstance(value, str) for value in SERVICES[name]["environment"].values())


def test_it_has_the_time_it_needs_to_leave(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = settings("sluice", monkeypatch, tmp_path)
    grace_s = int(SERVICES["sluice"]["stop_grace_period"].removesuffix("s"))
    assert grace_s > found.batching.drain_timeout_s + found.kafka.transaction_timeout_s


def test_prometheus_asks_the_port_that_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    [job] = yaml.safe_load(COMPOSE["configs"]["prometheus"]["content"])["scrape_configs"]
    [found] = job["dns_sd_configs"]
    assert found["names"] == ["sluice"]
    assert f"SLUICE_TELEMETRY__HTTP_PORT={found['port']}" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert settings("sluice", monkeypatch, tmp_path).telemetry.http_host == "0.0.0.0"  # noqa: S104 -- in its own network


def test_the_simulator_is_called_as_it_wants_to_be() -> None:
    service = SERVICES["simulator"]
    assert service["entrypoint"] == ["tini", "--", "python", "-m", "sluice_sim"]
    given = arguments.parse(service["command"])
    assert arguments.options(given).events is None
    assert given.otlp


def test_every_mounted_folder_is_there() -> None:
    assert len(list(mounts())) == 2
    assert all(any((ROOT / folder).iterdir()) for folder in mounts())


def test_the_first_page_is_one_of_the_dashboards() -> None:
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    [volume] = SERVICES["grafana"]["volumes"]
    here, there, _ = volume.split(":")
    assert json.loads((ROOT / here / home.relative_to(there)).read_text(encoding="utf-8"))["title"]


def test_every_configuration_is_used_and_can_be_read() -> None:
    used = {config["source"] for service in SERVICES.values() for config in service.get("configs", ())}
    assert used == COMPOSE["configs"].keys()
    assert all(yaml.safe_load(config["content"]) for config in COMPOSE["configs"].values())
    assert not any(
        "$" in config["content"] for config in COMPOSE["configs"].values()
    )  # compose would put something there


def test_traces_go_where_grafana_reads_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tempo = yaml.safe_load(COMPOSE["configs"]["tempo"]["content"])
    port = tempo["distributor"]["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rpartition(":")[2]
    telemetry = settings("sluice", monkeypatch, tmp_path).telemetry
    assert telemetry.otlp
    assert not telemetry.otlp_metrics  # Tempo takes none; Prometheus scrapes
    for service in ("sluice", "simulator"):
        assert SERVICES[service]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == f"http://tempo:{port}"
    datasources = yaml.safe_load(COMPOSE["configs"]["datasources"]["content"])["datasources"]
    assert f"http://tempo:{tempo['server']['http_listen_port']}" in {source["url"] for source in datasources}


@pytest.mark.prometheus
def test_prometheus_takes_its_configuration_and_the_rules(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool (Debian package prometheus)")
    [service] = [service for service in SERVICES.values() if service["image"].startswith("prom/")]
    [volume] = service["volumes"]
    here, there, _ = volume.split(":")
    config = tmp_path / "prometheus.yml"
    config.write_text(COMPOSE["configs"]["prometheus"]["content"].replace(there, str(ROOT / here)), encoding="utf-8")
    done = subprocess.run([promtool, "check", "config", config], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 rule files found" in done.stdout

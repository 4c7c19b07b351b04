"""Settings from outside: which source wins, and how each mistake is named."""

import os
from pathlib import Path

import pytest

from sluice.core.errors import BadSettings
from sluice.settings import sources

SECRET = "hunter2"  # noqa: S105 -- it must not appear anywhere


@pytest.fixture(autouse=True)
def _nothing_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("SLUICE_"):
            monkeypatch.delenv(name)


def refusal(config: Path | None = None) -> list[str]:
    with pytest.raises(BadSettings) as caught:
        sources.load(config)
    return str(caught.value).splitlines()


def written(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_the_order_of_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment over .env over secrets over file over default, setting by setting."""
    file = written("s.yaml", "kafka: {group_id: f, transactional_id: f, sasl_username: f, bootstrap_servers: 'f:1'}")
    written("secrets/kafka__group_id", "s\n")
    written("secrets/kafka__transactional_id", "s\n")
    written("secrets/kafka__sasl_username", "s\n")
    written(".env", "SLUICE_KAFKA__GROUP_ID=d\nSLUICE_KAFKA__TRANSACTIONAL_ID=d\nOTHER=1\n")
    monkeypatch.setenv("SLUICE_SECRETS_DIR", "secrets")
    monkeypatch.setenv("SLUICE_KAFKA__GROUP_ID", "e")
    loaded = sources.load(file)
    kafka = loaded.settings.kafka
    found = (kafka.group_id, kafka.transactional_id, kafka.sasl_username, kafka.bootstrap_servers)
    assert found == ("e", "d", "s", "f:1")
    assert kafka.session_timeout_s == 10
    places = {name: place for name, _, place in loaded.rows()}
    assert places["kafka.group_id"] == "SLUICE_KAFKA__GROUP_ID in the environment"
    assert places["kafka.transactional_id"] == "SLUICE_KAFKA__TRANSACTIONAL_ID in .env"
    assert places["kafka.sasl_username"] == "secrets/kafka__sasl_username"
    assert places["kafka.bootstrap_servers"] == "s.yaml:1"
    assert places["kafka.session_timeout_s"] == "default"


def test_the_file_may_be_named_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_CONFIG", str(written("s.yaml", "fuse: {window: 500}\ntopics:\n")))
    assert sources.load().settings.fuse.window == 500
    assert sources.load(written("other.yaml", "")).settings.fuse.window == 1000


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_POLICY__FILE", "")
    assert sources.load().settings.policy.file is None


def test_a_mounted_secret_of_kubernetes_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets are mounted as links into a hidden folder that is swapped when they change."""
    Path("secrets").mkdir()
    written("secrets/..2026_01/registry__password", SECRET + "\n")
    written("secrets/.keep", "")
    Path("secrets/..data").symlink_to("..2026_01")
    Path("secrets/registry__password").symlink_to("..data/registry__password")
    monkeypatch.setenv("SLUICE_SECRETS_DIR", "secrets")
    loaded = sources.load()
    assert loaded.settings.registry.password.get_secret_value() == SECRET
    assert SECRET not in str(list(loaded.rows()))


@pytest.mark.parametrize(
    "name",
    [
        "SLUICE_SERVICE_HOST",
        "SLUICE_PORT",
        "SLUICE_PORT_80_TCP_ADDR",
        "SLUICE_WEB_SERVICE_PORT",
        "SLUICE_TEST_REGISTRY",
    ],
)
def test_variables_that_others_set_are_not_ours(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "tcp://10.0.0.1:80")
    sources.load()


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("SLUICE_KAFKA_BOOTSTRAP_SERVERS", "did you mean SLUICE_KAFKA__BOOTSTRAP_SERVERS?"),
        ("SLUICE_KAFKA__BOOTSTRAP_SERVER", "did you mean SLUICE_KAFKA__BOOTSTRAP_SERVERS?"),
        ("SLUICE_QQQ", "`sluice config show` lists all"),
    ],
)
def test_a_variable_that_is_no_setting_is_refused(name: str, advice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, SECRET)
    assert refusal() == [f"{name}: no such setting; {advice} (from the environment)"]


def test_every_other_source_refuses_unknown_names_too(monkeypatch: pytest.MonkeyPatch) -> None:
    written(".env", "SLUICE_FUSE__WIDTH=3\n")
    written("secrets/registry__pasword", SECRET)
    monkeypatch.setenv("SLUICE_SECRETS_DIR", "secrets")
    file = written("s.yaml", "fuse:\n  windw: 3\nbatchin: {max_bytes: 4}\nkafka: 5\n")
    assert refusal(file) == [
        "SLUICE_FUSE__WIDTH: no such setting; did you mean SLUICE_FUSE__WINDOW? (from .env)",
        "registry__pasword: no such setting; did you mean registry__password? (from secrets)",
        "fuse.windw: no such setting; did you mean window? (from s.yaml:2)",
        "batchin: no such setting; did you mean batching? (from s.yaml:3)",
        "kafka: must be a mapping of keys to values (from s.yaml:4)",
    ]


def test_a_bad_value_is_named_with_what_is_allowed_and_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_MODELS__PRECISION", "int8")
    monkeypatch.setenv("SLUICE_FETCH__ALLOWED_PORTS", "80,http")
    file = written("s.yaml", "\nmodels:\n  guard_band: -1\n")
    assert set(refusal(file)) == {
        "models.guard_band = -1: must be greater than or equal to 0 (from s.yaml:3)",
        (
            "models.precision = 'int8': must be 'float32', 'float16' or 'bfloat16'"
            " (from SLUICE_MODELS__PRECISION in the environment)"
        ),
        (
            "fetch.allowed_ports[1] = 'http': must be a valid integer, unable to parse string as an integer"
            " (from SLUICE_FETCH__ALLOWED_PORTS in the environment)"
        ),
    }


def test_settings_that_exclude_each_other_name_all_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_POLICY__FILE", "p.yaml")
    assert refusal(written("s.yaml", "policy: {preset: balanced}")) == [
        "policy: set either file or preset, not both (from SLUICE_POLICY__FILE in the environment, s.yaml:1)"
    ]


def test_a_secret_is_never_shown() -> None:
    file = written("s.yaml", f"kafka:\n  sasl_password: 12345\n  consumer_options: {SECRET}\n")
    assert refusal(file) == [
        "kafka.sasl_password = **********: must be a valid string (from s.yaml:2)",
        "kafka.consumer_options = **********: must be JSON (from s.yaml:3)",
    ]
    loaded = sources.load(written("t.yaml", f"kafka: {{consumer_options: {{sasl.client.secret: {SECRET}}}}}"))
    assert SECRET not in str(list(loaded.rows()))


@pytest.mark.parametrize(
    "text", ["kafka: {}", "kafka:\n  sasl_password={}", "kafka:\n  sasl_password {}: x", "kafka: [{}]"]
)
def test_a_secret_written_where_no_value_belongs_is_not_shown(text: str) -> None:
    assert SECRET not in "\n".join(refusal(written("s.yaml", text.format(SECRET))))


@pytest.mark.parametrize(
    "setting", ["registry: {url", "kafka: {bootstrap_servers", "kafka: {sasl_token_url", "fetch: {s3_endpoint"]
)
@pytest.mark.parametrize("password", [SECRET, f"a/{SECRET}", f"@{SECRET}", f"{SECRET}:@"])
@pytest.mark.parametrize("scheme", ["https://", ""])
def test_credentials_in_an_address_are_refused_and_not_shown(setting: str, password: str, scheme: str) -> None:
    (said,) = refusal(written("s.yaml", f"{setting}: '{scheme}me:{password}@example.com/x'}}"))
    assert f"= '{scheme}**********@example.com/x': must hold no credentials" in said
    assert SECRET not in said


def test_credentials_in_any_other_setting_are_masked() -> None:
    loaded = sources.load(written("t.yaml", f"models: {{bundle: 'https://me:{SECRET}@example.com'}}"))
    assert SECRET not in str(list(loaded.rows()))


def test_a_file_or_folder_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(Path("absent.yaml")) == [
        "absent.yaml: the settings file cannot be read: No such file or directory",
    ]
    monkeypatch.setenv("SLUICE_SECRETS_DIR", "absent")
    assert refusal() == ["SLUICE_SECRETS_DIR = 'absent': must be a folder"]

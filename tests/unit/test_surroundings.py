"""What stands around a process: files of settings that cannot be read, no place to write, no streams, no docstrings."""
# ruff: noqa: E501 - tables of inputs are read better wide

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from sluice.core.errors import BadSettings
from sluice.settings import Settings, Telemetry, sources, surroundings

ROOT = os.geteuid() == 0


@pytest.fixture(autouse=True)
def _nothing_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("SLUICE_"):
            monkeypatch.delenv(name)


def refusal() -> str:
    with pytest.raises(BadSettings) as caught:
        sources.load()
    return str(caught.value)


def spoil(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


UNREADABLE: dict[str, Callable[[Path], object]] = {
    "no UTF-8": spoil(b"\xff\xfe"),
    "latin-1": spoil("SLUICE_KAFKA__GROUP_ID=gr\xfcn\n".encode("latin-1")),
    "UTF-16": spoil("SLUICE_KAFKA__GROUP_ID=x\n".encode("utf-16")),
    "binary": spoil(bytes(range(256))),
    "huge": sparse,
    "pipe": os.mkfifo,
    "loop": lambda path: path.symlink_to(path),
    "link to nowhere": lambda path: path.symlink_to("nowhere"),
    "device": lambda path: path.symlink_to("/dev/zero"),
}
FILES = pytest.mark.parametrize("spoilt", UNREADABLE.values(), ids=UNREADABLE)


@FILES
def test_an_unreadable_dotenv_is_named(spoilt: Callable[[Path], object]) -> None:
    spoilt(Path(".env"))
    assert refusal().startswith(".env: the settings file cannot be read: ")


def test_zero_bytes_in_a_dotenv_are_named() -> None:
    Path(".env").write_text("SLUICE_KAFKA__GROUP_ID=a\0b\n")
    assert refusal() == ".env: the settings file cannot be read: it holds zero bytes"


def test_a_folder_named_like_the_dotenv_is_none() -> None:
    Path(".env").mkdir()
    sources.load()


@FILES
def test_an_unreadable_settings_file_is_named(
    spoilt: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt(Path("s.yaml"))
    monkeypatch.setenv("SLUICE_CONFIG", "s.yaml")
    assert refusal().startswith("s.yaml")


@FILES
def test_an_unreadable_secret_is_named(spoilt: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secrets").mkdir()
    spoilt(Path("secrets/kafka__sasl_password"))
    monkeypatch.setenv("SLUICE_SECRETS_DIR", "secrets")
    assert "secrets/kafka__sasl_password" in refusal() or "kafka.sasl_password" in refusal()


@pytest.mark.parametrize("name", ["SLUICE_CONFIG", "SLUICE_SECRETS_DIR"])
@pytest.mark.parametrize(
    "path", ["absent", "x" * 300, "x/" * 3000, "/dev/null", "/dev/null/x", "/proc/self/mem", "\udcff"]
)
def test_a_path_to_settings_that_leads_nowhere_is_named(name: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, path)
    assert len(refusal().splitlines()) == 1


@pytest.mark.skipif(ROOT, reason="root reads everything")
def test_a_folder_of_secrets_that_may_not_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secrets").mkdir(mode=0)
    monkeypatch.setenv("SLUICE_SECRETS_DIR", "secrets")
    assert refusal().startswith("SLUICE_SECRETS_DIR = 'secrets'")


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x]\nb: [*a, *a]", "&a [*a]", "!!python/object/apply:os.system [ls]", "[" * 100_000, "{a: " * 5000, "- " * 5000 + "x",
        "a: 1\na: 2", "? [x]\n: y", "--- a\n--- b", "\t", "%YAML 9.9\n---\n", "@", "`", "x", "1", "- x", "null", "true", "''",
        "kafka: [1]", "kafka: x", "kafka:\n  - group_id", "? {a: b}\n: c", "\ufeffkafka: {}", "kafka: {group_id: \x07}", "%TAG",
        "a: !!binary x", "a: *b", "kafka: {1: 2}", "1.5: {x: y}", "'': {'': ''}", "kafka: {null: 1}", "kafka: {group_id: {a: b}}",
    ],
    ids=lambda text: ascii(text[:30]),
)  # fmt: skip
def test_a_strange_settings_file_is_refused_or_says_nothing(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("s.yaml").write_text(text)
    monkeypatch.setenv("SLUICE_CONFIG", "s.yaml")
    with suppress(BadSettings):
        assert sources.load().settings == Settings()


@pytest.mark.parametrize("setting", ["heartbeat_file", "ready_file"])
@pytest.mark.parametrize("place", ["absent/file", "/proc/file", "/dev/null/file", ".", "x" * 300])
def test_a_file_that_cannot_be_written_is_named_with_its_value(setting: str, place: str) -> None:
    if place == "x" * 300:
        place = f"{place}/file"
    settings = Settings(telemetry=Telemetry.model_validate({setting: place}))
    with pytest.raises(BadSettings) as refused:
        surroundings.check(settings)
    assert f"telemetry.{setting} = '{place}'" in str(refused.value)


@pytest.mark.parametrize("folder", ["absent", "/proc", "/dev/null", "/dev/full", "x" * 300])
def test_a_temporary_folder_that_cannot_be_written_is_named(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", folder)
    with pytest.raises(BadSettings, match="TMPDIR = "):
        surroundings.check(Settings())


def test_no_temporary_folder_at_all_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/absent"])
    with pytest.raises(BadSettings, match="TMPDIR is not set"):
        surroundings.check(Settings())


def test_good_surroundings_are_no_news_and_leave_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    surroundings.check(Settings(telemetry=Telemetry(ready_file=tmp_path / "ready")))
    assert list(tmp_path.iterdir()) == []


def sluice(*arguments: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    command = f'"{sys.executable}" -m sluice {" ".join(arguments)} {shell}'
    given = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, env=given)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"PYTHONOPTIMIZE": "2"}, "PYTHONOPTIMIZE = 2"),
        ({"TMPDIR": "/absent"}, "TMPDIR = '/absent'"),
        ({"SLUICE_TELEMETRY__READY_FILE": "/absent/ready"}, "telemetry.ready_file = '/absent/ready'"),
    ],
)
def test_a_consumer_does_not_start_in_bad_surroundings(environment: dict[str, str], named: str) -> None:
    found = sluice("run", **environment)
    assert (found.returncode, found.stdout) == (78, "")
    assert f"error: {named}" in found.stderr


@pytest.mark.parametrize("arguments", ["moderate x.png", "demo"])
def test_what_loads_models_looks_around_first(arguments: str) -> None:
    found = sluice(arguments, PYTHONOPTIMIZE="2")
    assert (found.returncode, found.stdout) == (78, "")
    assert "PYTHONOPTIMIZE" in found.stderr


@pytest.mark.parametrize("shell", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("arguments", "code"), [("config show", 0), ("--version", 0), ("config shw", 2)])
def test_closed_streams_change_no_exit_code(arguments: str, code: int, shell: str) -> None:
    assert sluice(arguments, shell=shell).returncode == code


@pytest.mark.parametrize("language", ["xx_YY.nonsense", "C", "POSIX", ""])
def test_any_locale_will_do(language: str) -> None:
    assert sluice("config show --json", LANG=language, LC_ALL=language).returncode == 0


@pytest.mark.parametrize("optimize", ["0", "1"])
def test_without_asserts_all_goes_on(optimize: str) -> None:
    assert sluice("config show", PYTHONOPTIMIZE=optimize).returncode == 0

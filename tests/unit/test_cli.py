"""The frame of the command line: help, errors, exit codes, and what goes to which stream."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sluice import policies
from sluice.cli import app
from sluice.cli.frame import EXIT_CODES, NEXT, exit_code, print_error
from sluice.core import errors
from sluice.core.errors import BadPolicy, BadSettings, DependencyDown, Fatal, SluiceError, Unreadable

HEAVY = ("torch", "transformers", "confluent_kafka", "PIL", "httpx", "opentelemetry.sdk", "huggingface_hub")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sluice", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"COLUMNS": "120", **environment})


def test_help_lists_the_commands_and_every_exit_code() -> None:
    result = run("--help")
    assert result.returncode == 0
    assert "config" in result.stdout
    said = " ".join(result.stdout.split())
    assert all(f"{code} {what}" in said for code, what in EXIT_CODES.items())


def test_the_version_is_the_distributions() -> None:
    assert run("--version").stdout == f"sluice {version('sluice')}\n"


def test_the_command_line_loads_nothing_heavy_to_start() -> None:
    script = f"import sys; from sluice import __main__; print([name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_wrong_settings_are_one_line_and_the_next_command_on_stderr() -> None:
    result = run("config", "show", SLUICE_FUSE__WINDOW="many")
    assert (result.returncode, result.stdout) == (78, "")
    assert result.stderr == (
        "error: fuse.window = 'many': must be a valid integer, unable to parse string as an integer"
        " (from SLUICE_FUSE__WINDOW in the environment)\n"
        "next:  sluice config docs\n"
    )


def test_a_traceback_is_shown_on_request() -> None:
    assert "Traceback" in run("--debug", "config", "show", SLUICE_FUSE__WINDOW="many").stderr


def test_a_command_line_that_is_not_understood_exits_with_2() -> None:
    assert run("config", "shwo").returncode == 2


def test_every_fatal_error_has_its_own_documented_exit_code() -> None:
    codes = [kind.exit_code for kind in Fatal.__subclasses__()]
    assert len(set(codes)) == len(codes)
    assert set(codes) <= set(EXIT_CODES)


@pytest.mark.parametrize(
    ("error", "code"),
    [(BadSettings("x"), 78), (DependencyDown("store"), 75), (Unreadable("too_big"), 65), (SluiceError("x"), 70)],
)
def test_an_error_becomes_its_exit_code(error: SluiceError, code: int) -> None:
    assert exit_code(error) == code


def test_an_error_that_names_a_command_gets_no_second_one(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(errors.WeightsNotAttested("w.safetensors is missing", remedy="run `sluice models fetch`"))
    assert capsys.readouterr().err == "error: w.safetensors is missing; run `sluice models fetch`\n"


def test_an_unexpected_error_says_its_type_and_nothing_of_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_error(ValueError("a prompt")) == 70
    captured = capsys.readouterr()
    assert "ValueError" in captured.err
    assert "a prompt" not in captured.err + captured.out


def test_a_wrong_policy_is_followed_by_what_policies_may_say(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadPolicy) as caught:
        policies.parse("id: x\nversion: 1\nreferense: BLOCK\n", "p.yaml")
    assert print_error(caught.value) == 78
    assert (
        capsys.readouterr().err.splitlines()[1] == "next:  sluice policy show balanced (docs/policy.md: all it may say)"
    )


def test_every_advised_command_exists() -> None:
    for advice in NEXT.values():
        words = advice.partition(" (")[0].split()[1:]
        assert CliRunner().invoke(app, [*words, "--help"]).exit_code == 0


@pytest.mark.parametrize("kind", list(NEXT))
def test_the_command_that_is_advised_does_not_end_with_the_same_advice(kind: type[SluiceError], tmp_path: Path) -> None:
    advice = NEXT[kind].partition(" (")[0]
    if advice in {"sluice doctor", "sluice dlq list"}:
        pytest.skip("asks a broker; doctor makes rows of all errors, and an absent broker advises doctor")
    found = run(*advice.split()[1:], HF_HOME=str(tmp_path), HOME=str(tmp_path))
    assert "next:" not in found.stderr
    assert found.returncode == 0


def test_json_goes_to_stdout_alone() -> None:
    result = run("config", "show", "--json", SLUICE_FUSE__WINDOW="70")
    assert json.loads(result.stdout)["fuse.window"] == {
        "value": 70,
        "from": "SLUICE_FUSE__WINDOW in the environment",
    }
    assert result.stderr == ""


@pytest.mark.parametrize(("command", "option"), [("demo", "--json"), ("moderate a.png", "--report")])
def test_a_file_that_cannot_be_written_is_refused_before_the_work(command: str, option: str, tmp_path: Path) -> None:
    for file in (tmp_path / "absent" / "out", tmp_path):
        found = run(*command.split(), option, str(file))
        assert found.returncode == 2
        assert option in found.stderr
        assert found.stdout == ""

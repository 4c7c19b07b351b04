"""The command line becomes the options it says."""

import pytest

from sluice_sim import arguments as given
from sluice_sim.options import Options, Regression, Shares

SEND = ["send", "--bootstrap-servers", "localhost:9092"]


def test_defaults_are_those_of_the_options() -> None:
    assert given.options(given.parse(SEND)) == Options(events=2000)


def test_every_share_has_an_argument() -> None:
    arguments = given.parse([*SEND, *(f"--{name.replace('_', '-')}=0.25" for name in Shares.__dataclass_fields__)])
    assert given.options(arguments).shares == Shares(**dict.fromkeys(Shares.__dataclass_fields__, 0.25))


def test_zero_events_are_no_end() -> None:
    assert given.options(given.parse([*SEND, "--events", "0"])).events is None


def test_a_regression_in_seconds_becomes_an_event_number() -> None:
    arguments = given.parse([*SEND, "--rate=20", "--regression-at-s=3", "--regression-of=lumen-xl@2.0"])
    assert given.options(arguments).regression == Regression(60, "lumen-xl", "2.0")


def test_client_options_and_topics_are_passed_on() -> None:
    arguments = given.parse([*SEND, "-X", "security.protocol=SSL", "-X", "a=b=c", "--images-topic", "mine"])
    assert given.broker(arguments).options == {"security.protocol": "SSL", "a": "b=c"}
    assert given.topics(arguments).images == "mine"


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        (["--hostile=2"], "hostile"),
        (["--regression-at-s=3"], "--regression-at-s"),
        (["--regression-of=aurora"], "--regression-of"),
        (["-X", "nonsense"], "-X"),
    ],
)
def test_a_mistake_is_named_and_leaves_with_2(wrong: list[str], names: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        given.parse([*SEND, *wrong])
    assert left.value.code == 2
    assert names in capsys.readouterr().err

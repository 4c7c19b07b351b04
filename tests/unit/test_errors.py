"""Errors carry what a command needs as fields: the settings by their names, and what to do."""

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

import sluice
from sluice.core.errors import BadSettings, DependencyDown, SluiceError, Unreadable
from sluice.kafka.errors import TABLE, Meaning, denies_topic, known, means
from sluice.settings import Settings
from sluice.settings.sources import LEAVES, variable_of

ROOT = Path(sluice.__file__).parent
NAMES = {".".join(map(str, key)) for key in LEAVES}
SECTIONS = "|".join(Settings.model_fields)
NAMED = re.compile(rf"(?<![\w./])(?:{SECTIONS})\.[a-z][a-z0-9_]*(?![\w(.])")


OTHERS = {"topics.sh", "self_test.json", "policy.id", "policy.version", "policy.digest"}
"""A tool of Kafka, a file, and fields of a verdict."""


def texts() -> Iterator[tuple[str, str]]:
    """Yield every text of the code with its place; parts of an f-string are texts, too."""
    for file in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{file.relative_to(ROOT)}:{node.lineno}", node.value


def test_every_setting_that_a_text_names_exists() -> None:
    named = [(place, name) for place, text in texts() for name in NAMED.findall(text)]
    assert len(named) > 100
    assert [each for each in named if each[1] not in NAMES | OTHERS] == []


def test_every_variable_that_a_text_names_exists() -> None:
    variables = {variable_of(name) for name in NAMES}
    named = [(place, name) for place, text in texts() for name in re.findall(r"\bSLUICE_[A-Z0-9]+__[A-Z0-9_]+\b", text)]
    assert named
    assert [each for each in named if each[1] not in variables] == []


def test_a_setting_that_does_not_exist_has_no_variable() -> None:
    assert variable_of("kafka.group_id") == "SLUICE_KAFKA__GROUP_ID"
    with pytest.raises(KeyError):
        variable_of("kafka.group")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (SluiceError("it is wrong"), "it is wrong"),
        (BadSettings("a.b is 3", setting="kafka.group_id", remedy="lower it"), "a.b is 3; lower it"),
        (DependencyDown("store", "busy"), "store is not available: busy"),
        (Unreadable("corrupt", "no header"), "decode_image: corrupt (no header)"),
    ],
)
def test_a_person_reads_all_of_it_as_one_text(error: SluiceError, text: str) -> None:
    assert str(error) == text


def test_the_fields_of_an_error_survive_its_way_to_another_process() -> None:
    error = BadSettings("a.b is 3", setting=("kafka.group_id", "kafka.client_id"), remedy="lower it")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  our own
    assert (again.message, again.settings, again.remedy) == (error.message, error.settings, error.remedy)
    assert str(again) == str(error)


@pytest.mark.parametrize("code", list(TABLE))
def test_a_code_of_the_table_has_one_meaning_and_names_real_settings(code: int) -> None:
    error, found = KafkaError(code), TABLE[code]
    assert known(error) == found
    assert [each for each in Meaning if means(error, each)] == [found.meaning]
    assert not found.setting or found.setting in NAMES
    assert "_UNKNOWN" not in error.name() or found.meaning is Meaning.NO_TOPIC


def test_a_reader_without_a_group_does_not_mind_that_it_may_not_use_one() -> None:
    assert denies_topic(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    assert not denies_topic(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))


def test_a_code_that_is_not_in_the_table_means_nothing() -> None:
    error = KafkaError(KafkaError.UNSUPPORTED_SASL_MECHANISM)
    assert known(error) is None
    assert not means(error, *Meaning)


def test_no_module_reads_the_text_of_an_error_of_ours() -> None:
    """What a command does about an error depends on its class and fields; errors of others have a text only."""
    reading = re.compile(r"(?<!line )in str\(error\)|re\.\w+\(.*str\(error\)|str\(error\)\.(r?partition|startswith)")
    found = {
        str(file.relative_to(ROOT))
        for file in ROOT.rglob("*.py")
        if any(reading.search(line) for line in file.read_text("utf-8").splitlines())
    }
    assert found == {"models/forward.py", "media/decoding/decode.py", "top/scrape.py"}  # of torch, Pillow and httpcore

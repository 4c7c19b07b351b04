"""Every setting with every value that nobody can mean: usable, or refused by name; never another error."""
# ruff: noqa: E501, RUF001 - tables of inputs are read better wide, and characters that look like others are among them

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_origin

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from sluice.core import yaml_documents
from sluice.core.errors import BadSettings
from sluice.core.yaml_documents import dotted
from sluice.kafka.client import consumer_config, open_consumer, open_producer, producer_config
from sluice.media.fetching.fetcher import Fetcher
from sluice.settings import Batching, Fetch, Kafka, Media, Settings, Topics, sources
from sluice.settings.sources import LEAVES, Key, variable

HUGE = "x" * 10_000_000
TEXTS = [
    "inf", "-inf", "nan", "NaN", "Infinity", "1e400", "-1e400", "1e308", "1e20", "1e3", "-1", "-0", "0", "00", "0x10", "1_0",
    "1e-9", "1e-400", "999999999999999999999999", "9" * 5000, " ", "  ", "\t", "\n", " x", "x ", "x\n", "x y", "x\ry", "\x7f",
    "\x1b[31m", "\u202f", "\xa0x", "x\u2003", "\ufeffx", "٣", "１２", "Ⅳ", "½", "true", "yes", "null", "~", "None", "[]", "{}",
    "[1]", '["a"]', "[[]]", '{"a": 1}', "[" * 100_000, "{" * 100_000, '{"a":' * 50_000, "a,b", ",", ",,", "a,,b", "-", "--",
    "/", "//", ".", "..", "../..", "~", "~/x", "/dev/null", "/proc/self/mem", "http://", "https://x:0/", "https://x:99999",
    "https://exa mple/", "ftp://x/", "file:///etc/passwd", "*", "*.x", ".", "..x", "x..y", ".x.", "a:b", "a:1:2", ":", ":9092",
    "a:0", "a:65536", "a:-1", "[::1]", "[::1]:9092", "::1", "[", "]", "%", "%s", "${x}", "$(x)", "'", '"', "\\", "\\x00", "#",
    "x" * 256, "x" * 5000, HUGE, "ü", "例え", "\U0001f469\u200d\U0001f4bb", "x\u200b", "\u202ex", "\ue000", "a@b", "//a:b@c",
]  # fmt: skip
VALUES: list[Any] = [
    *TEXTS, "", "\0", "x\0y", "\udcff", "\ud800", None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 10**20, 10**400, -(10**400),
    0.0, -0.0, 1.5, 1e-9, 1e-300, 1e20, 1e300, math.inf, -math.inf, math.nan, [], {}, [[]], [None], [True], [1], [-1], [1e400],
    [""], [" "], ["x "], ["\0"], [HUGE], ["a"] * 10_000, {"a": 1}, {"": ""}, {"a b": 1}, {"a": math.nan}, {"a": math.inf},
    {"a": None}, {"a": []}, {"a": "\0"}, {1: 2}, {HUGE: 1}, {"a": HUGE}, b"x", b"\xff", object(), SecretStr("x"),
]  # fmt: skip
NAMES = [dotted(key) for key in LEAVES]
KEYS = pytest.mark.parametrize("key", LEAVES, ids=NAMES)
TURNS = 4
"""Each setting is tried with a quarter of the table: those of one kind stand beside each other, and share it."""


@pytest.fixture(autouse=True)
def _nothing_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("SLUICE_"):
            monkeypatch.delenv(name)


def nested(key: Key, value: Any) -> dict[str, Any]:
    for part in reversed(key):
        value = {str(part): value}
    found: dict[str, Any] = value
    return found


def turn_of(key: Key, table: list[Any]) -> list[Any]:
    return table[list(LEAVES).index(key) % TURNS :: TURNS]


def loaded() -> Settings | str:
    try:
        return sources.load().settings
    except BadSettings as error:
        return str(error)


def numbers(tree: Any) -> Iterator[float]:
    if isinstance(tree, BaseModel):
        tree = dict(tree)
    if isinstance(tree, dict | list | tuple):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from numbers(part)
    elif isinstance(tree, int | float):
        yield tree


def usable(settings: Settings) -> None:
    """Hold accepted settings to what any user of theirs needs: finite numbers that the system's clocks hold, plain text."""
    for number in numbers(settings):
        assert math.isfinite(number)
        assert abs(number) <= 2**40
    text = json.dumps(settings.model_dump(mode="json"), ensure_ascii=False)
    assert not any(character in text for character in ("\\u0000", "\0", "\x1b", "\udcff", "\ud800"))


@KEYS
def test_every_variable_with_every_nasty_text_is_used_or_refused_by_name(
    key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in turn_of(key, TEXTS):
        monkeypatch.setenv(variable(key), text[:100_000])  # the system takes no longer ones
        found = loaded()
        if isinstance(found, Settings):
            usable(found)
            continue
        names = {dotted(key), f"{key[0]}: ", variable(key)} | set(map(str, key))
        assert any(name in found for name in names), found
        assert len(found) < 2000
        assert found.isprintable() or "\n" in found


@KEYS
def test_every_setting_with_every_nasty_value_is_used_or_refused(key: Key) -> None:
    for value in turn_of(key, VALUES):
        try:
            settings = Settings.model_validate(nested(key, value))
        except ValidationError as error:
            said = [str(problem) for problem in yaml_documents.problems(error, Settings)]
            assert all(str(key[0]) in line for line in said), said
            continue
        usable(settings)


@KEYS
@pytest.mark.parametrize(
    "text", ["inf", "-1", "1e400", '"\\0"', "[", "x " * 9, "true", "1e20", "{a: {b: c}}", "- a", "''"]
)
def test_a_yaml_file_with_nasty_values_is_used_or_refused_by_name(
    key: Key, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(f"{key[0]}:\n  {'.'.join(map(str, key[1:]))}: {text}\n")
    monkeypatch.setenv("SLUICE_CONFIG", str(file))
    found = loaded()
    assert isinstance(found, Settings) or str(key[0]) in found or "s.yaml" in found


FINITE = [key for key in LEAVES if LEAVES[key].annotation in (int, float, int | None)]


@pytest.mark.parametrize("key", FINITE, ids=map(dotted, FINITE))
@pytest.mark.parametrize(
    "value", ["inf", "nan", "1e400", "-1", "1e20", "-inf", "1e300", math.inf, math.nan, 10**20, True]
)
def test_no_number_is_infinite_or_beyond_use(key: Key, value: Any) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(nested(key, value))


@pytest.mark.parametrize("key", FINITE, ids=map(dotted, FINITE))
def test_every_number_has_both_bounds_in_its_schema(key: Key) -> None:
    """They stand in the reference of the settings, and the chart refuses the rest."""
    schema: Any = Settings.model_json_schema()
    definitions = schema["$defs"]
    for part in key:
        schema = schema["properties"][part]
        schema = definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    bounded = next(option for option in schema.get("anyOf", [schema]) if option.get("type") != "null")
    assert bounded.keys() & {"minimum", "exclusiveMinimum"}
    assert "maximum" in bounded


SPACED = [key for key in LEAVES if LEAVES[key].annotation is str]


@pytest.mark.parametrize("key", SPACED, ids=map(dotted, SPACED))
@pytest.mark.parametrize("text", [" x", "x ", "x\t", "\u2003x", "x\xa0", "x\n", "x\0y"])
def test_no_text_begins_or_ends_with_a_space_or_holds_a_control(key: Key, text: str) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(nested(key, text))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a b", "a/b", "ü", "a" * 250, "a:b", "a*", "a,b", "a\n", "a\\b", "images.generated.v1 "]
)
@pytest.mark.parametrize("topic", ["images", "verdicts", "quality", "dead_letters", "feedback", "control"])
def test_a_topic_that_kafka_has_no_name_for_is_refused(topic: str, name: str) -> None:
    with pytest.raises(ValidationError, match=topic):
        Topics(**{topic: name})


@pytest.mark.parametrize("name", ["images.generated.v1", "images_generated.v1", "images.generated_v1"])
@pytest.mark.parametrize("topic", ["verdicts", "quality", "dead_letters", "feedback", "control"])
def test_two_topics_with_one_name_are_refused(topic: str, name: str) -> None:
    with pytest.raises(ValidationError, match=f"images and {topic}"):
        Topics(**{topic: name})


@pytest.mark.parametrize(
    "host",
    [
        "", " ", "https://img.example.com", "img.example.com/", "img.example.com/a", "img.example.com:443", "*.example.com",
        "*", ".", "..", ".*", "a..b", "-a", "a-", "img.example.com.", "a b", "user@img.example.com", "ïmg.example.com", "[::1",
        "127.1", "0x7f000001", "2130706433", "256.1.1.1", "::1", ".[::1]", "[::1]:80", "[x]", ".1.2.3.4", "a\n", "a#b", "a?b",
        "img.example.com ", "x" * 64, ".".join(["x" * 60] * 5),
    ],
)  # fmt: skip
def test_an_allowed_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(ValidationError, match="allowed_hosts"):
        Fetch(allowed_hosts=(host,))


@pytest.mark.parametrize(
    ("host", "kept"),
    [
        ("img.example.com", "img.example.com"), ("IMG.Example.com", "img.example.com"), (".cdn.example.com",) * 2,
        (".Test", ".test"), ("8.8.8.8",) * 2, ("[2606:4700:0::1111]", "[2606:4700::1111]"), ("a_b.example",) * 2, ("localhost",) * 2,
        ("xn--mg-mka.example.com",) * 2,
    ],
)  # fmt: skip
def test_an_allowed_host_is_kept_as_references_are_compared_with_it(host: str, kept: str) -> None:
    assert Fetch(allowed_hosts=(host,)).allowed_hosts == (kept,)


@pytest.mark.parametrize(
    "bucket", ["", "ab", "A" * 5, "a_b", "-ab", "ab-", "a/b", "s3://ab", "a b", "arn:aws:s3:::a", "x" * 64]
)
def test_a_bucket_that_is_none_is_refused(bucket: str) -> None:
    with pytest.raises(ValidationError, match="s3_buckets"):
        Fetch(s3_buckets=(bucket,))


@pytest.mark.parametrize(
    "servers",
    [
        "localhost", "localhost:", ":9092", "localhost:0", "localhost:65536", "localhost:-1", "localhost:9092,", ",localhost:9092",
        "localhost:9092 localhost:9093", "localhost:9092;localhost:9093", "::1:9092", "[::1]", "a b:1", "a:b", "http://a:1/",
        "a:1/x", " a:1", "a:1 ", "256.1.1.1:9092", "a:٣", "a:1,,b:1",
    ],
)  # fmt: skip
def test_brokers_that_are_no_host_and_port_are_refused(servers: str) -> None:
    with pytest.raises(ValidationError, match="bootstrap_servers"):
        Kafka(bootstrap_servers=servers)


@pytest.mark.parametrize(
    "servers", ["", "a:1", "a:1,b:2", "a:1, b:2", "[::1]:9092", "127.0.0.1:1", "kafka_1:9092", "K.example.:1"]
)
def test_brokers_that_are_host_and_port_are_taken(servers: str) -> None:
    assert Kafka(bootstrap_servers=servers).bootstrap_servers == servers.replace(" ", "")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fuse": {"window": 10, "max_run": 11}}, "max_run = 11 must not exceed window = 10"),
        ({"kafka": {"session_timeout_s": 61}}, "max_poll_interval_s = 60 must not be shorter"),
        ({"kafka": {"max_poll_interval_s": 5}}, "session_timeout_s = 10"),
        ({"topics": {"replication_factor": 1}}, "min_insync_replicas = 2 must not exceed"),
        ({"media": {"max_inline_bytes": 3_000_000}}, "must not exceed max_event_bytes"),
        ({"batching": {"max_bytes": 1000}}, "batching.max_bytes = 1000 must not be less"),
        ({"media": {"max_event_bytes": 2**29}}, "batching.max_bytes = 16777216 must not be less"),
        ({"kafka": {"receive_max_bytes": 2**20}}, "kafka.receive_max_bytes = 1048576 must not be less"),
    ],
)
def test_bounds_that_make_each_other_impossible_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Settings.model_validate(changes)


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("media", "decoders", 5000), ("fetch", "threads", 5000), ("batching", "max_flights", 5000), ("fetch", "total_timeout_s", 1e-9),
        ("fetch", "connect_timeout_s", 1e-9), ("self_test", "every_s", 1e-9), ("telemetry", "lag_every_s", 1e-9),
        ("telemetry", "http_port", 65536), ("telemetry", "http_port", -1), ("fetch", "allowed_ports", [0]),
        ("fetch", "allowed_ports", [65536]), ("telemetry", "http_host", "http://x"), ("telemetry", "http_host", ""),
        ("telemetry", "http_host", "256.0.0.1"), ("registry", "url", "registry:8081"), ("registry", "url", "https://"),
        ("fetch", "s3_endpoint", "minio:9000"), ("kafka", "sasl_token_url", "ftp://x"), ("kafka", "group_id", ""),
        ("dead_letters", "max_value_bytes", 2**30), ("media", "decoder_memory_bytes", 1), ("batching", "max_records", 1e20),
        ("kafka", "consumer_options", {"a": math.inf}), ("telemetry", "ready_file", "x\0y"), ("fetch", "file_roots", ["x\0y"]),
    ],
)  # fmt: skip
def test_what_no_one_can_mean_is_refused(section: str, field: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=field):
        Settings.model_validate({section: {field: value}})


def extremes(model: type[BaseModel]) -> Iterator[dict[str, Any]]:
    """Yield each number of a section at each of its bounds, one at a time."""
    for name, schema in model.model_json_schema()["properties"].items():
        for bound in ("minimum", "maximum"):
            if bound in schema:
                yield {name: schema[bound]}


def accepted(model: type[BaseModel]) -> list[Any]:
    made = []
    for changes in extremes(model):
        try:
            made.append(model(**changes))
        except ValidationError:  # impossible beside the other defaults
            continue
    return made


def test_a_fetcher_can_be_made_and_ended_at_every_bound() -> None:
    for settings in accepted(Fetch):
        with Fetcher(settings, Media()):
            pass
    for media in accepted(Media):
        with Fetcher(Fetch(threads=1), media):
            pass


def test_librdkafka_takes_every_bound() -> None:
    for settings in accepted(Kafka):
        kafka = settings.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
        open_consumer(consumer_config(kafka), lambda _: None).close()
        open_producer(producer_config(kafka), lambda _: None)


def test_no_section_is_left_without_extremes() -> None:
    assert accepted(Kafka)
    assert accepted(Fetch)
    assert accepted(Batching)
    assert get_origin(LEAVES["kafka", "consumer_options"].annotation) is dict

"""What settings become in librdkafka's hands, and what they may not become."""

import time
from functools import partial

import pytest
from confluent_kafka import KafkaError
from pydantic import SecretStr

from sluice.core.errors import BadSettings, Fatal
from sluice.core.records import Message
from sluice.kafka.client import (
    admin_config,
    consumer_config,
    open_consumer,
    open_producer,
    plain_producer_config,
    producer_config,
    reader_config,
    transactional_id,
)
from sluice.kafka.committer import KafkaCommitter
from sluice.settings import Kafka, SecurityProtocol

LOCAL = Kafka(bootstrap_servers="localhost:9092")
BUILDERS = [consumer_config, producer_config, plain_producer_config, reader_config, admin_config]


def ignore(_: KafkaError) -> None:
    pass


def test_an_answer_of_a_broker_is_bounded_and_never_larger_than_what_is_received() -> None:
    assert consumer_config(LOCAL)["fetch.max.bytes"] == 32 * 1024 * 1024
    narrow = LOCAL.model_copy(update={"receive_max_bytes": 10_000_000})
    assert consumer_config(narrow)["fetch.max.bytes"] < 10_000_000


def test_a_partition_is_fetched_again_before_even_a_fast_consumer_has_used_up_what_it_has() -> None:
    config, fastest_per_s = consumer_config(LOCAL), 10_000
    assert config["fetch.queue.backoff.ms"] / 1000 * fastest_per_s <= config["queued.min.messages"]


def test_the_settings_that_exactly_once_rests_on() -> None:
    consumer, producer = consumer_config(LOCAL), producer_config(LOCAL)
    assert consumer["enable.auto.commit"] is False
    assert consumer["isolation.level"] == "read_committed"
    assert consumer["auto.offset.reset"] == "earliest"
    assert consumer["partition.assignment.strategy"] == "range"
    assert producer["enable.idempotence"] is True
    assert producer["acks"] == "all"
    assert producer["delivery.timeout.ms"] <= producer["transaction.timeout.ms"] == 15_000


def test_outputs_are_compressed_well_unless_an_operator_wants_otherwise() -> None:
    assert producer_config(LOCAL)["compression.type"] == "zstd"
    fast = LOCAL.model_copy(update={"producer_options": {"compression.type": "lz4"}})
    assert producer_config(fast)["compression.type"] == "lz4"


@pytest.mark.parametrize(("session_s", "heartbeat_ms"), [(1.5, 500), (10.0, 3000), (45.0, 3000)])
def test_a_member_beats_three_times_a_session_at_least(session_s: float, heartbeat_ms: int) -> None:
    config = consumer_config(LOCAL.model_copy(update={"session_timeout_s": session_s}))
    assert config["heartbeat.interval.ms"] == heartbeat_ms


def test_librdkafka_accepts_every_configuration() -> None:
    for protocol in ("classic", "consumer"):
        kafka = LOCAL.model_copy(update={"group_protocol": protocol})
        open_consumer(consumer_config(kafka), ignore).close()
    open_consumer(reader_config(LOCAL), ignore).close()
    open_producer(producer_config(LOCAL), ignore)
    open_producer(plain_producer_config(LOCAL), ignore)


def test_librdkafka_accepts_every_way_to_sign_in() -> None:
    base = LOCAL.model_copy(update={"security_protocol": SecurityProtocol.SASL_SSL, "sasl_username": "u"})
    secret = {"sasl_password": SecretStr("s3cret"), "sasl_token_url": "https://id.example.com/token"}
    for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"):
        kafka = base.model_copy(update={**secret, "sasl_mechanism": mechanism})
        open_consumer(consumer_config(kafka), ignore).close()


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("servers", ["kafka.example.com:9092", "127.0.0.1:9092, 10.0.0.1:9092", "[fd00::1]:9092"])
def test_a_cleartext_broker_beyond_loopback_is_refused(build: object, servers: str) -> None:
    assert callable(build)
    for protocol in (SecurityProtocol.PLAINTEXT, SecurityProtocol.SASL_PLAINTEXT):
        with pytest.raises(BadSettings, match="allow_insecure"):
            build(Kafka(bootstrap_servers=servers, security_protocol=protocol))
    build(Kafka(bootstrap_servers=servers, allow_insecure=True))
    build(Kafka(bootstrap_servers=servers, security_protocol=SecurityProtocol.SSL))


@pytest.mark.parametrize("servers", ["localhost:1", "127.0.0.1:1,127.9.9.9:2", "[::1]:9092", "PLAINTEXT://localhost:1"])
def test_a_cleartext_broker_on_loopback_is_fine(servers: str) -> None:
    admin_config(Kafka(bootstrap_servers=servers))


def test_no_broker_named_is_refused_with_the_setting_to_set() -> None:
    with pytest.raises(BadSettings, match="SLUICE_KAFKA__BOOTSTRAP_SERVERS"):
        consumer_config(Kafka())


@pytest.mark.parametrize("name", ["enable.auto.commit", "isolation.level", "auto.offset.reset"])
def test_consumer_options_that_guard_exactly_once_are_refused_by_name(name: str) -> None:
    with pytest.raises(BadSettings, match=rf"kafka\.consumer_options: {name}"):
        consumer_config(LOCAL.model_copy(update={"consumer_options": {name: "x"}}))


@pytest.mark.parametrize("name", ["enable.idempotence", "acks", "delivery.timeout.ms", "transactional.id"])
def test_producer_options_that_guard_exactly_once_are_refused_by_name(name: str) -> None:
    with pytest.raises(BadSettings, match=rf"kafka\.producer_options: {name}"):
        producer_config(LOCAL.model_copy(update={"producer_options": {name: "x"}}))


def test_other_options_pass_through() -> None:
    kafka = Kafka(
        bootstrap_servers="localhost:1", consumer_options={"fetch.min.bytes": 7}, producer_options={"debug": "eos"}
    )
    assert consumer_config(kafka)["fetch.min.bytes"] == 7
    assert producer_config(kafka)["debug"] == "broker,eos", "ours stays: it tells of lost connections"


def test_an_option_librdkafka_does_not_know_is_refused_by_name() -> None:
    with pytest.raises(BadSettings, match=r"no\.such\.option"):
        open_producer(producer_config(LOCAL) | {"no.such.option": 1}, ignore)


def test_a_value_librdkafka_does_not_take_is_refused_without_a_secret() -> None:
    kafka = LOCAL.model_copy(update={
        "security_protocol": SecurityProtocol.SASL_SSL, "sasl_mechanism": "PLAIN", "sasl_username": "u",
        "sasl_password": SecretStr("s3cret"), "consumer_options": {"fetch.min.bytes": "many"},
    })  # fmt: skip
    with pytest.raises(BadSettings) as refused:
        open_consumer(consumer_config(kafka), ignore)
    assert "s3cret" not in str(refused.value)


def test_the_transactional_id_is_made_of_group_and_host_unless_given() -> None:
    assert transactional_id(LOCAL).startswith("sluice-")
    assert transactional_id(LOCAL.model_copy(update={"transactional_id": "pod-3"})) == "pod-3"


def mock_cluster_committer() -> KafkaCommitter:
    """Return a committer on librdkafka's own cluster in memory."""
    config = producer_config(LOCAL) | {"test.mock.num.brokers": 1, "bootstrap.servers": ""}
    return KafkaCommitter(partial(open_producer, config), timeout_s=15.0, clock=time.monotonic, observe=lambda *_: None)


def test_librdkafka_itself_commits_a_transaction() -> None:
    committer = mock_cluster_committer()
    committer.open(10.0)
    for _ in range(3):
        committer.commit([Message("t", b"k", b"v", (("h", None),))], {}, None)
    committer.close()


def test_librdkafka_itself_refuses_a_message_over_its_limit() -> None:
    committer = mock_cluster_committer()
    committer.open(10.0)
    with pytest.raises(Fatal, match="topic t refuses"):
        committer.commit([Message("t", b"k", b"v"), Message("t", b"k", bytes(5_000_000))], {}, None)

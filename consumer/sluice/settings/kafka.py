"""The brokers, the topics and the schema registry."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from sluice.settings.section import MAX_SECONDS, MIB, Count, Keyed, Number, Seconds, Section
from sluice.settings.text import Name, OptionalPath, Options, Secret, Servers, Text, Topic, Url


class SecurityProtocol(StrEnum):
    """How the client talks to the brokers."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class Kafka(Section):
    """The brokers and how this process stands towards them."""

    bootstrap_servers: Servers = Field(
        "", description="Brokers as `host:port[,host:port]`. Required by every command that talks to Kafka."
    )
    group_id: Name = Field("sluice", description="Consumer group. All replicas share it.")
    transactional_id: Text = Field(
        "", description="Unique per live process (a StatefulSet's ordinal). Empty: `{group_id}-{hostname}`."
    )
    group_protocol: Literal["classic", "consumer"] = Field(
        "classic", description="`classic` (eager range assignment) or `consumer` (KIP-848)."
    )
    session_timeout_s: Number = Field(
        10.0,
        ge=1,
        le=3600,
        description="A silent member is given up after this long. Short, since a restart re-reads little.",
    )
    max_poll_interval_s: Number = Field(
        60.0,
        ge=1,
        le=MAX_SECONDS,
        description="A loop that does not poll for this long leaves the group. The loop polls every few milliseconds.",
    )
    transaction_timeout_s: Number = Field(
        15.0, ge=1, le=MAX_SECONDS, description="Bound of one transaction; landing takes well under a second."
    )
    connect_deadline_s: Seconds = Field(
        60.0,
        description="With no broker for this long the process exits with 69, and refused by the group for this long with 77, so that its supervisor sees it.",
    )
    metadata_refresh_s: Number = Field(
        10.0,
        ge=0.01,
        le=3600,
        description="How often brokers are asked for the partitions of our topics: how long images in partitions that were added wait until a running consumer reads them, a rebalance besides.",
    )
    expired_images: Literal["tell", "stop"] = Field(
        "tell",
        description="What to do about images that were deleted before they were read (retention, `kafka-delete-records.sh`): `tell` by log, counter and alert and go on, or `stop` with exit 75, which stays until a person decides.",
    )
    queued_max_kbytes: int = Field(
        65_536, ge=1, le=2_097_151, description="Prefetch memory of librdkafka, KiB, over all partitions."
    )
    queued_min_messages: Count = Field(256, description="Prefetch target per partition: about two batches.")
    receive_max_bytes: int = Field(
        256 * MIB,
        ge=MIB,
        le=2_147_483_647,
        description="Largest broker response accepted; above queued_max_kbytes since some brokers ignore fetch limits.",
    )
    security_protocol: SecurityProtocol = Field(
        SecurityProtocol.PLAINTEXT,
        description="PLAINTEXT is refused for brokers beyond loopback unless `allow_insecure`.",
    )
    allow_insecure: bool = Field(False, description="Accept an unencrypted broker that is not on loopback.")
    sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        "", description="SASL mechanism; empty for none."
    )
    sasl_username: Text = Field("", description="SASL user; for OAUTHBEARER the client id.")
    sasl_password: Secret = Field(
        SecretStr(""),
        description="SASL password, for OAUTHBEARER the client secret; best from a file in the secrets directory.",
    )
    sasl_token_url: Url = Field("", description="Where OAUTHBEARER gets its tokens (OIDC client credentials).")
    ssl_ca_file: OptionalPath = Field(None, description="Certificate authority (PEM). Empty: the system's.")
    ssl_certificate_file: OptionalPath = Field(None, description="Client certificate (PEM) for mutual TLS.")
    ssl_key_file: OptionalPath = Field(None, description="Client key (PEM) for mutual TLS.")
    ssl_key_password: Secret = Field(SecretStr(""), description="Password of the client key.")
    consumer_options: Annotated[Options, Keyed] = Field(
        default_factory=dict,
        description="Further librdkafka consumer settings. Those that guard exactly-once are refused.",
    )
    producer_options: Annotated[Options, Keyed] = Field(
        default_factory=dict,
        description="Further librdkafka producer settings. Those that guard exactly-once are refused.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max_poll_interval_s < self.session_timeout_s:
            raise ValueError(
                f"max_poll_interval_s = {self.max_poll_interval_s:g} must not be shorter than"
                f" session_timeout_s = {self.session_timeout_s:g}"
            )
        return self


class Topics(Section):
    """Topic names and how `sluice topics create` makes them."""

    images: Topic = Field("images.generated.v1", description="In: an image was generated.")
    verdicts: Topic = Field("images.verdicts.v1", description="Out: may it be shown.")
    quality: Topic = Field("images.quality.v1", description="Out: how good is it.")
    dead_letters: Topic = Field("images.deadletter.v1", description="Out: records that could not be judged.")
    feedback: Topic = Field("images.feedback.v1", description="In: what people said of it.")
    control: Topic = Field("images.control.v1", description="In: policies and bans as data (compacted).")
    partitions: int = Field(
        6, ge=1, le=100_000, description="Partitions of each topic; the most replicas that can share the work."
    )
    replication_factor: int = Field(
        3, ge=1, le=1000, description="Copies of each partition. 1 only for a single broker."
    )
    min_insync_replicas: int = Field(2, ge=1, le=1000, description="Copies that must have a record before it counts.")

    @model_validator(mode="after")
    def _apart(self) -> Self:
        names: dict[str, str] = {}
        for field in ("images", "verdicts", "quality", "dead_letters", "feedback", "control"):
            name = getattr(self, field)
            # Names that differ in dots and underscores alone collide in the brokers' metrics, so they refuse the second.
            other = names.setdefault(name.replace(".", "_"), field)
            if other != field:
                raise ValueError(f"{other} and {field} are both {name!r}; every topic needs a name of its own")
        if self.min_insync_replicas > self.replication_factor:
            raise ValueError(
                f"min_insync_replicas = {self.min_insync_replicas} must not exceed"
                f" replication_factor = {self.replication_factor}: nothing could be written"
            )
        return self


class Registry(Section):
    """A schema registry with Confluent's API. Empty url: Avro single-object encoding, no registry."""

    url: Url = Field("", description="Base URL; empty for none.")
    username: Text = Field("", description="Basic-auth user.")
    password: Secret = Field(SecretStr(""), description="Basic-auth password.")
    ca_file: OptionalPath = Field(None, description="Certificate authority (PEM).")
    auto_register: bool = Field(
        False,
        description="Register missing schemas at start. For development; in production they are registered by a release.",
    )
    schema_patience_s: Seconds = Field(
        120.0,
        description="How long a schema that only fails is waited for while the registry serves others; then its records are dead letters (`schema_unavailable`). A registry that serves no schema is waited for without end. Long enough for a failover, short enough not to hold a partition for long.",
    )


class Signing(Section):
    """Ed25519 signatures on verdicts, for display services that believe no other writer. Empty: none."""

    key_file: OptionalPath = Field(
        None,
        description="Private key (PEM) of `sluice keys new`; best on a secret volume. Empty: verdicts are unsigned.",
    )
    key_id: Text = Field("", description="The key's name in the key ring of display services.")

    @model_validator(mode="after")
    def _both(self) -> Self:
        if bool(self.key_file) != bool(self.key_id):
            raise ValueError("key_file and key_id belong together; set both or neither")
        return self

"""Every setting of Sluice: one frozen tree, its units in the names, a reason for each default.

Environment variables are `SLUICE_` and the path joined with `__`: `SLUICE_KAFKA__BOOTSTRAP_SERVERS`.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0)]
Bytes = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]
MIB = 1024 * 1024


class Section(BaseModel):
    """A branch of the tree: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class SecurityProtocol(StrEnum):
    """How the client talks to the brokers."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class Kafka(Section):
    """The brokers and how this process stands towards them."""

    bootstrap_servers: str = Field(
        "", description="Brokers as `host:port[,host:port]`. Required by every command that talks to Kafka."
    )
    group_id: str = Field("sluice", description="Consumer group. All replicas share it.")
    transactional_id: str = Field(
        "", description="Unique per live process (a StatefulSet's ordinal). Empty: `{group_id}-{hostname}`."
    )
    group_protocol: Literal["classic", "consumer"] = Field(
        "classic", description="`classic` (eager range assignment) or `consumer` (KIP-848)."
    )
    session_timeout_s: Seconds = Field(
        10.0,
        description="A silent member is given up after this long. Short, since a restart re-reads little.",
    )
    max_poll_interval_s: Seconds = Field(
        60.0,
        description="A loop that does not poll for this long leaves the group. The loop polls every few milliseconds.",
    )
    transaction_timeout_s: Seconds = Field(
        15.0, description="Bound of one transaction; landing takes well under a second."
    )
    connect_deadline_s: Seconds = Field(
        60.0,
        description="With no broker for this long the process exits with 69 so that its supervisor sees it.",
    )
    queued_max_kbytes: Count = Field(
        65_536, description="Prefetch memory of librdkafka, KiB, over all partitions."
    )
    queued_min_messages: Count = Field(256, description="Prefetch target per partition: about two batches.")
    receive_max_bytes: Bytes = Field(
        256 * MIB,
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
    sasl_username: str = Field("", description="SASL user.")
    sasl_password: SecretStr = Field(
        SecretStr(""), description="SASL password; best from a file in the secrets directory."
    )
    ssl_ca_file: Path | None = Field(None, description="Certificate authority (PEM). Empty: the system's.")
    ssl_certificate_file: Path | None = Field(None, description="Client certificate (PEM) for mutual TLS.")
    ssl_key_file: Path | None = Field(None, description="Client key (PEM) for mutual TLS.")
    ssl_key_password: SecretStr = Field(SecretStr(""), description="Password of the client key.")
    consumer_options: dict[str, str | int | float | bool] = Field(
        default_factory=dict,
        description="Further librdkafka consumer settings. Those that guard exactly-once are refused.",
    )
    producer_options: dict[str, str | int | float | bool] = Field(
        default_factory=dict,
        description="Further librdkafka producer settings. Those that guard exactly-once are refused.",
    )


class Topics(Section):
    """Topic names and how `sluice topics create` makes them."""

    images: str = Field("images.generated.v1", description="In: an image was generated.")
    verdicts: str = Field("images.verdicts.v1", description="Out: may it be shown.")
    quality: str = Field("images.quality.v1", description="Out: how good is it.")
    dead_letters: str = Field("images.deadletter.v1", description="Out: records that could not be judged.")
    feedback: str = Field("images.feedback.v1", description="In: what people said of it.")
    control: str = Field("images.control.v1", description="In: policies and bans as data (compacted).")
    partitions: Count = Field(
        6, description="Partitions of each topic; the most replicas that can share the work."
    )
    replication_factor: Count = Field(3, description="Copies of each partition. 1 only for a single broker.")
    min_insync_replicas: Count = Field(2, description="Copies that must have a record before it counts.")


class Registry(Section):
    """A schema registry with Confluent's API. Empty url: Avro single-object encoding, no registry."""

    url: str = Field("", description="Base URL; empty for none.")
    username: str = Field("", description="Basic-auth user.")
    password: SecretStr = Field(SecretStr(""), description="Basic-auth password.")
    ca_file: Path | None = Field(None, description="Certificate authority (PEM).")
    auto_register: bool = Field(
        False,
        description="Register missing schemas at start. For development; in production they are registered by a release.",
    )


class Batching(Section):
    """How the log is cut into batches and how many are under way."""

    max_records: Count = Field(
        32, description="Largest batch. Batch 8 already gives 92 % of a GPU's throughput, 32 leaves room."
    )
    max_bytes: Bytes = Field(
        16 * MIB, description="Largest batch by message bytes; bounds memory with inline images."
    )
    max_age_s: Annotated[float, Field(ge=0)] = Field(
        0.02, description="A partial batch is cut once its oldest record waited this long."
    )
    max_flights: Count = Field(
        4, description="Batches under way at once; when all are, partitions are paused."
    )
    drain_timeout_s: Seconds = Field(
        20.0, description="On SIGTERM, how long flights may take to land before the process leaves."
    )
    retry_pause_s: Seconds = Field(
        2.0, description="How long a flight waits before it is tried again when a dependency was down."
    )


class Fuse(Section):
    """When too many dead letters stop the consumer."""

    max_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.05, description="Largest share of dead letters among the last `window` records."
    )
    window: Count = Field(
        1000, description="Records the share is taken over; it counts only once the window is full."
    )
    max_run: Count = Field(50, description="Longest run of dead letters in one partition.")


class Fetch(Section):
    """References to images and who may be asked for them."""

    allowed_schemes: tuple[Literal["https", "s3", "http", "file"], ...] = Field(
        ("https", "s3"), description="Schemes of references that are followed."
    )
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="Hosts, exact (`img.example.com`) or by suffix with a leading dot (`.cdn.example.com`). Empty refuses all.",
    )
    allowed_ports: tuple[int, ...] = Field((80, 443), description="Ports a reference may name.")
    allow_private_addresses: bool = Field(
        False, description="Follow references to loopback and private addresses. For tests and the demo."
    )
    file_roots: tuple[Path, ...] = Field(
        (), description="Folders that `file:` references may point into. Empty refuses all."
    )
    s3_buckets: tuple[str, ...] = Field(
        (), description="Buckets that `s3://bucket/key` may name. Empty refuses all."
    )
    s3_endpoint: str = Field(
        "", description="Fixed endpoint of the object store; empty for the provider's own."
    )
    s3_region: str = Field("us-east-1", description="Region of the object store.")
    s3_access_key_id: str = Field("", description="Access key; empty for the environment's own credentials.")
    s3_secret_access_key: SecretStr = Field(SecretStr(""), description="Secret key.")
    threads: Count = Field(16, description="References fetched at once.")
    connect_timeout_s: Seconds = Field(2.0, description="Time to a connection.")
    first_byte_timeout_s: Seconds = Field(5.0, description="Time to the first byte.")
    total_timeout_s: Seconds = Field(
        15.0, description="Time to the last byte, retries included; bounds head-of-line waiting."
    )
    max_redirects: Annotated[int, Field(ge=0, le=5)] = Field(
        0, description="Redirects followed; each target passes every guard again."
    )


class Media(Section):
    """Limits on what is decoded, and where."""

    max_image_bytes: Bytes = Field(16 * MIB, description="Largest encoded image.")
    max_inline_bytes: Bytes = Field(
        MIB, description="Largest image carried inside an event; larger ones go by reference."
    )
    max_event_bytes: Bytes = Field(2 * MIB, description="Largest event that is decoded at all.")
    max_frame_pixels: Count = Field(25_000_000, description="Largest frame, pixels.")
    max_total_pixels: Count = Field(100_000_000, description="Largest sum over frames, pixels.")
    max_frames: Count = Field(
        16, description="Frames of an animation that are judged; an image with more is indeterminate."
    )
    max_tiles: Count = Field(32, description="Tiles of one image; an image that needs more is indeterminate.")
    tile_above_aspect: Annotated[float, Field(ge=1)] = Field(
        1.15, description="Longer images are tiled along their long side."
    )
    formats: tuple[Literal["PNG", "JPEG", "WEBP", "GIF", "AVIF"], ...] = Field(
        ("PNG", "JPEG", "WEBP"), description="Formats that are opened at all."
    )
    decode_timeout_s: Seconds = Field(2.0, description="Wall time for one image.")
    decoder_memory_bytes: Bytes = Field(
        512 * MIB, description="Memory one decoder process may take for an image."
    )
    decoders: Annotated[int, Field(ge=0)] = Field(0, description="Decoder processes; 0 for one per core.")


class Precision(StrEnum):
    """What the towers run in; heads are always float32."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


class Models(Section):
    """Which weights judge, and where they run."""

    bundle: str = Field(
        "",
        description="`openai` (the real checker and CLIP, from the hub cache), `starter` (the tiny demo bundle: never for production), or a folder. Required: nothing is chosen silently.",
    )
    device: str = Field("auto", description="`auto`, `cpu`, `cuda`, `cuda:N`. One process per GPU.")
    precision: Precision | None = Field(None, description="Empty: float16 on a GPU, float32 on a CPU.")
    lane_batch: Count = Field(64, description="Most tiles in one forward pass.")
    guard_band: Annotated[float, Field(ge=0)] = Field(
        0.002,
        description="Scores this close to a threshold are computed again in float32. Covers fp16 rounding.",
    )
    lane_timeout_s: Seconds = Field(
        120.0, description="A forward pass that takes longer means a hung device: exit 72."
    )
    prompt_cache: Annotated[int, Field(ge=0)] = Field(
        4096, description="Prompt embeddings kept: one prompt usually makes several images."
    )
    aesthetic_v1: Path | None = Field(None, description="LAION aesthetic v1 head (safetensors).")
    aesthetic_v2: Path | None = Field(None, description="LAION aesthetic v2 head (safetensors).")
    plugins: tuple[str, ...] = Field((), description="Further models by entry-point name (`nudenet`).")
    torch_threads: Annotated[int, Field(ge=0)] = Field(
        0, description="Threads of a CPU forward pass; 0 for torch's own choice."
    )


class Policy(Section):
    """What turns scores into a status."""

    file: Path | None = Field(None, description="Policy file (YAML). Empty: the `diffusers-exact` preset.")
    mode: Literal["ENFORCE", "SHADOW"] = Field(
        "ENFORCE", description="SHADOW verdicts are published but display ignores them."
    )


class DeadLetters(Section):
    """What a dead letter carries."""

    include_inline_images: bool = Field(
        False,
        description="Carry the record's value even when it holds an inline image; otherwise its sha256 and size.",
    )
    max_value_bytes: Bytes = Field(64 * 1024, description="Largest original value carried.")


class Telemetry(Section):
    """Logs, health files and OpenTelemetry (which also reads the standard `OTEL_*` variables)."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe line that is logged."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="`auto`: console on a terminal, JSON lines otherwise."
    )
    otlp: bool = Field(
        False, description="Export spans and metrics by OTLP/HTTP to `OTEL_EXPORTER_OTLP_ENDPOINT`."
    )
    heartbeat_file: Path | None = Field(
        None, description="Touched by every turn of the loop; a liveness probe looks at its age."
    )
    ready_file: Path | None = Field(None, description="Exists while the consumer can judge.")
    stats_file: Path | None = Field(
        None, description="Counters as JSON, written about twice a second; what the live view reads."
    )


class Settings(BaseSettings):
    """The whole tree."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="SLUICE_",
        env_nested_delimiter="__",
        env_file=".env",
        protected_namespaces=(),
    )

    kafka: Kafka = Kafka()
    topics: Topics = Topics()
    registry: Registry = Registry()
    batching: Batching = Batching()
    fuse: Fuse = Fuse()
    fetch: Fetch = Fetch()
    media: Media = Media()
    models: Models = Models()
    policy: Policy = Policy()
    dead_letters: DeadLetters = DeadLetters()
    telemetry: Telemetry = Telemetry()

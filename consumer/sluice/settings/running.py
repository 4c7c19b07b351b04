"""How the log is cut, when the consumer stops, and what it tells the outside."""

from typing import Literal, Self

from pydantic import Field, model_validator

from sluice.settings.section import MAX_SECONDS, MIB, Bytes, Count, Number, Seconds, Section
from sluice.settings.text import MAX_PORT, Listening, OptionalPath


class Batching(Section):
    """How the log is cut into batches and how many are under way; `docs/batching.md` says why."""

    max_records: int = Field(
        32,
        ge=1,
        le=10_000,
        description="Largest batch. Batch 8 already gives 92 % of a GPU's throughput, 32 leaves room. Smaller ones are cut as long as fewer than two are unfinished, so nothing waits for a batch to fill.",
    )
    max_bytes: Bytes = Field(16 * MIB, description="Largest batch by message bytes; bounds memory with inline images.")
    max_flights: int = Field(
        8,
        ge=1,
        le=256,
        description="Batches under way at once; when all are, partitions are paused. They are what the models work on during a commit: at 11 ms a batch, a commit of 50 ms leaves them 86 % busy with 8 and 45 % with 4. Each takes memory (`docs/resources.md`).",
    )
    drain_timeout_s: Seconds = Field(
        20.0, description="On SIGTERM, how long flights may take to land before the process leaves."
    )
    retry_pause_s: Seconds = Field(
        2.0, description="How long a flight waits before it is tried again when a dependency was down."
    )


class Fuse(Section):
    """When too many dead letters stop the consumer."""

    max_share: Number = Field(
        0.05, gt=0, le=1, description="Largest share of dead letters among the last `window` records."
    )
    window: Count = Field(1000, description="Records the share is taken over; it counts only once the window is full.")
    max_run: Count = Field(50, description="Longest run of dead letters in one partition; not longer than `window`.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max_run > self.window:
            raise ValueError(f"max_run = {self.max_run} must not exceed window = {self.window}")
        return self


class Poison(Section):
    """When a record that kills the whole process at every start is singled out and rejected."""

    journal_folder: OptionalPath = Field(
        None,
        description="Where each replica notes what it has in flight, in a file named after its transactional id. It must outlive the process, not the machine: a pod's `emptyDir` does, a container's own files do not. Empty: no notes, and poison kills every next life too.",
    )
    deaths_before_alone: int = Field(
        2,
        ge=1,
        le=1000,
        description="Deaths of the process after which the records in flight each time travel one by one. One death is an accident too often: a kill, a full node.",
    )
    deaths_alone: int = Field(
        2,
        ge=1,
        le=1000,
        description="Further deaths with only this record in flight that make it a dead letter. A killer that strikes at random hardly ever hits the same moment twice; each more costs a start.",
    )


class DeadLetters(Section):
    """What a dead letter carries."""

    include_inline_images: bool = Field(
        False,
        description="Carry the record's value even when it holds an inline image; otherwise its sha256 and size.",
    )
    max_value_bytes: int = Field(
        64 * 1024,
        ge=1,
        le=MIB,
        description="Largest original value carried; likewise the key, and the headers together.",
    )


class SelfTest(Section):
    """Known pictures that are judged beside the real ones and never published; `docs/health.md` says what each notices."""

    enabled: bool = Field(
        True,
        description="Ask at the start and then every `every_s`. A wrong answer, or none in time, ends the process (exit 76) before anything more is published.",
    )
    every_s: Seconds = Field(
        60.0,
        description="Seconds between two times of asking: how much may have been published since the last right answer.",
    )
    within_s: Seconds = Field(
        300.0,
        description="How late an answer may be. Known pictures wait for a decoder and for the batch under way, which takes minutes on a CPU with a large bundle; a pass that hangs is noticed by `models.pass_timeout_s`.",
    )
    file: OptionalPath = Field(
        None,
        description="Pictures and their answers, written once by `sluice models self-test --write FILE`. Empty: the answers that ship with the starter bundle; for another bundle its own first answers, in float32.",
    )


class Telemetry(Section):
    """Logs, health files and OpenTelemetry (which also reads the standard `OTEL_*` variables)."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe line that is logged."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="`auto`: console on a terminal, JSON lines otherwise."
    )
    otlp: bool = Field(False, description="Export spans and metrics by OTLP/HTTP to `OTEL_EXPORTER_OTLP_ENDPOINT`.")
    otlp_metrics: bool = Field(
        True,
        description="With `otlp`, metrics too. Switch it off where Prometheus scrapes them and the collector takes traces alone: it would answer each export with an error.",
    )
    image_spans: bool = Field(
        True,
        description="With `otlp`, also a span per image whose record's trace context is sampled, so that one image is one trace from its producer to its verdict.",
    )
    http_port: int | None = Field(
        None,
        ge=0,
        le=MAX_PORT,
        description="Port of a small HTTP server with `/livez`, `/readyz`, `/startupz` and `/metrics` (Prometheus); 0 for any free one, which the log names. Empty: none.",
    )
    http_host: Listening = Field(
        "127.0.0.1",
        description="Address that server listens on. Who reaches it can read every metric and nothing else.",
    )
    linger_s: Number = Field(
        30.0,
        ge=0,
        le=MAX_SECONDS,
        description="How long that server goes on after the fuse, the self-test or a loss of images has stopped the consumer (exit 73, 76, 75), so that a scrape sees why. The group is left by then; a signal ends the wait.",
    )
    lag_every_s: Seconds = Field(5.0, description="How often the brokers are asked how far the partitions reach.")
    heartbeat_file: OptionalPath = Field(
        None, description="Touched by every turn of the loop; a liveness probe looks at its age."
    )
    ready_file: OptionalPath = Field(None, description="Exists while the consumer can judge.")

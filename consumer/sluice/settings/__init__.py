"""Every setting of Sluice: one frozen tree, its units in the names, a reason for each default.

Environment variables are `SLUICE_` and the path joined with `__`: `SLUICE_KAFKA__BOOTSTRAP_SERVERS`.
"""

from pydantic_settings import BaseSettings, SettingsConfigDict

from sluice.settings.images import Fetch, Media
from sluice.settings.judging import Models, Policy, Precision
from sluice.settings.kafka import Kafka, Registry, SecurityProtocol, Topics
from sluice.settings.running import Batching, DeadLetters, Fuse, Telemetry
from sluice.settings.section import MIB, Section

__all__ = [
    "MIB",
    "Batching",
    "DeadLetters",
    "Fetch",
    "Fuse",
    "Kafka",
    "Media",
    "Models",
    "Policy",
    "Precision",
    "Registry",
    "Section",
    "SecurityProtocol",
    "Settings",
    "Telemetry",
    "Topics",
]


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

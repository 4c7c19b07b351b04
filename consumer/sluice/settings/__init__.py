"""Every setting of Sluice: one frozen tree, its units in the names, a reason for each default.

Environment variables are `SLUICE_` and the path joined with `__`: `SLUICE_KAFKA__BOOTSTRAP_SERVERS`. All sources and
their order: `sluice.settings.sources`.
"""

from typing import Self

from pydantic import model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from sluice.settings.images import Fetch, Media
from sluice.settings.judging import Models, Policy, Precision
from sluice.settings.kafka import Kafka, Registry, SecurityProtocol, Signing, Topics
from sluice.settings.running import Batching, DeadLetters, Fuse, Poison, SelfTest, Telemetry
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
    "Poison",
    "Policy",
    "Precision",
    "Registry",
    "Section",
    "SecurityProtocol",
    "SelfTest",
    "Settings",
    "Signing",
    "Telemetry",
    "Topics",
]


class Settings(BaseSettings):
    """The whole tree. Constructing it reads nothing from outside: `sluice.settings.sources.load` does."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="SLUICE_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        enable_decoding=False,  # lists and mappings read their text form themselves, with errors that name them
        protected_namespaces=(),
    )

    kafka: Kafka = Kafka()
    topics: Topics = Topics()
    registry: Registry = Registry()
    signing: Signing = Signing()
    batching: Batching = Batching()
    fuse: Fuse = Fuse()
    poison: Poison = Poison()
    self_test: SelfTest = SelfTest()
    fetch: Fetch = Fetch()
    media: Media = Media()
    models: Models = Models()
    policy: Policy = Policy()
    dead_letters: DeadLetters = DeadLetters()
    telemetry: Telemetry = Telemetry()

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        event = self.media.max_event_bytes
        for name, most in (
            ("batching.max_bytes", self.batching.max_bytes),
            ("kafka.receive_max_bytes", self.kafka.receive_max_bytes),
        ):
            if most < event:
                raise ValueError(f"{name} = {most} must not be less than media.max_event_bytes = {event}")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 -- the names are those of the method it overrides
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what the caller gives, so that a test or a tool sees no environment it did not ask for."""
        return (init_settings,)

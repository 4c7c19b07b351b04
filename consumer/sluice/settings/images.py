"""Which references are followed and what is decoded."""

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from sluice.settings.section import MAX_BYTES, MIB, Count, Listed, Number, Seconds, Section
from sluice.settings.text import MAX_PORT, Bucket, Folder, HostRule, Secret, Text, Url

_Port = Annotated[int, Field(ge=1, le=MAX_PORT)]


class Fetch(Section):
    """References to images and who may be asked for them."""

    allowed_schemes: Annotated[tuple[Literal["https", "s3", "http", "file"], ...], Listed] = Field(
        ("https", "s3"), description="Schemes of references that are followed."
    )
    allowed_hosts: Annotated[tuple[HostRule, ...], Listed] = Field(
        (),
        description="Hosts, exact (`img.example.com`) or by suffix with a leading dot (`.cdn.example.com`). Empty refuses all.",
    )
    allowed_ports: Annotated[tuple[_Port, ...], Listed] = Field((80, 443), description="Ports a reference may name.")
    allow_private_addresses: bool = Field(
        False, description="Follow references to loopback and private addresses. For tests and the demo."
    )
    file_roots: Annotated[tuple[Folder, ...], Listed] = Field(
        (), description="Folders that `file:` references may point into. Empty refuses all."
    )
    s3_buckets: Annotated[tuple[Bucket, ...], Listed] = Field(
        (),
        description="Buckets that `s3://bucket/key` may name; the key is taken as it stands, nothing is decoded. Empty refuses all.",
    )
    s3_endpoint: Url = Field("", description="Fixed endpoint of the object store; empty for the provider's own.")
    s3_region: Text = Field("us-east-1", description="Region of the object store.")
    s3_access_key_id: Text = Field("", description="Access key; empty for the environment's own credentials.")
    s3_secret_access_key: Secret = Field(SecretStr(""), description="Secret key.")
    threads: int = Field(16, ge=1, le=512, description="References fetched at once.")
    connect_timeout_s: Seconds = Field(2.0, description="Time to a connection.")
    first_byte_timeout_s: Seconds = Field(5.0, description="Time to the first byte.")
    total_timeout_s: Seconds = Field(
        15.0, description="Time to the last byte, retries included; bounds head-of-line waiting."
    )
    object_patience_s: Number = Field(
        120.0,
        ge=0,
        le=2_592_000,
        description="How long an object that only fails is waited for while its store serves others; then it is a dead letter (`store_error`). A store that serves no object is waited for without end. Hosts under one suffix are one store; a name under it that cannot be looked up while others can is such an object. Each one given up halves the wait for the next one of its store, until none was for ten minutes. Long enough for a failover, short enough not to hold a partition for long.",
    )
    max_redirects: int = Field(0, ge=0, le=5, description="Redirects followed; each target passes every guard again.")


class Media(Section):
    """Limits on what is decoded, and where."""

    max_image_bytes: int = Field(16 * MIB, ge=1, le=2**31, description="Largest encoded image.")
    max_inline_bytes: int = Field(
        MIB, ge=1, le=2**30, description="Largest image carried inside an event; larger ones go by reference."
    )
    max_event_bytes: int = Field(2 * MIB, ge=1024, le=2**30, description="Largest event that is decoded at all.")
    max_frame_pixels: int = Field(25_000_000, ge=1, le=2**31, description="Largest frame, pixels.")
    max_total_pixels: int = Field(100_000_000, ge=1, le=2**36, description="Largest sum over frames, pixels.")
    max_frames: int = Field(
        16, ge=1, le=100_000, description="Frames of an animation that are judged; an image with more is indeterminate."
    )
    max_tiles: Count = Field(32, description="Tiles of one image; an image that needs more is indeterminate.")
    tile_above_aspect: Number = Field(1.15, ge=1, le=1000, description="Longer images are tiled along their long side.")
    formats: Annotated[tuple[Literal["PNG", "JPEG", "WEBP", "GIF", "AVIF"], ...], Listed] = Field(
        ("PNG", "JPEG", "WEBP"), description="Formats that are opened at all."
    )
    decode_timeout_s: Number = Field(
        10.0,
        ge=0.1,
        le=3600,
        description="Processor time for one image. Usual pictures take a hundredth of it, so that a verdict does not depend on load; by the clock a decoder may take six times as long, a minute at least, and then the image waits.",
    )
    decoder_memory_bytes: int = Field(
        512 * MIB, ge=32 * MIB, le=MAX_BYTES, description="Memory one decoder process may take for an image."
    )
    decoders: int = Field(0, ge=0, le=512, description="Decoder processes; 0 for one per core.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max_inline_bytes > self.max_event_bytes:
            raise ValueError(
                f"max_inline_bytes = {self.max_inline_bytes} must not exceed max_event_bytes = {self.max_event_bytes}:"
                " the image is a part of the event"
            )
        return self

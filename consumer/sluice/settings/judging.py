"""Which models judge, where they run, and what is made of their scores."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sluice.settings.section import Listed, Number, Seconds, Section
from sluice.settings.text import LongText, Name, OptionalPath


class Precision(StrEnum):
    """What the towers run in; heads are always float32."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


class Models(Section):
    """Which weights judge, and where they run."""

    bundle: LongText = Field(
        "",
        description="`openai` (the real checker and CLIP, from the hub cache), `starter` (the tiny demo bundle: never for production), or a folder. Required: nothing is chosen silently.",
    )
    device: Name = Field("auto", description="`auto`, `cpu`, `cuda`, `cuda:N`. One process per GPU.")
    precision: Precision | None = Field(
        None,
        description="Empty: float16 on a GPU, float32 on a CPU. On a CPU bfloat16 pays where the processor computes in it and fewer than about half of the tiles are looked at again (`inference.rechecks`): its guard band is eight times as wide.",
    )
    max_pass_tiles: int = Field(64, ge=1, le=65_536, description="Most tiles in one forward pass.")
    guard_band: Number = Field(
        0.002,
        ge=0,
        le=1,
        description="Scores this close to a threshold are computed again in float32. Covers fp16 rounding; with bfloat16 it is eight times as wide, and wider still where the bundle's own rounding, measured at the start, asks for it. 0 for none.",
    )
    pass_timeout_s: Seconds = Field(120.0, description="A forward pass that takes longer means a hung device: exit 72.")
    prompt_cache: int = Field(
        4096, ge=0, le=10_000_000, description="Prompt embeddings kept: one prompt usually makes several images."
    )
    aesthetic_v1: OptionalPath = Field(None, description="LAION aesthetic v1 head (safetensors).")
    aesthetic_v2: OptionalPath = Field(None, description="LAION aesthetic v2 head (safetensors).")
    plugins: Annotated[tuple[Name, ...], Listed] = Field(
        (), description="Further models by entry-point name (`nudenet`, `open_nsfw`); a preset enables those it asks."
    )
    torch_threads: int = Field(0, ge=0, le=1024, description="Threads of a CPU forward pass; 0 for torch's own choice.")


class Policy(Section):
    """What turns scores into a status."""

    file: OptionalPath = Field(None, description="Policy file (YAML). Empty: the preset.")
    preset: Literal["balanced", "diffusers-exact", "opinions"] = Field(
        "balanced",
        description="Policy to use without a file. `balanced` judges all a person can see; `diffusers-exact` is the reference checker's answer alone, which looks at the centre crop of the first frame; `opinions` asks the plug-ins `nudenet` and `open_nsfw` instead of the checker, and enables both.",
    )
    mode: Literal["ENFORCE", "SHADOW"] = Field(
        "ENFORCE", description="SHADOW verdicts are published but display ignores them."
    )

    @model_validator(mode="after")
    def _one_policy(self) -> "Policy":
        if self.file and "preset" in self.model_fields_set:
            raise ValueError("set either file or preset, not both")
        return self

"""What a run of the simulator is made of: how many events, which shares of what, from which seed."""

from dataclasses import dataclass, field, fields
from typing import Any, Final

from sluice_schemas import Generator

MIB: Final = 1024 * 1024


def _share(default: float, doc: str) -> Any:  # typed as the field's own type, as dataclasses.field is
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, slots=True)
class Shares:
    """How often what happens: each a probability from 0 to 1, drawn for each event on its own."""

    unsafe: float = _share(0.15, "Scenes that hold a hazard glyph.")
    mismatch: float = _share(0.15, "Prompts that describe another scene.")
    no_prompt: float = _share(0.01, "Events without a prompt.")
    blur: float = _share(0.03, "Blurred pictures.")
    noise: float = _share(0.03, "Noisy pictures.")
    overexposed: float = _share(0.03, "Over-exposed pictures.")
    wide: float = _share(0.02, "Long pictures, which a centre crop does not see whole.")
    repeated_prompt: float = _share(0.05, "Another picture for the prompt of a recent event.")
    near_duplicate: float = _share(0.03, "Almost the picture of a recent event, under its prompt.")
    by_file: float = _share(0.08, "Pictures that are referred to by a file: address.")
    by_http: float = _share(0.08, "Pictures that are referred to by an http: address.")
    hostile: float = _share(0.02, "Broken and hostile inputs, every kind of `faults.py` in turn.")

    def __post_init__(self) -> None:
        for item in fields(self):
            if not 0 <= getattr(self, item.name) <= 1:
                raise ValueError(f"share {item.name} must lie between 0 and 1")
        for group in (("blur", "noise", "overexposed"), ("repeated_prompt", "near_duplicate"), ("by_file", "by_http")):
            if sum(getattr(self, name) for name in group) > 1:
                raise ValueError(f"shares {', '.join(group)} exclude each other: they must not sum to more than 1")


@dataclass(frozen=True, slots=True)
class Regression:
    """From event number `from_event` on, one version of one model gets worse: its shares become these."""

    from_event: int
    model: str = "aurora"
    version: str = "1.5"
    unsafe: float = 0.35
    mismatch: float = 0.5
    blur: float = 0.3

    def hits(self, number: int, generator: Generator) -> bool:
        """Tell whether the event of this number by this generator is one of the worse ones."""
        who = (generator.model_id, generator.model_version)
        return number >= self.from_event and who == (self.model, self.version)


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that decides what is sent; the same options give the same events."""

    seed: int = 1
    events: int | None = None
    """How many; None for no end."""
    pictures: int = 400
    """Size of the pool of pictures, each drawn once and used again under new image ids; 0: one for each event.

    Each kind (unsafe, blurred...) gets its share of the pool; what a repeated prompt or near duplicate shows is extra.
    """
    shares: Shares = Shares()
    regression: Regression | None = None
    max_inline_bytes: int = MIB
    """The consumer's limit; the fault `inline_too_big` goes just beyond it."""


GENERATORS: Final = (
    (5, Generator("aurora", "1.4", "text-to-image", "euler_a", 30, 7.0)),
    (5, Generator("aurora", "1.5", "text-to-image", "euler_a", 30, 6.5)),
    (3, Generator("lumen-xl", "2.0", "text-to-image", "dpmpp_2m", 24, 5.0)),
    (1, Generator("sketchbook", "0.9", "image-to-image", "ddim", 50, 7.5)),
)
"""Models that take part, each after the weight it is drawn with."""

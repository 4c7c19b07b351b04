"""What every branch of the settings tree is made of."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

MIB = 1024 * 1024
MAX_BYTES = 2**40
MAX_COUNT = 1_000_000
MAX_SECONDS = 86_400.0
"""A day. A time beyond it is a slip of the keyboard, and some clocks of the system hold no more than a few weeks."""


Seconds = Annotated[float, Field(ge=0.001, le=MAX_SECONDS, allow_inf_nan=False)]
Bytes = Annotated[int, Field(ge=1, le=MAX_BYTES)]
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Number = Annotated[float, Field(allow_inf_nan=False)]
"""A number whose field says its bounds."""


def _listed(value: Any) -> Any:
    """Read the text form of a list: JSON, or names with commas between them."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return _json(value)
    return [part.strip() for part in value.split(",") if part.strip()]


def _keyed(value: Any) -> Any:
    """Read the text form of a mapping: JSON."""
    return _json(value) if isinstance(value, str) else value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("must be JSON") from None


Listed = BeforeValidator(_listed)
"""Marks a tuple that a variable may give as `a,b` or `["a", "b"]`."""


def at_home(value: Any) -> Any:
    """Return paths, alone or in a tuple, with `~` expanded; everything else as it is. Raises ValueError."""
    if isinstance(value, tuple):
        return tuple(map(at_home, value))
    try:
        return value.expanduser() if isinstance(value, Path) else value
    except RuntimeError:
        raise ValueError("names the home of a user who has none") from None


Keyed = BeforeValidator(_keyed)
"""Marks a mapping that a variable may give as JSON."""


class Section(BaseModel):
    """A branch of the tree: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse `true`, which would pass for 1."""
        kind = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and kind in (int, float, int | None):
            raise ValueError("must be a number")
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _at_home(cls, value: Any) -> Any:
        """Read `~` in every path as a shell would, which does not see what files and quotes hold."""
        return at_home(value)

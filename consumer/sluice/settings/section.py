"""What every branch of the settings tree is made of."""

import json
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0)]
Bytes = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]
MIB = 1024 * 1024


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
    except ValueError:
        raise ValueError("must be JSON") from None


Listed = BeforeValidator(_listed)
"""Marks a tuple that a variable may give as `a,b` or `["a", "b"]`."""

Keyed = BeforeValidator(_keyed)
"""Marks a mapping that a variable may give as JSON."""


class Section(BaseModel):
    """A branch of the tree: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

"""What an installation may lack: the libraries of an extra, which are asked for before the work that needs them."""

import functools
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import ParamSpec, TypeVar

from sluice.core.errors import NotInstalled

P = ParamSpec("P")
R = TypeVar("R")

_MODERATOR = {
    "huggingface-hub": "huggingface_hub",
    "kornia-rs": "kornia_rs",
    "pillow": "PIL",
    "safetensors": "safetensors",
    "tokenizers": "tokenizers",
    "torch": "torch",
    "transformers": "transformers",
}
EXTRAS: Mapping[str, Mapping[str, str]] = {
    "moderator": _MODERATOR,
    "demo": {**_MODERATOR, "sluice-sim": "sluice_sim"},  # a broker of one's own does for the embedded one
}
"""The module by which each distribution of an extra is known to be there."""


def require(extra: str) -> None:
    """Return where an extra is installed; nothing is imported. Raises NotInstalled."""
    if missing := [name for name, module in EXTRAS[extra].items() if find_spec(module) is None]:
        raise NotInstalled(extra, missing)


def needs(extra: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function raise NotInstalled, before it does anything, where an extra is not installed."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            require(extra)
            return function(*args, **kwargs)

        return checked

    return decorate

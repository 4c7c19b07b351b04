"""The environment of child processes whose settings are given to them."""

import os

from sluice.settings.sources import PREFIX


def without_settings() -> dict[str, str]:
    """Return this process's environment without any variable of ours, so that it cannot overrule a settings file."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}

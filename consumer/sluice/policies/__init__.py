"""Policies as files: the presets beside this module, and whatever an operator writes.

`chosen` is what a running consumer uses; `read` and `parse` raise BadPolicy with file, line and key of every problem.
"""

from collections.abc import Collection, Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from sluice.core.errors import BadPolicy, BadSettings
from sluice.core.yaml_documents import Problem, marked, problems
from sluice.moderation.policy import Policy
from sluice.policies.document import Document

if TYPE_CHECKING:
    from sluice.settings import Policy as PolicySettings
    from sluice.settings import Settings

PRESETS = ("balanced", "diffusers-exact", "opinions")


def chosen(settings: "PolicySettings") -> Policy:
    """Return the policy the settings name: their file, else their preset."""
    return read(settings.file) if settings.file else preset(settings.preset)


def with_plugins(settings: "Settings") -> "Settings":
    """Return the settings with the plug-ins that their preset asks; a file's must be named in `models.plugins`."""
    if settings.policy.file:
        return settings
    models = settings.models
    asked = tuple(dict.fromkeys((*models.plugins, *preset(settings.policy.preset).opinion_models)))
    return settings.model_copy(update={"models": models.model_copy(update={"plugins": asked})})


def refuse_missing_opinions(policy: Policy, given: Mapping[str, Collection[str] | None]) -> None:
    """Raise BadSettings when the policy asks for opinions that no model gives: every verdict would be indeterminate.

    `given` are the labels of each model, None where they are not known beforehand.
    """
    for model, label in sorted(policy.opinion_labels):
        if model not in given:
            raise BadSettings(f"policy {policy.ref.id} asks {model} for an opinion ({label})", remedy=_switch(model))
        known = given[model]
        if known is not None and label not in known:
            labels = ", ".join(sorted(known))
            raise BadSettings(
                f"policy {policy.ref.id} asks {model} for {label!r}, which it never reports: no picture could be"
                f" judged; its labels are {labels}"
            )


def _switch(model: str) -> str:
    if model == "aesthetic.v1":
        return "set both SLUICE_MODELS__AESTHETIC_V1 and SLUICE_MODELS__AESTHETIC_V2"
    return f"add {model} to SLUICE_MODELS__PLUGINS"


def preset(name: str) -> Policy:
    """Return the preset `name`."""
    return parse(preset_text(name), f"preset {name}")


def preset_text(name: str) -> str:
    """Return the YAML of the preset `name`."""
    if name not in PRESETS:
        raise BadPolicy(f"policy preset {name}: unknown; known are {', '.join(PRESETS)}")
    return files(__name__).joinpath(f"{name}.yaml").read_text("utf-8")


def read(path: Path) -> Policy:
    """Return the policy in the file at `path`."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadPolicy(f"{path}: the policy cannot be read: {_why(error)}") from error
    return parse(text, str(path))


def parse(text: str, origin: str) -> Policy:
    """Return the policy that `text` (YAML) describes; `origin` is its name in problems."""
    document = marked(text, origin)
    try:
        return Document.model_validate(document.data).policy()
    except ValidationError as error:
        found = problems(error, Document)
    raise BadPolicy("\n".join(_line(problem, document.where(problem.path)) for problem in found)) from None


def _line(problem: Problem, where: str) -> str:
    return f"{where}: {problem}"


def _why(error: OSError | UnicodeDecodeError) -> str:
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror or type(error).__name__

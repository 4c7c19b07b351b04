"""Where settings come from.

The first that names a value wins:

1. the environment: `SLUICE_` and the path joined with `__` (`SLUICE_KAFKA__GROUP_ID`); an empty one counts as unset
2. `.env` in the working folder, with the same names
3. the folder `SLUICE_SECRETS_DIR` names: one file per setting, named by its path (`kafka__sasl_password`)
4. the YAML file given with `--config`, else named by `SLUICE_CONFIG`
5. the default

A name that no setting has is an error in each of them.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    DotEnvSettingsSource,
    EnvSettingsSource,
    NestedSecretsSettingsSource,
    SecretsSettingsSource,
    SettingsError,
)

from sluice.core import durable, yaml_documents
from sluice.core.errors import BadSettings
from sluice.core.yaml_documents import Problem, dotted, nearest
from sluice.settings import Settings
from sluice.settings.section import at_home

PREFIX = "SLUICE_"
CONFIG = "SLUICE_CONFIG"
SECRETS_DIR = "SLUICE_SECRETS_DIR"
RESERVED = re.compile(r"SLUICE_(CONFIG|SECRETS_DIR|TEST_\w+)")
"""Variables of ours that are no settings; those of the test suite share a prefix."""

SERVICE_LINK = re.compile(r"SLUICE_(?!.*__)(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)")
"""What Kubernetes puts into a pod's environment for a Service whose name begins with `sluice`."""

DOTENV = Path(".env")
_MAX_FILE_BYTES = 1024 * 1024
DEFAULT = "default"
MASK = "**********"
_MAX_SHOWN, _MAX_MASKED = 200, 2000
_USERINFO = re.compile(r"(?<=//)\S+(?=@)|[^\s/:'\"]+:(?!//)\S*(?=@)")
"""Whatever stands before an at sign: a password may hold a slash, a colon or another at sign."""
_QUERY = re.compile(r"(://[^?\s]*\?)\S+")
_WORD = re.compile(r"[\w.-]*")
_SECRET_OPTION = re.compile(r"password|secret|token|jaas|key", re.IGNORECASE)

Key = yaml_documents.Path


def _leaves(model: type[BaseModel], above: Key = ()) -> Iterator[tuple[Key, FieldInfo]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _leaves(kind, (*above, name))
        else:
            yield (*above, name), field


LEAVES: Mapping[Key, FieldInfo] = dict(_leaves(Settings))
"""Every setting by its path, in the order of the tree."""


def variable(key: Key) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + "__".join(map(str, key)).upper()


def variable_of(name: str) -> str:
    """Return the environment variable of a setting, such as `kafka.group_id`. Raises KeyError if there is none."""
    key = tuple(name.split("."))
    if key not in LEAVES:
        raise KeyError(name)
    return variable(key)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings and where each came from."""

    settings: Settings
    origins: Mapping[Key, str]

    def rows(self) -> Iterator[tuple[str, Any, str]]:
        """Yield name, value (plain data, secrets masked) and origin of every setting."""
        tree = self.settings.model_dump(mode="json")
        for key in LEAVES:
            value: Any = tree
            for part in key:
                value = value[part]
            yield dotted(key), _masked(value), self.origins[key]


@dataclass(frozen=True, slots=True)
class _Layer:
    """What one source says, by path, and how to name the place."""

    values: Mapping[Key, Any]
    origin: Callable[[Key], str]
    faults: tuple[str, ...] = ()


def load(config: Path | None = None) -> Loaded:
    """Return the settings from all sources. Raises BadSettings, one line per problem."""
    layers = [*_named_layers(), *_file_layer(config or _path(CONFIG))]
    values: dict[Key, Any] = {}
    origins: dict[Key, str] = dict.fromkeys(LEAVES, DEFAULT)
    lines = _unknown_names() + [line for layer in layers for line in layer.faults]
    for layer in reversed(layers):
        for key, value in layer.values.items():
            if key in LEAVES:
                values[key], origins[key] = value, layer.origin(key)
    settings: Settings | None = None
    try:
        settings = Settings(**_nested(values))
    except ValidationError as error:
        lines += [_line(problem, origins) for problem in yaml_documents.problems(error, Settings)]
    if lines or not settings:
        raise BadSettings("\n".join(lines))
    return Loaded(settings, origins)


def _named_layers() -> Iterator[_Layer]:
    """Yield the sources that name one value at a time, highest first."""
    yield _Layer(_flat(EnvSettingsSource(Settings)()), lambda key: f"{variable(key)} in the environment")
    _readable(DOTENV)
    dotenv = DotEnvSettingsSource(Settings, env_file=DOTENV, dotenv_filtering="only_existing")
    yield _Layer(_flat(dotenv()), lambda key: f"{variable(key)} in {DOTENV}")
    folder = _path(SECRETS_DIR)
    if folder:
        _readable_folder(folder)
        try:
            secrets = NestedSecretsSettingsSource(SecretsSettingsSource(Settings, folder), secrets_prefix="")()
        except (SettingsError, OSError, ValueError) as error:
            raise BadSettings(f"{SECRETS_DIR} = {str(folder)!r}: cannot be read: {type(error).__name__}") from None
        yield _Layer(_flat(secrets), lambda key: f"{folder / '__'.join(map(str, key))}")


def _file_layer(path: Path | None) -> Iterator[_Layer]:
    if not path:
        return
    text = _text(path)
    document = yaml_documents.marked(text, str(path))
    values = _flat(document.data)
    strange = [key for key, value in values.items() if key not in LEAVES and not _empty(key, value)]
    faults = tuple(f"{_unknown(key)} (from {document.where(key)})" for key in strange)
    yield _Layer(values, document.where, faults)


def _text(path: Path) -> str:
    """Read a file of settings: a regular one, of a size that people write."""
    try:
        return durable.read(path, _MAX_FILE_BYTES).decode()
    except (OSError, ValueError) as error:  # a name may hold a zero byte
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadSettings(f"{path}: the settings file cannot be read: {why}") from None


def _readable(path: Path) -> None:
    """Refuse a file that is there and cannot be read as text, before a library stumbles over it."""
    if os.path.lexists(path) and not path.is_dir() and "\0" in _text(path):
        raise BadSettings(f"{path}: the settings file cannot be read: it holds zero bytes")


def _readable_folder(folder: Path) -> None:
    """Refuse a folder of secrets that is none, or that holds a file which cannot be read."""
    if not _is_folder(folder):
        raise BadSettings(f"{SECRETS_DIR} = {str(folder)!r}: must be a folder")
    try:
        files = [file for file in folder.iterdir() if not file.is_dir()]
    except OSError as error:
        raise BadSettings(f"{SECRETS_DIR} = {str(folder)!r}: cannot be read: {error.strerror}") from None
    known = {variable(key).removeprefix(PREFIX).lower() for key in LEAVES}
    for file in files:
        if file.name.lower() in known:
            _text(file)


def _is_folder(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except (OSError, ValueError):  # too long, or with a zero byte
        return False


def _unknown_names() -> list[str]:
    known = {variable(key) for key in LEAVES}
    dotenv = DotEnvSettingsSource(Settings, env_file=DOTENV).env_vars
    lines = []
    for names, place in ((EnvSettingsSource(Settings).env_vars, "the environment"), (dotenv, str(DOTENV))):
        for name in map(str.upper, names):
            strange = name.startswith(PREFIX) and name not in known
            if strange and not RESERVED.fullmatch(name) and not SERVICE_LINK.fullmatch(name):
                lines.append(f"{name}: no such setting; {_advice(name, known)} (from {place})")
    folder = _path(SECRETS_DIR)
    files = {variable(key).removeprefix(PREFIX).lower() for key in LEAVES}
    present = [file.name for file in sorted(folder.iterdir()) if file.is_file()] if folder else []
    strangers = [name for name in present if not name.startswith(".") and name.lower() not in files]
    return lines + [f"{name}: no such setting; {_advice(name, files)} (from {folder})" for name in strangers]


def _advice(name: str, known: set[str]) -> str:
    advice = nearest(name, known, likeness=0.8)  # the names begin alike
    return advice if advice.startswith("did you") else "`sluice config show` lists all"


def _unknown(key: Key) -> Problem:
    """Say what is wrong with a path that is no setting, by its first part that is unknown."""
    known = 0
    while known < len(key) and _above(key[: known + 1]):
        known += 1
    if known == len(key):
        return Problem(key, None, "must be a mapping of keys to values")  # the value may be a secret amiss
    name = _WORD.match(str(key[known]))  # after a word may follow, for want of a colon, the value
    word = name[0] if name else ""
    near = nearest(word, yaml_documents.keys_at(Settings, key[:known]))
    return Problem((*key[:known], word), None, f"no such setting; {near}")


def _above(key: Key) -> bool:
    return any(leaf[: len(key)] == key for leaf in LEAVES)


def _empty(key: Key, value: Any) -> bool:
    """Whether this is a section with nothing in it."""
    return value is None and bool(key) and _above(key)


def _line(problem: Problem, origins: Mapping[Key, str]) -> str:
    leaf = next((leaf for leaf in LEAVES if problem.path[: len(leaf)] == leaf), None)
    if leaf:
        secret = LEAVES[leaf].annotation is SecretStr or get_origin(LEAVES[leaf].annotation) is dict
        value = problem.value and (MASK if secret else _shortened(problem.value))
        shown = Problem(problem.path, value, problem.text)
        return f"{shown} (from {origins[leaf]})"
    said = [where for key, where in origins.items() if key[: len(problem.path)] == problem.path and where != DEFAULT]
    return f"{problem} (from {', '.join(said)})" if said else str(problem)


def _shortened(value: str) -> str:
    """Mask a value, and show no more of it than a line holds; of a very long one nothing, which takes long to mask."""
    if len(value) > _MAX_MASKED:
        return f"({len(value):,} characters)"
    masked = str(_masked(value))
    return masked if len(masked) <= _MAX_SHOWN else f"{masked[:_MAX_SHOWN]}... ({len(masked):,} characters)"


def _path(name: str) -> Path | None:
    text = os.environ.get(name, "")
    try:
        return Path(at_home(Path(text))) if text else None
    except ValueError as error:
        raise BadSettings(f"{name} = {text!r}: {error}") from None


def _flat(data: Any, above: Key = ()) -> dict[Key, Any]:
    if above in LEAVES or not isinstance(data, dict):
        return {above: data}
    found: dict[Key, Any] = {}
    for name, value in data.items():
        found |= _flat(value, (*above, name))
    return found


def _nested(values: Mapping[Key, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        branch = tree
        for part in key[:-1]:
            branch = branch.setdefault(str(part), {})
        branch[str(key[-1])] = value
    return tree


def _masked(value: Any) -> Any:
    """Return a value without what is secret in it: credentials and queries in URLs, options named like secrets."""
    if isinstance(value, str):
        return _QUERY.sub(rf"\g<1>{MASK}", _USERINFO.sub(MASK, value))
    if not isinstance(value, dict):
        return value
    return {name: MASK if _SECRET_OPTION.search(name) else item for name, item in value.items()}

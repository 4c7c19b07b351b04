"""Text that people write: YAML whose every value knows its line, and problems said in terms of what they wrote.

The YAML read here is the plain part: scalars, lists, mappings. Only `true`, `false`, `null` and numbers are special
(the core schema of YAML 1.2), so that the region `NO` stays a region; anchors, tags and repeated keys are refused.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from sluice.core.errors import BadSettings

Path = tuple[str | int, ...]
MAX_DEPTH = 20
_SCALARS: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile(r"|~|null"), lambda _: None),
    (re.compile(r"true|false"), lambda text: text == "true"),
    (re.compile(r"[-+]?[0-9]{1,18}"), int),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
)


def dotted(path: Path) -> str:
    """Return a path as people write it: `audiences[0].match`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


@dataclass(frozen=True, slots=True)
class Marked:
    """The plain data of a YAML text, and the line of each value in it."""

    data: Any
    origin: str
    lines: Mapping[Path, int]

    def where(self, path: Path) -> str:
        """Return `origin:line` of a path, or of the nearest thing around it that was written."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.origin}:{self.lines.get(path, 1)}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what was found there (None: nothing worth showing), what is allowed."""

    path: Path
    value: str | None
    text: str

    def __str__(self) -> str:
        found = f" = {self.value}" if self.value is not None else ""
        return f"{dotted(self.path)}{found}: {self.text}" if self.path else self.text


def marked(text: str, origin: str) -> Marked:
    """Parse YAML. Raises BadSettings, one line per problem, each with `origin` and line."""
    try:
        faults = _refused(text)
        root = None if faults else yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise BadSettings(f"{origin}:{_line(error.problem_mark)}: not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise BadSettings(f"{origin}: not YAML: {str(error).splitlines()[0]}") from None
    lines: dict[Path, int] = {}
    data = _plain(root, (), lines, faults) if root else {}
    if faults:
        raise BadSettings("\n".join(f"{origin}:{line}: {fault}" for line, fault in sorted(faults)))
    return Marked(data, origin, lines)


def _refused(text: str) -> list[tuple[int, str]]:
    """Return line and fault of all that would make composing this text dangerous or ambiguous."""
    faults, depth = [], 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        line = _line(event.start_mark)
        if isinstance(event, yaml.NodeEvent) and event.anchor:
            faults.append((line, "anchors and aliases are not allowed"))
        if getattr(event, "tag", None):
            faults.append((line, "tags are not allowed"))
        if depth > MAX_DEPTH:
            faults.append((line, f"nested deeper than {MAX_DEPTH}"))
            break
    return faults


def _plain(node: yaml.Node, path: Path, lines: dict[Path, int], faults: list[tuple[int, str]]) -> Any:
    lines.setdefault(path, _line(node.start_mark))
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, index), lines, faults) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key, line = str(key_node.value), _line(key_node.start_mark)
        if key in found:
            faults.append((line, f"{dotted((*path, key))}: is there twice"))
        lines[*path, key] = line
        found[key] = _plain(value_node, (*path, key), lines, faults)
    return found


def _line(mark: Any) -> int:
    return mark.line + 1 if mark else 1


def _scalar(node: yaml.ScalarNode) -> Any:
    if node.style is None:  # plain: neither quoted nor a block
        for pattern, convert in _SCALARS:
            if pattern.fullmatch(node.value):
                return convert(node.value)
    return node.value


def problems(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Return what a validation found in terms of the input: one problem per place, in the order found."""
    found: dict[Path, Problem] = {}
    for item in error.errors(include_url=False, include_context=False):
        path = tuple(part for part in item["loc"] if part != "[key]")
        if item["type"] == "extra_forbidden":
            problem = Problem(path, None, f"unknown; {nearest(str(path[-1]), keys_at(model, path[:-1]))}")
        elif item["type"] == "missing":
            problem = Problem(path, None, "is required")
        else:
            path = _known_part(model, path)
            value = None if "[key]" in item["loc"] else _shown(item["input"])
            mapping = item["type"] in ("model_type", "dict_type")
            problem = Problem(path, value, "must be a mapping of keys to values" if mapping else _said(item["msg"]))
        known = found.get(path)
        found[path] = Problem(path, problem.value, f"{known.text}, or {problem.text}") if known else problem
    return list(found.values())


def nearest(name: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """Return the advice for an unknown name: the likeliest known one, else all of them."""
    known = sorted(known)
    likely = difflib.get_close_matches(name, known, n=1, cutoff=likeness)
    return f"did you mean {likely[0]}?" if likely else f"known are {', '.join(known)}"


def keys_at(model: type[BaseModel], path: Path) -> list[str]:
    """Return the names allowed at `path` below `model`; none where any key may stand."""
    kind = _kind_at(model, path)
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _kind_at(kind: Any, path: Path) -> Any:
    for part in path:
        kind = _below(kind, part)
    return kind


def _below(kind: Any, part: str | int) -> Any:
    if get_origin(kind) in (Union, UnionType):
        kind = next(option for option in get_args(kind) if option is not type(None))
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(part))
        return field.annotation if field else None
    arguments = get_args(kind)
    if get_origin(kind) is dict:
        return arguments[1]
    return arguments[0] if get_origin(kind) in (list, tuple) and isinstance(part, int) else None


def _known_part(model: type[BaseModel], path: Path) -> Path:
    """Drop what pydantic adds to a place to say which member of a union it tried."""
    while path and _kind_at(model, path) is None:
        path = path[:-1]
    return path


def _shown(value: Any) -> str | None:
    return repr(value) if isinstance(value, str | int | float | bool) else None


def _said(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return re.sub(r"^(Input|String|List|Tuple|Dictionary) should ", "must ", message)

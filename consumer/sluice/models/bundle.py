"""Read a bundle of weights that was found by `files`: verified, shaped as it claims, with a tokenizer that fits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import CLIPConfig, CLIPTokenizer

from sluice.core.errors import WeightsNotAttested
from sluice.models.files import Files, VerifyReport, hashed, locate
from sluice.models.layout import Shapes, Weights, checker_shapes, clip_shapes, read_config, read_weights

WEIGHTS = "model.safetensors"
SHAPES: Mapping[str, Callable[[CLIPConfig], Shapes]] = {"clip": clip_shapes, "safety_checker": checker_shapes}
"""What the checkpoint in each folder must hold."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle in memory: two checkpoints by canonical names, their configurations, the tokenizer."""

    name: str
    revision: str
    clip_config: CLIPConfig
    clip: Weights
    checker_config: CLIPConfig
    checker: Weights
    tokenizer: Any  # transformers' tokenizers are untyped


def verify(files: Files) -> VerifyReport:
    """Hash every file, compare it with its pin, and read the weights as loading does."""
    found = hashed(files)
    reports = [replace(report, problem=report.problem or _unreadable(files, report.name)) for report in found.files]
    return replace(found, files=tuple(reports))


def read(name: str) -> Bundle:
    """Find, verify and read a bundle. Raises WeightsNotAttested naming the file, and the key where there is one."""
    files = locate(name)
    for report in hashed(files).files:
        if report.problem:
            raise WeightsNotAttested(f"{report.path}: {report.problem}")
    (clip_config, clip), (checker_config, checker) = (_checkpoint(files, part) for part in SHAPES)
    return Bundle(
        name=files.name,
        revision=files.revision,
        clip_config=clip_config,
        clip=clip,
        checker_config=checker_config,
        checker=checker,
        tokenizer=_tokenizer(files.paths["clip/config.json"].parent, clip_config),
    )


def _checkpoint(files: Files, part: str) -> tuple[CLIPConfig, Weights]:
    config = read_config(files.paths[f"{part}/config.json"])
    return config, read_weights(files.paths[f"{part}/{WEIGHTS}"], SHAPES[part](config))


def _unreadable(files: Files, name: str) -> str:
    """Say why a file of weights does not load; empty when it does, and for any other file."""
    part, _, file = name.partition("/")
    if file != WEIGHTS:
        return ""
    try:
        _checkpoint(files, part)
    except WeightsNotAttested as error:
        return str(error)
    return ""


def _tokenizer(folder: Path, config: CLIPConfig) -> Any:
    """Read the tokenizer and check that it fits the text tower."""
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        start, end = tokenizer("", verbose=False)["input_ids"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WeightsNotAttested(f"{folder}: not a CLIP tokenizer ({type(error).__name__})") from error
    text: Any = config.text_config
    if max(len(tokenizer), start + 1, end + 1) > text.vocab_size:
        raise WeightsNotAttested(f"{folder}: the tokenizer has more tokens than the text tower's {text.vocab_size}")
    # Configurations of before transformers#24773 say 2; there the pooled position is that of the largest id.
    legacy = text.eos_token_id == 2  # noqa: PLR2004
    if end != (len(tokenizer) - 1 if legacy else text.eos_token_id):
        raise WeightsNotAttested(f"{folder}: the tokenizer's end-of-text {end} is not where the text tower pools")
    return tokenizer

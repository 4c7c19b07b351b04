"""Find a bundle's files and hash them: `starter`, `openai`, or a folder. Nothing is loaded, so no torch is needed.

A folder holds `clip/` and `safety_checker/` (each `config.json` and `model.safetensors`; the tokenizer in `clip/`) and
may hold `bundle.json` with `name`, `revision` and `sha256`, a mapping from relative file names to lower-case hex
SHA-256. With it, every file that is read must be listed and match; a file that is not pinned does not get in.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sluice.core import durable
from sluice.core.errors import BadSettings, WeightsNotAttested
from sluice.models import hub
from sluice.models.digest import sha256_of
from sluice.settings.section import at_home

STARTER = Path(__file__).parent / "starter"
REQUIRED = (
    "clip/config.json",
    "clip/model.safetensors",
    "safety_checker/config.json",
    "safety_checker/model.safetensors",
)
TOKENIZER = (
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
PINS = "bundle.json"
PICKLES = ("pytorch_model.bin", "model.ckpt", "model.pt")


@dataclass(frozen=True, slots=True)
class Files:
    """Where a bundle's files are, by relative name, and what their SHA-256 must be."""

    name: str
    revision: str
    paths: Mapping[str, Path]
    pins: Mapping[str, str] = field(default_factory=dict)
    pinned: bool = False
    """Whether a file without a pin is refused."""


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file of a bundle: its hash, and what is wrong with it, if anything."""

    name: str
    path: Path
    sha256: str
    pinned: bool
    problem: str = ""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """Every file of a bundle."""

    bundle: str
    revision: str
    files: tuple[FileReport, ...]

    @property
    def differs(self) -> bool:
        """Whether some file has a problem."""
        return any(file.problem for file in self.files)

    @property
    def pinned(self) -> bool:
        """Whether it is recorded what every file must be; else nothing was compared."""
        return all(file.pinned for file in self.files)

    @property
    def ok(self) -> bool:
        """Whether every file is pinned and is what its pin says."""
        return self.pinned and not self.differs


def locate(name: str) -> Files:
    """Find a bundle's files. Raises BadSettings without a name, WeightsNotAttested when files are missing."""
    if not name:
        raise BadSettings(
            "models.bundle is not set",
            setting="models.bundle",
            remedy="set SLUICE_MODELS__BUNDLE to openai (and run `sluice models fetch`), a folder, or starter (demo)",
        )
    if name == "openai":
        return _found(Files("openai", hub.REVISION, hub.cached(), hub.pins(), pinned=True))
    files = _folder(STARTER if name == "starter" else _at_home(name))
    if name == "starter" and not files.pinned:
        raise WeightsNotAttested(f"{STARTER / 'bundle.json'} is missing", remedy="reinstall the package")
    return files


def _at_home(name: str) -> Path:
    try:
        return Path(at_home(Path(name)))
    except ValueError as error:
        raise BadSettings(f"models.bundle = {name!r}: {error}", setting="models.bundle") from None


def pin(folder: Path) -> Path:
    """Write down, by SHA-256, that a folder's files must be what they are now; return where.

    A name and a revision that stand there stay. Raises WeightsNotAttested as `locate` does, OSError.
    """
    about = folder / PINS
    label, revision, _ = _described(about) if about.is_file() else (folder.resolve().name, "", {})
    found = _found(Files(label, revision, _paths(folder)))
    pins = {name: sha256_of(path) for name, path in sorted(found.paths.items())}
    durable.write(about, json.dumps({"name": label, "revision": revision, "sha256": pins}, indent=2) + "\n")
    return about


def hashed(files: Files) -> VerifyReport:
    """Hash every file and compare it with its pin."""
    return VerifyReport(files.name, files.revision, tuple(_verify(files, name) for name in sorted(files.paths)))


def _folder(folder: Path) -> Files:
    if not folder.is_dir():
        raise WeightsNotAttested(
            f"{folder}: no such folder; models.bundle is `openai`, `starter` or a bundle's folder",
            setting="models.bundle",
        )
    about = folder / PINS
    if not about.is_file():
        return _found(Files(folder.resolve().name, "", _paths(folder)))
    label, revision, pins = _described(about)
    return _found(Files(label, revision, _paths(folder), pins, pinned=True))


def _paths(folder: Path) -> dict[str, Path]:
    names = (*REQUIRED, *(f"clip/{name}" for name in TOKENIZER))
    return {name: folder / name for name in names if (folder / name).is_file() or name in REQUIRED}


def _described(about: Path) -> tuple[str, str, dict[str, str]]:
    """Return name, revision and pins of a bundle."""
    try:
        facts = json.loads(about.read_bytes())
        pins = {str(name): str(sha256) for name, sha256 in facts["sha256"].items()}
        return str(facts.get("name", about.resolve().parent.name)), str(facts.get("revision", "")), pins
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsNotAttested(f"{about}: not a bundle description ({type(error).__name__})") from error


def _found(files: Files) -> Files:
    """Refuse a bundle that lacks a file, with the command that mends it."""
    for name in REQUIRED:
        path = files.paths.get(name)
        if path is None or not path.is_file():
            raise _missing(files, name, path)
    if "clip/tokenizer.json" not in files.paths and not {"clip/vocab.json", "clip/merges.txt"} <= files.paths.keys():
        raise WeightsNotAttested(f"{files.paths['clip/config.json'].parent}: no tokenizer (tokenizer.json)")
    return files


def _missing(files: Files, name: str, path: Path | None) -> WeightsNotAttested:
    if files.name == "openai":
        said = f"{hub.describe(name)} is not in the hub cache (docs/weights.md)"
        return WeightsNotAttested(said, remedy="run `sluice models fetch`")
    pickle = next((path.with_name(other) for other in PICKLES if path and path.with_name(other).is_file()), None)
    if pickle:
        said = f"{path} is missing, but {pickle.name} is there"
        return WeightsNotAttested(said, remedy=f"run `sluice models convert {pickle}`")
    holds = f"a bundle holds {', '.join(REQUIRED)} and a tokenizer in clip/"
    return WeightsNotAttested(f"{path} is missing", remedy=f"{holds}; see docs/weights.md")


def _verify(files: Files, name: str) -> FileReport:
    path, pin = files.paths[name], files.pins.get(name, "")
    sha256 = sha256_of(path)
    problem = ""
    if pin and sha256 != pin:
        problem = f"SHA-256 is {sha256}, pinned is {pin}"
    elif files.pinned and not pin:
        problem = "this file's SHA-256 is not pinned" + (
            "; run `sluice models fetch`"
            if files.name == "openai"
            else "; run `sluice models pin FOLDER` once you know that it is right"
        )
    return FileReport(name, path, sha256, bool(pin), problem)

"""The `openai` bundle: the real safety checker and CLIP ViT-L/14, from the model hub's cache at pinned revisions.

The licence of the checker's weights is unclear, so they are never shipped. They exist at the pinned revision as a
pickle only; `fetch` checks its SHA-256, converts it once, and says so.

SHA-256 that several independent public documents agree on are pinned here. The others (the checker's configuration,
and the converted file, whose bytes depend on the safetensors version) are recorded at the first fetch in
`sluice-models.lock.json`: trust on first fetch, compared ever after.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError

from sluice.core import durable
from sluice.core.errors import WeightsNotAttested
from sluice.models.digest import sha256_of

if TYPE_CHECKING:
    from sluice.models.convert import ConvertReport


class Repository(NamedTuple):
    """Files of one hub repository at one revision, and the folder of the bundle they make."""

    folder: str
    id: str
    revision: str
    files: tuple[str, ...]


CLIP = Repository(
    "clip",
    "openai/clip-vit-large-patch14",
    "32bd64288804d66eefd0ccbe215aa642df71cc41",
    (
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.json",
        "merges.txt",
    ),
)
CHECKER = Repository(
    "safety_checker",
    "CompVis/stable-diffusion-safety-checker",
    "cb41f3a270d63d454d385fc2e4f571c487c253c5",
    ("config.json", "pytorch_model.bin"),
)
REVISION = f"{CLIP.revision[:12]}+{CHECKER.revision[:12]}"
PICKLE = "safety_checker/pytorch_model.bin"
CONVERTED = "safety_checker/model.safetensors"
PUBLISHED: Mapping[str, str] = {
    "clip/config.json": "8a09b467700c58138c29d53c605b34ebc69beaadd13274a8a2af8ad2c2f4032a",
    "clip/merges.txt": "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a",
    "clip/model.safetensors": "a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb",
    "clip/special_tokens_map.json": "f8c0d6c39aee3f8431078ef6646567b0aba7f2246e9c54b8b99d55c22b707cbf",
    "clip/tokenizer.json": "a83e0809aa4c3af7208b2df632a7a69668c6d48775b3c3fe4e1b1199d1f8b8f4",
    "clip/tokenizer_config.json": "deef455e52fa5e8151e339add0582e4235f066009601360999d3a9cda83b1129",
    "clip/vocab.json": "3f0c4f7d2086b61b38487075278ea9ed04edb53a03cbb045b86c27190fa8fb69",
    PICKLE: "64b8393f1afd5a0c1ed2aa5f341fa7c08286839a48f3743162a76a2835c808bd",
}

Download = Callable[[str, str, str], str]
"""(repository, file, revision) -> path in the cache; raises OSError when it is not to be had."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """One file of the bundle: where it is, and how its SHA-256 came to be trusted."""

    name: str
    path: Path
    sha256: str
    trust: str
    """`published`, `lock`, `first fetch` or `converted`."""


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What a fetch brought, and the lock file that remembers it."""

    files: tuple[Fetched, ...]
    lock: Path
    conversion: "ConvertReport | None"


def cached() -> dict[str, Path]:
    """Return the bundle's files that are in the hub cache, by their name in the bundle; asks no network."""
    found = {}
    for repository in (CLIP, CHECKER):
        for file in repository.files:
            path = huggingface_hub.try_to_load_from_cache(repository.id, file, _cache(), repository.revision)
            if isinstance(path, str):
                found[f"{repository.folder}/{file}"] = Path(path)
    found.pop(PICKLE, None)
    if _converted().is_file():
        found[CONVERTED] = _converted()
    return found


def pins() -> dict[str, str]:
    """Return the SHA-256 of every file that is published or was recorded at the first fetch."""
    return {**_read_lock(lock_path()), **PUBLISHED}


def describe(name: str) -> str:
    """Say where a file of the bundle comes from."""
    folder, _, file = name.partition("/")
    repository = CLIP if folder == CLIP.folder else CHECKER
    return f"{repository.id}@{repository.revision[:12]} {file}"


def lock_path() -> Path:
    """Return the file that remembers what the first fetch brought."""
    return _cache() / "sluice" / "sluice-models.lock.json"


def fetch(download: Download | None = None) -> FetchReport:
    """Bring the bundle into the hub cache, check or record every SHA-256, and convert the one pickle.

    `HF_HUB_OFFLINE` is respected: then only what the cache has is checked and recorded. Raises WeightsNotAttested
    when a file is not to be had or is not the one that was published or recorded.
    """
    from sluice.models.convert import convert  # which imports torch: to look into the cache takes none

    lock = _read_lock(lock_path())
    files = [
        _fetch(download or _download, repository, file, lock)
        for repository in (CLIP, CHECKER)
        for file in repository.files
    ]
    pickle = next(file for file in files if file.name == PICKLE)
    conversion = None
    if not _converted().is_file():
        conversion = convert(pickle.path, _converted(), sha256=pickle.sha256)
    files.append(_trust(CONVERTED, _converted(), lock, fresh="converted" if conversion else "first fetch"))
    _write_lock(lock_path(), {file.name: file.sha256 for file in files if file.name not in PUBLISHED})
    return FetchReport(tuple(files), lock_path(), conversion)


def _fetch(download: Download, repository: Repository, file: str, lock: Mapping[str, str]) -> Fetched:
    try:
        path = Path(download(repository.id, file, repository.revision))
    except (OSError, HfHubHTTPError) as error:
        raise WeightsNotAttested(
            f"{repository.id}@{repository.revision[:12]} {file} could not be fetched ({type(error).__name__})",
            remedy="connect this machine to the hub, copy a filled cache here (HF_HUB_CACHE), or bring the files "
            "by hand (docs/weights.md); "
            "`sluice moderate --bundle starter --policy opinions` needs no hub",
        ) from error
    return _trust(f"{repository.folder}/{file}", path, lock, fresh="first fetch")


def _trust(name: str, path: Path, lock: Mapping[str, str], *, fresh: str) -> Fetched:
    sha256 = sha256_of(path)
    for pin, trust in ((PUBLISHED.get(name), "published"), (lock.get(name) if fresh != "converted" else None, "lock")):
        if pin and sha256 != pin:
            raise WeightsNotAttested(
                f"{path}: SHA-256 is {sha256}, {trust} is {pin}", remedy="remove the file and fetch again"
            )
        if pin:
            return Fetched(name, path, sha256, trust)
    return Fetched(name, path, sha256, fresh)


def _download(repository: str, file: str, revision: str) -> str:
    return str(huggingface_hub.hf_hub_download(repository, file, revision=revision, cache_dir=_cache()))


def _cache() -> Path:
    return Path(constants.HF_HUB_CACHE)


def _converted() -> Path:
    return _cache() / "sluice" / CHECKER.revision / "model.safetensors"


def _read_lock(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        return {str(name): str(sha256) for name, sha256 in json.loads(path.read_bytes())["sha256"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WeightsNotAttested(
            f"{path}: not a lock file ({type(error).__name__})", remedy="remove it and fetch again"
        ) from error


def _write_lock(path: Path, sha256: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {"revision": REVISION, "sha256": dict(sorted(sha256.items()))}
    durable.write(path, json.dumps(plain, indent=2) + "\n")

"""Carry what the other machine lacks: `fetch` here, then `install` there, where only the standard library is needed.

    python -m tests.bench.gpu.wheels fetch DIR [--python 3.12] [--without NAME ...]
    python3 tests/bench/gpu/wheels.py install DIR ENVIRONMENT

`fetch` puts the wheels of Sluice, of the demo's broker and of all they need into DIR, in the versions that are
installed here, but for torch, what torch alone needs, and what else is named. `install` makes an environment that has
them first and everything of the Python it was started with behind them, CUDA's torch above all.
"""

import argparse
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).parents[3]
OURS = ("sluice", "sluice-schemas", "sluice-sim")
NEEDED = (*OURS, "noida-db", "psutil", "pytest")
THERE = ("torch", "pip", "setuptools")
PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in (17, 24, 26, 27, 28, 31, 34)),
    *(f"manylinux{year}_x86_64" for year in (2014, 2010, 1)),
)
_NAME = re.compile(r"[\w.-]+")


def needs(names: Iterable[str], without: Iterable[str]) -> dict[str, str]:
    """Return the version installed here of each distribution, and of all that they need, by name."""
    found: dict[str, str] = {}
    known = {_plain(name) for name in without}
    waiting = [_plain(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in known:
            continue
        known.add(name)
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue  # for another system, or an extra that nobody asked for
        found[name] = package.version
        waiting += _required(package.requires or ())
    return found


def _required(lines: Iterable[str]) -> Iterator[str]:
    """Read names off requirements, those of the extras that a consumer and its schemas need included."""
    for line in lines:
        requirement, _, marker = line.partition(";")
        if "extra ==" in marker and not re.search(r"extra == ['\"](registry|signing|moderator)['\"]", marker):
            continue
        match = _NAME.match(requirement)
        if match:
            yield _plain(match[0])


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def fetch(folder: Path, python: str, without: Sequence[str]) -> None:
    """Download wheels for x86-64 Linux and this Python, and build our own."""
    folder.mkdir(parents=True, exist_ok=True)
    pinned = [f"{n}=={v}" for n, v in sorted(needs(NEEDED, (*THERE, *without)).items()) if n not in OURS]
    platforms = [f"--platform={platform}" for platform in PLATFORMS]
    target = ["--no-deps", "--only-binary=:all:", "--implementation=cp", f"--python-version={python}", *platforms]
    _pip("download", "--quiet", *target, "--dest", str(folder), *pinned)
    _pip(
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder),
        ".",
        "./schemas",
        "./producer_sim",
    )


def install(folder: Path, environment: Path) -> None:
    """Make an environment of the wheels, with the packages of this Python behind them."""
    venv.create(environment, with_pip=False, clear=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = environment / "lib" / version / "site-packages"
    (packages / "behind.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    wheels = sorted(map(str, folder.glob("*.whl")))
    python = str(environment / "bin" / "python")
    offline = ["--no-index", "--no-deps", "--ignore-installed", "--quiet"]
    _pip("--python", python, "install", *offline, *wheels)


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments], cwd=ROOT, check=True)


def main() -> None:
    """Do what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    fetching = commands.add_parser("fetch")
    fetching.add_argument("folder", type=Path)
    fetching.add_argument("--python", default="3.12")
    fetching.add_argument("--without", nargs="*", default=())
    installing = commands.add_parser("install")
    installing.add_argument("folder", type=Path)
    installing.add_argument("environment", type=Path)
    given = parser.parse_args()
    if given.command == "fetch":
        fetch(given.folder.resolve(), given.python, given.without)
    else:
        install(given.folder.resolve(), given.environment.resolve())


if __name__ == "__main__":
    main()

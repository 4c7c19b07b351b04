"""Fuzz with coverage: `python -m tests.fuzz [TARGET...] --seconds 60`. Needs the extra `fuzz`.

Each target runs in a process of its own, from its seeds; what breaks a promise, takes ten seconds or 2 GiB is kept
under `--findings`. Exits 1 when there is any.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LIMITS = ("-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1", "-close_fd_mask=1")


def main() -> int:
    """Run every target in turn, or be one of them."""
    options = _options()
    if options.be:
        _be(options.be, options.arguments)
    sys.stdout.write(f"{'target':12} {'executions':>10} {'branches':>8} {'features':>8} {'corpus':>6}  findings\n")
    return max(_fuzz(name, options.seconds, options.findings) for name in options.arguments or _names())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("arguments", nargs="*", metavar="TARGET", help="All of them unless named.")
    parser.add_argument("--seconds", type=int, default=60, help="For each target.")
    parser.add_argument("--findings", type=Path, default=HERE / "findings", help="Where findings are kept.")
    parser.add_argument("--be", help=argparse.SUPPRESS)
    return parser.parse_args()


def _names() -> list[str]:
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - a child imports it only when it is instrumented

    return list(TARGETS)


def _fuzz(name: str, seconds: int, findings: Path) -> int:
    """Run one target in a process and print one line; return 1 when something was found."""
    kept = findings / name
    with tempfile.TemporaryDirectory() as corpus, tempfile.TemporaryDirectory() as found:
        command = [sys.executable, "-m", "tests.fuzz", "--be", name, "--", corpus]
        limits = [*LIMITS, f"-max_total_time={seconds}", f"-artifact_prefix={found}/"]
        said = subprocess.run([*command, *limits], capture_output=True, text=True, check=False, errors="replace")
        fresh = list(Path(found).iterdir())
        for path in fresh:
            kept.mkdir(parents=True, exist_ok=True)
            (kept / path.name).write_bytes(path.read_bytes())
    sys.stdout.write(f"{name:12} {_figures(said.stderr)}  {len(fresh)}\n")
    sys.stdout.flush()
    if said.returncode:
        sys.stderr.write(said.stdout[-3000:] + said.stderr[-5000:])
    return int(said.returncode != 0)


def _figures(said: str) -> str:
    runs = re.search(r"number_of_executed_units:\s+(\d+)", said)
    last = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", said)
    branches, features, corpus = last[-1] if last else ("-", "-", "-")
    return f"{runs[1] if runs else '-':>10} {branches:>8} {features:>8} {corpus:>6}"


def _be(name: str, arguments: list[str]) -> None:
    """Become a fuzzer of one target; does not return."""
    atheris: Any = import_module("atheris")  # an extra, and without types
    with atheris.instrument_imports(include=["sluice", "sluice_schemas", "PIL", "yaml", "httpx", "fastavro"]):
        from sluice_schemas import source  # noqa: PLC0415 - see above

        compiled = source.Code.function

        def watched(code: source.Code, name: str) -> Any:
            return atheris.instrument_func(compiled(code, name))

        source.Code.function = watched  # type: ignore[method-assign, assignment]  # what is compiled was not imported
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - see above

    target = TARGETS[name]
    for index, seed in enumerate(target.seeds()):
        (Path(arguments[0]) / f"seed-{index}").write_bytes(seed)
        target.run(seed)
    source.Code.function = compiled  # type: ignore[method-assign]  # counters are never given back
    atheris.Setup([name, *arguments, f"-max_len={target.max_bytes}"], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())

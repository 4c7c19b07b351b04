"""The image, as far as it can be told without building it: unprivileged, without weights, answering for itself."""

import json
import re
import shlex
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from sluice.settings import sources

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"
LINES = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
ALLOWED = [line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"]


def instructions(name: str, stage: str | None = None) -> list[str]:
    """Return what follows an instruction, in order; of one stage, or of all."""
    found, current = [], ""
    for line in LINES:
        word, _, rest = line.partition(" ")
        if word == "FROM":
            current = rest.split()[-1]
        if word == name and stage in {None, current}:
            found.append(rest.strip())
    return found


def environment() -> dict[str, str]:
    """Return the variables the image sets."""
    pairs = (pair.partition("=") for text in instructions("ENV") for pair in shlex.split(text))
    return {name: value for name, _, value in pairs}


@contextmanager
def answering(status: int) -> Iterator[int]:
    """Answer every request with `status`; give the port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/livez" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_the_linter_has_nothing_to_say() -> None:
    linter = Path(sysconfig.get_path("scripts")) / "hadolint"
    done = subprocess.run([linter, DOCKERFILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("stage", ["cpu", "cuda"])
def test_nobody_runs_as_root(stage: str) -> None:
    """The number, not a name: Kubernetes' runAsNonRoot cannot look names up."""
    assert instructions("USER", stage)[-1] == "65532:65532"
    assert "--uid 65532" in " ".join(instructions("RUN", "cpu"))


def test_base_images_are_pinned_to_a_release() -> None:
    assert re.fullmatch(r"PYTHON=3\.11\.\d+-slim-\w+", instructions("ARG")[0])
    assert instructions("ARG")[1] == "PYTHON_DIGEST="
    base = "python:${PYTHON}${PYTHON_DIGEST:+@${PYTHON_DIGEST}}"  # `name:tag`, or with a digest `name:tag@digest`
    assert {line.split()[0] for line in instructions("FROM")} == {base, "cpu"}


def test_signals_reach_the_command() -> None:
    """A shell in between would keep SIGTERM for itself."""
    assert instructions("ENTRYPOINT") == ['["tini", "--", "sluice"]']
    assert instructions("CMD") == ['["run"]']


def test_what_it_sets_are_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert any(name.startswith("SLUICE_") for name in environment())
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    loaded = sources.load()
    assert str(loaded.settings.telemetry.http_port) in instructions("EXPOSE")


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_its_health_is_that_of_the_loop(status: int, healthy: bool) -> None:  # noqa: FBT001
    """The very command of the health check, asked of a port of ours."""
    [check] = instructions("HEALTHCHECK")
    command = check.partition("CMD ")[2]
    port = environment()["SLUICE_TELEMETRY__HTTP_PORT"]
    assert command.count(port) == 1
    with answering(status) as ours:
        _, option, code = json.loads(command.replace(port, str(ours)))
        done = subprocess.run([sys.executable, option, code], capture_output=True, check=False, timeout=60)
    assert (done.returncode == 0) is healthy, done.stderr


def test_the_builder_sees_what_the_packages_are_made_of_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = {project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml", "constraints.txt"}
    named |= {"requirements"}
    made_of = {Path(package).parts[0] for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    assert set(ALLOWED) == named | made_of | {"schemas", "producer_sim"}


def test_no_weights_but_the_starter_bundle_go_to_the_builder() -> None:
    weights = {
        path.relative_to(ROOT / "consumer/sluice/models").parts[0]
        for folder in ALLOWED
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".safetensors", ".bin", ".pt", ".onnx"}
    }
    assert weights == {"starter"}

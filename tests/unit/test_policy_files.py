"""Policy files: what they may say, and how every mistake is named by file, line and key."""

from pathlib import Path

import pytest

from sluice import policies
from sluice.core.errors import BadSettings
from sluice.moderation.policy import ConceptRule, CoverageRule, Match, OpinionRule, Overlay, Policy, Rules
from sluice.settings import Policy as PolicySettings
from sluice_schemas import Status

FULL = """\
id: house
version: 7
reference: REVIEW
any_concept: BLUR
strength: 0.01
concepts:
  sd.c01: {action: BLOCK, offset: -0.02, threshold: 0.25}
  sd.s02: {offset: 1}
opinions:
  - {model: nudenet, label: EXPOSED, at_least: 0.6, action: REVIEW}
coverage: {below: 0.9, action: BLOCK}
audiences:
  - name: minors
    match: {age_tier: [child, null], region: [NO, "true"]}
    strength: 0.02
    concepts:
      sd.c02: {action: BLOCK}
"""
LENIENT_OVERLAY = """\
id: a
version: 1
audiences:
  - {name: x, match: {region: [DE]}, reference: ALLOW, any_concept: ALLOW}
"""


def refusal(text: str) -> list[str]:
    with pytest.raises(BadSettings) as caught:
        policies.parse(text, "p.yaml")
    return str(caught.value).splitlines()


def test_a_file_says_everything_a_policy_can() -> None:
    rules = Rules(
        reference=Status.REVIEW,
        any_concept=Status.BLUR,
        strength=0.01,
        concepts={"sd.c01": ConceptRule(Status.BLOCK, -0.02, 0.25), "sd.s02": ConceptRule(offset=1.0)},
        opinions=(OpinionRule("nudenet", "EXPOSED", 0.6, Status.REVIEW),),
        coverage=CoverageRule(0.9, Status.BLOCK),
    )
    minors = Overlay(
        name="minors",
        match=Match(age_tier=frozenset({"child", None}), region=frozenset({"NO", "true"})),
        strength=0.02,
        concepts={"sd.c02": ConceptRule(Status.BLOCK)},
    )
    assert policies.parse(FULL, "p.yaml") == Policy.of("house", 7, rules, [minors])


def test_layout_and_comments_do_not_change_the_digest() -> None:
    text = "version: 1 # first\nid: 'a'\n"
    assert policies.parse(text, "x").ref == policies.parse("{id: a, version: 1, strength: 0}", "y").ref


def test_an_unknown_concept_is_named_with_file_and_line() -> None:
    text = FULL.replace("sd.s02", "sd.c99")
    assert refusal(text) == [
        "p.yaml:8: concepts.sd.c99: unknown concept; known are sd.c01..sd.c17 and sd.s01..sd.s03",
    ]


def test_all_mistakes_are_named_at_once() -> None:
    text = (
        FULL.replace("version: 7", "version: 0")
        .replace("strength: 0.01", "strenght: 0.01")
        .replace("action: BLOCK, offset", "action: BLOK, offset")
        .replace("at_least: 0.6, ", "")
        .replace("strength: 0.02", "strength: .nan")
    )
    assert sorted(refusal(text), key=lambda line: int(line.split(":")[1])) == [
        "p.yaml:2: version = 0: must be greater than or equal to 1",
        "p.yaml:5: strenght: unknown; did you mean strength?",
        "p.yaml:7: concepts.sd.c01.action = 'BLOK': must be 'ALLOW', 'BLUR', 'REVIEW' or 'BLOCK'",
        "p.yaml:10: opinions[0].at_least: is required",
        "p.yaml:15: audiences[0].strength = '.nan': must be a valid number",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("id: a\nid: b\nversion: 1\n", "p.yaml:2: id: is there twice"),
        ("id: &x a\nversion: 1\n", "p.yaml:1: anchors and aliases are not allowed"),
        ("id: a\nversion: !!int 1\n", "p.yaml:2: tags are not allowed"),
        ("id: [\n", "p.yaml:2: not YAML: expected the node content, but found '<stream end>'"),
        ("id: \x00", "p.yaml: not YAML: unacceptable character #x0000: special characters are not allowed"),
        ("[" * 10_000, "p.yaml:1: nested deeper than 20"),
        ("just text", "p.yaml:1: must be a mapping of keys to values"),
        ("id: a\nversion: 1\nconcepts: 5\n", "p.yaml:3: concepts = 5: must be a mapping of keys to values"),
        (
            "id: a\nversion: 1\naudiences:\n  - name: x\n    match: {}\n",
            "p.yaml:5: audiences[0].match: must name at least one of region, age_tier, surface",
        ),
        (
            "id: a\nversion: 1\nreference: ALLOW\nany_concept: ALLOW\n",
            "p.yaml:1: no rule restricts anything: every image would be allowed",
        ),
        (
            LENIENT_OVERLAY,
            "p.yaml:1: no rule restricts anything: for audience x every image would be allowed",
        ),
    ],
)
def test_what_is_refused_and_how(text: str, line: str) -> None:
    assert refusal(text) == [line]


def test_an_empty_file_lacks_its_name_and_version() -> None:
    assert refusal("") == ["p.yaml:1: id: is required", "p.yaml:1: version: is required"]


@pytest.mark.parametrize("name", policies.PRESETS)
def test_a_preset_bears_its_name(name: str) -> None:
    assert policies.preset(name).ref.id == name


def test_settings_choose_a_file_else_a_preset(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(FULL)
    assert policies.chosen(PolicySettings(file=file)).ref.id == "house"
    assert policies.chosen(PolicySettings()).ref.id == "balanced"
    assert policies.chosen(PolicySettings(preset="diffusers-exact")).ref.id == "diffusers-exact"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"absent\.yaml: the policy cannot be read: No such file or directory"):
        policies.read(tmp_path / "absent.yaml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(BadSettings, match="it is not UTF-8 text"):
        policies.read(tmp_path / "binary")


def test_the_example_of_the_documentation_is_a_policy() -> None:
    text = (Path(__file__).parents[2] / "docs/policy.md").read_text("utf-8")
    example = policies.parse(text.partition("```yaml\n")[2].partition("```")[0], "docs/policy.md")
    assert example.ref.id == "house"
    assert example.overlays[0].match.age_tier == {"child", "teen", None}

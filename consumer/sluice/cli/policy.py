"""`sluice policy`: whether a policy can be used, and what it says."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sluice import policies
from sluice.cli.frame import AsJson, emit, named_path, settings_of, show
from sluice.moderation.policy import Match, Overlay, Policy, Rules
from sluice_schemas import Status

app = typer.Typer(no_args_is_help=True, help="Policies: check a file, show what one says.")

Row = tuple[str, str, str, str]


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", parser=named_path, help="Policy file (YAML).")],
    as_json: AsJson = False,
) -> None:
    """Check a policy file; every problem is named by file, line and key."""
    ref = policies.read(file).ref
    if as_json:
        emit(asdict(ref))
    else:
        show(("policy", "version", "digest"), [(ref.id, ref.version, ref.digest)])


@app.command("show")
def show_policy(
    context: typer.Context,
    policy: Annotated[str, typer.Argument(help="A preset or a file; without it the policy of the settings.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show the rules of a policy: of the settings', of a preset, or of a file."""
    found = _found(context, policy)
    if as_json:
        emit(_plain(found))
        return
    ref = found.ref
    show(("for", "rule", "fires when", "then"), _rows(found), title=f"{ref.id} version {ref.version} ({ref.digest})")


def _found(context: typer.Context, name: str) -> Policy:
    if not name:
        return policies.chosen(settings_of(context).policy)
    if name in policies.PRESETS:
        return policies.preset(name)
    if not named_path(name).exists():
        presets = ", ".join(policies.PRESETS)
        raise typer.BadParameter(f"{name} is no file and no preset; presets are {presets}", param_hint="POLICY")
    return policies.read(named_path(name))


def _plain(policy: Policy) -> dict[str, object]:
    """Return the policy as JSON data; the sets of a match become sorted lists."""
    overlays = [asdict(overlay) | {"match": _matched(overlay.match)} for overlay in policy.overlays]
    return {**asdict(policy.ref), "rules": asdict(policy.rules), "audiences": overlays}


def _rows(policy: Policy) -> Iterator[Row]:
    yield from _said("all", policy.rules)
    for overlay in policy.overlays:
        who = f"{overlay.name}: " + ", ".join(
            f"{name} {' or '.join(map(str, wanted))}" for name, wanted in _matched(overlay.match).items()
        )
        yield from _said(who, overlay)


def _said(who: str, rules: Rules | Overlay) -> Iterator[Row]:
    if rules.reference:
        yield who, "reference", "the reference checker says NSFW", rules.reference
    if rules.any_concept:
        yield who, "any concept", "its margin is above 0 on any tile or frame", rules.any_concept
    if rules.strength:
        yield who, "strength", f"every margin gets {rules.strength:+g}", "-"
    for concept_id, rule in rules.concepts.items():
        base = "its margin" if rule.threshold is None else f"its cosine - {rule.threshold:g}"
        then = rule.action or "as any concept"
        yield who, concept_id, f"{base} {rule.offset:+g} is above 0" if rule.offset else f"{base} is above 0", then
    for opinion in rules.opinions:
        yield who, f"{opinion.model}/{opinion.label}", f"at least {opinion.at_least:g}", opinion.action
    if rules.coverage:
        yield who, "coverage", f"less than {rules.coverage.below:g} of the picture was seen", rules.coverage.action
    if isinstance(rules, Rules):
        yield who, "otherwise", "nothing above restricts, all scores are there and finite", Status.ALLOW
        yield who, "otherwise", "a score that a rule needs is missing or not finite", Status.INDETERMINATE


def _matched(match: Match) -> dict[str, list[str]]:
    """Return the fields that restrict; `not said` stands for events that leave the field empty."""
    fields = {"region": match.region, "age_tier": match.age_tier, "surface": match.surface}
    return {name: sorted(value or "not said" for value in wanted) for name, wanted in fields.items() if wanted}

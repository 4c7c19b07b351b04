"""`sluice verify`: whether a published verdict is what these bytes, models and policy give."""

from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.cli.frame import FOUND, AsJson, console, emit, existing_file, say, settings_of, show
from sluice.cli.moderate import POLICY_HELP, Choice, with_a_bundle
from sluice.core.extras import needs
from sluice.settings import Settings

if TYPE_CHECKING:
    from sluice.services.moderator.difference import Difference
    from sluice_schemas import Verdict


@needs("moderator")
def verify(
    context: typer.Context,
    verdict: Annotated[
        Path,
        typer.Argument(
            metavar="VERDICT",
            parser=existing_file,
            help="A message value (Avro), or the JSON of `tail verdicts --json` or `moderate --json`.",
        ),
    ],
    image: Annotated[Path, typer.Option(metavar="FILE", parser=existing_file, help="The image's bytes.")],
    bundle: Annotated[str, typer.Option(help="As in moderate; else models.bundle.")] = "",
    policy: Annotated[str, typer.Option(help=POLICY_HELP)] = "",
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, help="How far scores may differ. Default: models.guard_band, which covers fp16 rounding."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge the image again and compare: bytes, policy, models, preprocessing, then every score and the status.

    A verdict does not say for which audience it was made: a policy's rules for audiences are not applied.
    Exit code 0: equal. 1: something differs, and what.
    """
    from sluice.services.moderator.claim import claimed, verdicts_in

    digest = sha256(image.read_bytes()).hexdigest()
    said = claimed(verdicts_in(verdict.read_bytes()), digest)
    settings = with_a_bundle(Choice(bundle, policy).over(settings_of(context)))
    found = _differences(said, image, digest, settings, tolerance)
    if as_json:
        emit({"equal": not found, "verdict_id": said.verdict_id, "differences": [asdict(one) for one in found]})
    elif found:
        show(("what", "the verdict says", "found now"), [(one.what, one.said, one.found) for one in found])
    else:
        console().print(f"equal: {said.verdict_id}, {said.status}")
    raise typer.Exit(FOUND if found else 0)


def _differences(
    said: "Verdict", image: Path, digest: str, settings: Settings, tolerance: float | None
) -> "tuple[Difference, ...]":
    """Return what differs; of other bytes nothing more is to be said."""
    from sluice.services.moderator.difference import Difference, differences

    if said.image_sha256 is not None and said.image_sha256 != digest:
        return (Difference("image_sha256", said.image_sha256, digest),)
    from sluice.report.finding import DEMONSTRATION, demonstrated
    from sluice.services.moderator.one_shot import moderate

    with console(stderr=True).status("judging"):
        [finding] = moderate([image], settings)
    if demonstrated([finding]):
        say(DEMONSTRATION)
    allowed = settings.models.guard_band if tolerance is None else tolerance
    return differences(said, finding.verdict, tolerance=allowed)

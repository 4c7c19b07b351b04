"""`sluice moderate`: verdict and quality of local files, by the consumer's own road."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.cli.frame import (
    NOT_ALLOWED,
    NOT_JUDGED,
    OK,
    AsJson,
    check_writable,
    console,
    emit,
    named_path,
    say,
    settings_of,
)
from sluice.cli.pictures import gathered
from sluice.core.errors import BadSettings
from sluice.core.extras import needs
from sluice.policies import PRESETS
from sluice.settings import Policy, Settings, surroundings
from sluice_schemas import Status

if TYPE_CHECKING:
    from sluice.report.finding import Finding


POLICY_HELP = f"Policy file (YAML) or preset ({', '.join(PRESETS)}); else the settings' policy."


@dataclass(frozen=True, slots=True)
class Choice:
    """What the command line says of models and policy; empty leaves it to the settings."""

    bundle: str
    policy: str

    def over(self, settings: Settings) -> Settings:
        """Return the settings with the choice in place."""
        models = settings.models.model_copy(update={"bundle": self.bundle}) if self.bundle else settings.models
        policy = self._policy(settings.policy)
        return settings.model_copy(update={"models": models, "policy": policy})

    def _policy(self, said: Policy) -> Policy:
        if not self.policy:
            return said
        if self.policy in PRESETS:
            return Policy(preset=self.policy, mode=said.mode)
        return Policy(file=named_path(self.policy), mode=said.mode)


@needs("moderator")
def moderate(
    context: typer.Context,
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE",
            parser=named_path,
            help="Image files; of folders all pictures below.",
            show_default=False,
        ),
    ],
    prompt: Annotated[
        str | None, typer.Option(help="What the images should show; gives the CLIP score.", show_default=False)
    ] = None,
    bundle: Annotated[
        str, typer.Option(help="openai, starter (tiny, for trying things out) or a folder; else models.bundle.")
    ] = "",
    policy: Annotated[str, typer.Option(help=POLICY_HELP)] = "",
    as_json: AsJson = False,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", parser=named_path, help="Write a page with thumbnails and all margins as bars."),
    ] = None,
) -> None:
    """Judge local files: status, reasons, margins, CLIP and technical quality.

    Exit code 0: all are ALLOW. 3: some are BLUR, REVIEW or BLOCK. 4: some could not be judged (INDETERMINATE).
    """
    check_writable("--report", report)
    surroundings.check_process()
    files = gathered(images)
    from sluice.services.moderator.one_shot import moderate as judge

    settings = with_a_bundle(Choice(bundle, policy).over(settings_of(context)))
    with console(stderr=True).status("judging"):
        findings = list(judge(files, settings, prompt=prompt))
    _tell(findings, as_json=as_json)
    if report:
        _write(report, findings)
    raise typer.Exit(max(_exit(finding.verdict.status) for finding in findings))


def with_a_bundle(settings: Settings) -> Settings:
    """Return the settings with the starter bundle where none is chosen and the policy leaves nothing to one."""
    if settings.models.bundle or settings.policy.file or settings.policy.preset != "opinions":
        return settings
    return settings.model_copy(update={"models": settings.models.model_copy(update={"bundle": "starter"})})


def _tell(findings: "list[Finding]", *, as_json: bool) -> None:
    from sluice.report.finding import DEMONSTRATION, demonstrated
    from sluice.report.table import as_json as plain
    from sluice.report.table import table

    if as_json and demonstrated(findings):
        say(DEMONSTRATION)  # a table says it itself
    if as_json:
        emit([plain(finding) for finding in findings])
    else:
        console().print(table(findings))


def _write(file: Path, findings: "list[Finding]") -> None:
    from sluice.report.page import page

    try:
        file.write_text(page(findings, datetime.now(UTC)), encoding="utf-8")
    except OSError as error:
        raise BadSettings(f"--report {file}: cannot be written: {error.strerror}") from error
    say(f"report: {file}")


def _exit(status: Status) -> int:
    if status is Status.ALLOW:
        return OK
    return NOT_JUDGED if status is Status.INDETERMINATE else NOT_ALLOWED

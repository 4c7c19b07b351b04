"""`sluice models`: which weights there are, bringing them here, and whether they are what they claim to be."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.cli.frame import FOUND, AsJson, check_writable, emit, existing_file, named_path, say, settings_of, show
from sluice.core.errors import BadSettings, WeightsNotAttested
from sluice.core.extras import needs
from sluice.settings import Settings

if TYPE_CHECKING:
    from sluice.models.files import FileReport

app = typer.Typer(no_args_is_help=True, help="Weights: list, fetch, convert, pin, attest, verify.")

NAMED = ("openai", "starter")
BundleName = Annotated[
    str, typer.Argument(help="`openai`, `starter` or a folder; without it models.bundle.", show_default=False)
]


@app.command("list")
@needs("moderator")
def list_bundles(context: typer.Context, as_json: AsJson = False) -> None:
    """List the bundles that can be named, and whether their files are here."""
    configured = settings_of(context).models.bundle
    rows = [_listed(name, configured) for name in dict.fromkeys((*NAMED, *filter(None, [configured])))]
    if as_json:
        emit(rows)
    else:
        show(("bundle", "revision", "configured", "state"), [tuple(row.values()) for row in rows])


@app.command()
@needs("moderator")
def fetch(as_json: AsJson = False) -> None:
    """Bring the `openai` bundle into the hub cache, check every SHA-256, convert its one pickle."""
    from sluice.models import hub

    say("fetching about 2.9 GB where the cache lacks it; the checker's licence is unclear, read MODEL_CARD.md")
    report = hub.fetch()
    if as_json:
        emit(asdict(report))
        return
    show(("file", "sha256", "trusted by", "path"), [(f.name, f.sha256, f.trust, f.path) for f in report.files])
    say(f"recorded in {report.lock}; next: sluice models attest openai")


@app.command()
@needs("moderator")
def convert(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", parser=existing_file, help="Pickled checkpoint.")],
    target: Annotated[
        Path | None, typer.Argument(metavar="TARGET", parser=named_path, help="Default: model.safetensors beside it.")
    ] = None,
    sha256: Annotated[str | None, typer.Option("--sha256", help="What the pickle's SHA-256 must be.")] = None,
    as_json: AsJson = False,
) -> None:
    """Turn a pickled checkpoint into safetensors: tensors alone, nothing in the pickle is run."""
    from sluice.models.convert import convert as convert_file

    report = convert_file(source, target or source.with_name("model.safetensors"), sha256=sha256)
    _facts(asdict(report), as_json=as_json)


@app.command()
@needs("moderator")
def attest(context: typer.Context, bundle: BundleName = "", as_json: AsJson = False) -> None:
    """Say whether the checker's tower is CLIP's own, so that one forward pass serves both, and print the digests."""
    from sluice.models import bundle as bundles
    from sluice.models.towers import attest as compare

    found = compare(bundles.read(_chosen(context, bundle)))
    _facts({"identical": found.identical, **asdict(found)}, as_json=as_json)


@app.command()
@needs("moderator")
def verify(context: typer.Context, bundle: BundleName = "", as_json: AsJson = False) -> None:
    """Hash every file of a bundle and compare it with its pin; exit status 1 when one differs.

    A folder without pins is `unpinned`: nothing was compared. `sluice models pin` writes them.
    """
    from sluice.models import bundle as bundles
    from sluice.models import files

    report = bundles.verify(files.locate(_chosen(context, bundle)))
    if as_json:
        emit({"ok": report.ok, **asdict(report)})
    else:
        rows = [(file.name, file.sha256, "pinned" if file.pinned else "-", _state(file)) for file in report.files]
        show(("file", "sha256", "pin", "state"), rows, title=f"{report.bundle} {report.revision}".strip())
    if report.differs:
        raise typer.Exit(FOUND)
    if not report.pinned:
        say("unpinned: no file records what these must be; once they are known to be right: sluice models pin FOLDER")


@app.command()
@needs("moderator")
def pin(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", parser=named_path, help="A bundle's folder.")],
    as_json: AsJson = False,
) -> None:
    """Write down in FOLDER/bundle.json that its files must be what they are now; from then on others are refused."""
    from sluice.models import bundle as bundles
    from sluice.models import files

    try:
        about = files.pin(folder)
    except OSError as error:
        raise BadSettings(f"{folder}: the pins cannot be written: {error.strerror}") from error
    report = bundles.verify(files.locate(str(folder)))
    if as_json:
        emit({"pins": str(about), **asdict(report)})
        return
    show(("file", "sha256"), [(file.name, file.sha256) for file in report.files], title=str(about))


@app.command()
@needs("moderator")
def self_test(
    context: typer.Context,
    pictures: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PICTURE", parser=existing_file, help="Pictures to take along, without a prompt."),
    ] = None,
    write: Annotated[
        Path | None, typer.Option(metavar="FILE", parser=named_path, help="Keep pictures and answers in a file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the known pictures, in float32, and show or keep what the configured bundle and policy answer.

    Look at the answers before you keep them: `sluice run` with self_test.file stops wherever it gets others.
    Exit code 76: they are not those of self_test.file, or of the starter bundle.
    """
    check_writable("--write", write)
    rows = list(_answers(settings_of(context), pictures or (), write))
    if as_json:
        emit(rows)
    else:
        show(("picture", "status", "nearest concept", "margin", "cosine"), [tuple(row.values()) for row in rows])


def _state(file: "FileReport") -> str:
    return file.problem or ("ok" if file.pinned else "unpinned")


def _chosen(context: typer.Context, name: str) -> str:
    return name or settings_of(context).models.bundle


def _answers(settings: Settings, further: Sequence[Path], file: Path | None) -> Iterator[dict[str, Any]]:
    """Ask all known pictures, keep their answers where a file is named, and yield them in short."""
    from sluice.core.metrics import unobserved
    from sluice.moderation.self_test import KnownPicture
    from sluice.services.moderator import self_test_file
    from sluice.services.moderator.judging import judging

    given = settings.self_test.model_copy(update={"file": None}) if file else settings.self_test
    with judging(settings, worker="sluice models self-test", observe=unobserved) as judge:
        asked = self_test_file.of(given, judge.decoders.known, judge.inference, judge.policy, unobserved)
        asked.known += [KnownPicture(path.stem, path.read_bytes(), None) for path in further]
        self_test_file.settle(asked, judge.inference, time.sleep)
        if file:
            self_test_file.write(file, asked.known, judge.inference.provenance)
        for name, answer in asked.answers:
            nearest = max(answer.concepts, key=lambda concept: concept.margin)
            status = judge.policy.decide(answer, None, coverage=1.0).status
            yield {
                "picture": name,
                "status": status,
                "concept": nearest.id,
                "margin": round(nearest.margin, 4),
                "cosine": answer.clip and round(answer.clip.cosine, 4),
            }


def _listed(name: str, configured: str) -> dict[str, Any]:
    from sluice.models import files

    revision, state = "", "here"
    try:
        revision = files.locate(name).revision
    except (BadSettings, WeightsNotAttested) as error:
        state = str(error)
    return {"bundle": name, "revision": revision, "configured": "yes" if name == configured else "", "state": state}


def _facts(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit(facts)
    else:
        show(("what", "value"), facts.items())

"""One-shot moderation: the consumer's own road with local files at one end, findings at the other, and no Kafka."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from sluice.core.metrics import unobserved
from sluice.core.records import Partition, Record
from sluice.media.decoding.preview import jpeg
from sluice.media.fetching.fetcher import Fetcher
from sluice.moderation.pipeline import Pipeline, Steps
from sluice.moderation.values import Judged, Judgement, Picture, Thumbnail
from sluice.report.finding import Finding
from sluice.services.moderator.judging import CLOCKS, Decoders, judging
from sluice.settings import Fetch, Settings
from sluice.stream.batch import Batch, FillReason
from sluice_schemas import Generator, Image, ImageGenerated
from sluice_schemas.identity import fault_of

HERE = Partition("local", 0)
"""Where a local file stands in a log that it is not in; its offset is its number on the command line."""

PREVIEW = Thumbnail("fit", 420)


def moderate(files: Sequence[Path], settings: Settings, *, prompt: str | None = None) -> Iterator[Finding]:
    """Yield one finding per file, in order; a file that cannot be judged is INDETERMINATE with its reason.

    Raises BadSettings, WeightsNotAttested before the first, DependencyDown when the disk fails.
    """
    with ExitStack() as stack:
        judge = stack.enter_context(judging(settings, worker="sluice moderate", observe=unobserved, preview=PREVIEW))
        fetcher = stack.enter_context(Fetcher(_allowing(files), settings.media))
        threads = stack.enter_context(ThreadPoolExecutor(1))
        album = _Album(judge.decoders)
        steps = Steps(
            decode=_Events(tuple(files), prompt),
            fetch=fetcher.submit,
            picture=album.submit,
            score=judge.inference.submit,
            judge=judge.policy.judge,
            encode=lambda _outcome: (),
        )
        pipeline = Pipeline(steps, judge.verdict_builder, CLOCKS, threads, unobserved)
        for batch in _batches(files, settings.batching.max_records):
            outcomes = pipeline.outcomes(batch)
            previews = album.previews()
            for outcome in outcomes:
                yield _finding(files, outcome, prompt, previews)


@dataclass(frozen=True, slots=True)
class _Events:
    """Makes the event that would have brought a file."""

    files: Sequence[Path]
    prompt: str | None

    def __call__(self, record: Record) -> ImageGenerated:
        file = self.files[record.offset]
        return ImageGenerated(
            image_id=_image_id(file),
            created_at=CLOCKS.now(),
            image=Image(uri=file.absolute().as_uri()),
            prompt=self.prompt,
            generator=Generator("local file"),
        )


@dataclass(slots=True)
class _Album:
    """Decodes, and keeps what was decoded until the previews are asked for."""

    pool: Decoders
    pictures: list[Future[Picture]] = field(default_factory=list)

    def submit(self, data: bytes) -> Future[Picture]:
        picture = self.pool.submit(data)
        self.pictures.append(picture)
        return picture

    def previews(self) -> dict[str, bytes]:
        """Return a small JPEG of each decoded picture, by the picture's sha256, and forget the pictures."""
        decoded = [picture.result() for picture in self.pictures if picture.exception() is None]
        self.pictures.clear()
        return {picture.sha256: jpeg(picture.thumbnails[PREVIEW]) for picture in decoded}


def _allowing(files: Sequence[Path]) -> Fetch:
    """Allow exactly the folders of the files that were named: who names a file may read it."""
    return Fetch(allowed_schemes=("file",), file_roots=tuple({file.resolve().parent for file in files}))


def _name(file: str | Path) -> str:
    """Return a file's name as text: a byte of it that is not UTF-8 is written as an escape."""
    return os.fsencode(file).decode(errors="backslashreplace")


def _image_id(file: Path) -> str:
    """Return a file's name, percent-encoded where no event may bear it as its id."""
    name = _name(file.name)
    return quote(name) if fault_of(name) else name


def _batches(files: Sequence[Path], size: int) -> Iterator[Batch]:
    records = [Record(HERE, offset, -1, _name(file.name).encode(), None) for offset, file in enumerate(files)]
    for start in range(0, len(records), size):
        yield Batch(tuple(records[start : start + size]), FillReason.COUNT, CLOCKS.monotonic())


def _finding(files: Sequence[Path], outcome: Judgement, prompt: str | None, previews: dict[str, bytes]) -> Finding:
    sha256 = outcome.verdict.image_sha256
    preview = previews.get(sha256) if isinstance(outcome, Judged) and sha256 else None
    return Finding(_name(files[outcome.record.offset]), outcome, prompt, preview)

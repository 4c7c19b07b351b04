"""The numbers of verdicts, counted when they are committed: statuses by generator, dead letters, scores."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sluice.core.log_events import log_event, trace_id
from sluice.core.metrics import Observe, ObserveAll
from sluice.moderation.values import Judged, Judgement, Rejected
from sluice.stream.outcome import Outcome

_GENERATORS = 20
_UNNAMED = "unknown"
_NAME = 64  # characters of a name that strangers choose


@dataclass(slots=True)
class VerdictMetrics:
    """Observes commits of judgements; called by the loop's thread alone."""

    observe: Observe
    observe_all: ObserveAll
    _generators: set[str] = field(default_factory=set)

    def __call__(self, outcomes: Sequence[Outcome]) -> None:
        """Count what was committed; outcomes that are no judgements are not counted."""
        judgements = [outcome for outcome in outcomes if isinstance(outcome, Judged | Rejected)]
        self._count(judgements)
        self._scores([each for each in judgements if isinstance(each, Judged)])

    def _count(self, outcomes: Sequence[Judgement]) -> None:
        verdicts = Counter([(o.verdict.status, _generator(o)) for o in outcomes])
        for (status, generator), count in verdicts.items():
            self.observe("sluice.verdicts", count, {"status": status, "generator": self._known(generator)})
        rejected = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
        errors = [outcome.dead_letter.error for outcome in rejected]
        for (stage, reason), count in Counter([(error.stage, error.reason) for error in errors]).items():
            self.observe("sluice.dead_letters", count, {"stage": stage, "reason": reason})
        for outcome in rejected:
            _log_rejection(outcome)

    def _scores(self, judged: Sequence[Judged]) -> None:
        margins = [[concept.margin for concept in outcome.verdict.concepts] for outcome in judged]
        self.observe_all("sluice.margin", [max(each) for each in margins if each])
        self.observe_all("sluice.clip.cosine", [o.quality.clip.cosine for o in judged if o.quality.clip])
        aesthetics = [outcome.quality.aesthetic for outcome in judged]
        self.observe_all("sluice.aesthetic.score", [score for score in aesthetics if score is not None])

    def _known(self, generator: str) -> str:
        """Return a generator's name, `other` for one too many: each makes series for as long as the process lives."""
        name = generator[:_NAME]
        if name != _UNNAMED and name not in self._generators:
            if len(self._generators) >= _GENERATORS:
                return "other"
            self._generators.add(name)
        return name


def _log_rejection(letter: Rejected) -> None:
    record, error = letter.record, letter.dead_letter.error
    log_event(
        "dead_letter",
        topic=record.partition.topic,
        partition=record.partition.index,
        offset=record.offset,
        stage=error.stage,
        reason=error.reason,
        trace_id=trace_id(record.headers),
    )


def _generator(outcome: Judgement) -> str:
    generator = outcome.quality.generator if isinstance(outcome, Judged) else None
    return generator.model_id if generator and generator.model_id else _UNNAMED

"""Self-test: known pictures, judged beside the real ones by the same decoders, models and policy, and never published.

Their answers are known, or are the first ones of this process, computed in float32 and one by one. A process that later
answers differently may have misjudged real pictures, too: it publishes nothing further. The same holds for a process
that answers alike for different pictures, or with nothing but zeros, whatever the known answers are.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from sluice.core.errors import DependencyDown, Rejection, SelfTestFailed
from sluice.core.metrics import Observe
from sluice.moderation.values import Decision, Job, Picture, Scores

AGAIN_S = 1.0
"""Seconds until a known picture is asked again that could not be judged for want of a decoder or of memory."""

CROWDED = frozenset({"decode_stalled", "decode_timeout", "decoder_crash", "decoder_memory"})
"""What a crowded machine, or a killer of processes, may do to any picture: no answer, and no wrong one either."""

ALIKE = 1e-4
"""Of different pictures some cosine lies further apart than this: by 0.1 and more, be the weights trained or random."""

NOTHING = 0.01
"""Some cosine of some known picture is further from 0 than this. An embedding without direction has cosines of 0."""

REMEDY = "nothing further is published; a new process loads and attests anew, and if that does not help: sluice doctor"


@dataclass(frozen=True, slots=True)
class KnownPicture:
    """A known picture, its prompt and, once it is known, what the models must say of them."""

    name: str
    data: bytes
    prompt: str | None
    answer: Scores | None = None


@dataclass(frozen=True, slots=True)
class Judge:
    """What a known picture is judged by; `score` puts its jobs before those that wait."""

    picture: Callable[[bytes], Future[Picture]]
    score: Callable[[Sequence[Job]], Future[list[Scores | Rejection]]]
    decide: Callable[[Scores, Picture], Decision]


@dataclass(frozen=True, slots=True)
class Pace:
    """How often known pictures are asked, how late an answer may be, in seconds; how far a score may move."""

    every_s: float
    within_s: float
    tolerance: float


@dataclass(slots=True)
class _Round:
    """One time of asking them all."""

    pictures: list[Future[Picture]]
    scores: Future[list[Scores | Rejection]] | None = None


class SelfTest:
    """Asks without ever waiting: `turn` is called again and again by one thread, the loop's."""

    def __init__(
        self,
        known_pictures: Sequence[KnownPicture],
        judge: Judge,
        pace: Pace,
        clock: Callable[[], float],
        observe: Observe,
    ) -> None:
        self.known = list(known_pictures)
        self.by_itself = not all(known_picture.answer for known_picture in known_pictures)
        self._judge = judge
        self._pace = pace
        self._clock = clock
        self._observe = observe
        self._round: _Round | None = None
        self._due_at_s = clock()
        self._begun_at_s: float | None = None
        self._late = ""
        self.right = False
        for result in ("right", "wrong", "late"):
            observe("sluice.self_test.answers", 0, {"result": result})

    @property
    def answers(self) -> list[tuple[str, Scores]]:
        """The right answers that are known, by the known pictures' names."""
        return [(known_picture.name, known_picture.answer) for known_picture in self.known if known_picture.answer]

    def turn(self) -> None:
        """Ask when it is time, and look at the answers when they are there.

        Raises SelfTestFailed when one is wrong or none came in time, and what else the inference worker raises.
        """
        now = self._clock()
        if self._round is None and now >= self._due_at_s:
            self._round = _Round([self._judge.picture(known_picture.data) for known_picture in self.known])
            self._begun_at_s = now if self._begun_at_s is None else self._begun_at_s
        if self._round is not None:
            self._look(self._round)
        if self._begun_at_s is not None and now - self._begun_at_s > self._pace.within_s:
            self._observe("sluice.self_test.answers", 1, {"result": "late"})
            late = f"no known picture was answered within {self._pace.within_s:g} s (self_test.within_s){self._late}"
            raise SelfTestFailed(late, remedy=REMEDY)

    def _look(self, asked: _Round) -> None:
        try:
            if asked.scores is None and all(future.done() for future in asked.pictures):
                asked.scores = self._judge.score(self._jobs(asked))
            if asked.scores is not None and asked.scores.done():
                self._compare([future.result() for future in asked.pictures], asked.scores.result())
        except DependencyDown as down:
            self._again(down)
        except Rejection as rejection:
            if rejection.reason in CROWDED:
                self._again(rejection)
            else:
                raise self._wrong(f"{self._of(asked, rejection)}: {rejection}") from rejection

    def _jobs(self, asked: _Round) -> list[Job]:
        return [
            Job(future.result(), known_picture.prompt, exact=known_picture.answer is None)
            for future, known_picture in zip(asked.pictures, self.known, strict=True)
        ]

    def _compare(self, pictures: Sequence[Picture], answers: Sequence[Scores | Rejection]) -> None:
        """Take the first answers for the right ones where none are known, and ask again at once; else compare."""
        self.right = all(known_picture.answer for known_picture in self.known)
        for number, (picture, found) in enumerate(zip(pictures, answers, strict=True)):
            known_picture = self.known[number]
            if isinstance(found, Rejection):
                raise self._wrong(f"{known_picture.name}: {found}")
            if known_picture.answer is None:
                self.known[number] = replace(known_picture, answer=found)
            elif said := self._different(known_picture.answer, found, picture):
                raise self._wrong(f"{known_picture.name}: {said}")
        if said := meaningless([known_picture.data for known_picture in self.known], answers):
            raise self._wrong(said)
        self._round = self._begun_at_s = None
        if self.right:
            self._observe("sluice.self_test.answers", len(self.known), {"result": "right"})
            self._due_at_s = self._clock() + self._pace.every_s

    def _different(self, answer: Scores, found: Scores, picture: Picture) -> str:
        """Say what differs, if anything does; opinions are not compared, so both are decided with those found."""
        if said := different(answer, found, self._pace.tolerance):
            return said
        decided = self._judge.decide(found, picture)
        right = self._judge.decide(replace(answer, opinions=found.opinions), picture)
        return "" if decided.status is right.status else f"{decided.status} instead of {right.status}"

    def _of(self, asked: _Round, rejection: Rejection) -> str:
        pairs = zip(self.known, asked.pictures, strict=True)
        return next(
            (known_picture.name for known_picture, future in pairs if future.exception() is rejection), "one of them"
        )

    def _again(self, why: Rejection | DependencyDown) -> None:
        self._round, self._late = None, f", at last: {why}"
        self._due_at_s = self._clock() + AGAIN_S

    def _wrong(self, said: str) -> SelfTestFailed:
        self._observe("sluice.self_test.answers", 1, {"result": "wrong"})
        return SelfTestFailed(f"self-test: {said}", remedy=REMEDY)


def meaningless(pictures: Sequence[bytes], answers: Sequence[Scores | Rejection]) -> str:
    """Say why the answers to these pictures, whatever they are, do not come from looking; empty when they may."""
    different = {
        data: [concept.cosine for concept in found.concepts]
        for data, found in zip(pictures, answers, strict=True)
        if isinstance(found, Scores)
    }
    cosines = list(zip(*different.values(), strict=True))
    if not any(abs(cosine) > NOTHING for of_one in cosines for cosine in of_one):
        return f"answers are all near 0: no score of any picture is further from it than {NOTHING:g}"
    if len(different) > 1 and not any(max(of_one) - min(of_one) > ALIKE for of_one in cosines):
        return f"answers do not depend on the picture: those to {len(different)} lie within {ALIKE:g}"
    return ""


def different(answer: Scores, found: Scores, tolerance: float) -> str:
    """Say which score of `found` is not that of `answer`, empty when all are within `tolerance`."""
    if answer.reference_has_nsfw is not found.reference_has_nsfw:
        return f"the reference's answer is {found.reference_has_nsfw}"
    right = {concept.id: concept.margin for concept in answer.concepts}
    margins = {concept.id: concept.margin for concept in found.concepts}
    if right.keys() != margins.keys():
        return "other concepts"
    pairs = [(f"concept {name}", right[name], margins[name]) for name in right]
    if answer.clip and found.clip:
        pairs.append(("the agreement with the prompt", answer.clip.cosine, found.clip.cosine))
    elif answer.clip or found.clip:
        return "the agreement with the prompt is there or not"
    for what, expected, seen in pairs:
        if not abs(expected - seen) <= tolerance:
            return f"{what} is {seen:.6f} instead of {expected:.6f}, at most {tolerance:g} apart"
    return ""

"""Reducers and questions with one defect each: what the test of the display gate must notice, too."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sluice_schemas import Decision, Mode, Status, Verdict, gate

Ask = tuple[Verdict | None, str, int, datetime]
Latest = Callable[[Verdict | None, Verdict], Verdict]


def _by(rank: Callable[[Verdict], tuple[object, ...]]) -> Latest:
    return lambda current, incoming: incoming if current is None or rank(incoming) > rank(current) else current


def _rank_with(**changed: Callable[[Verdict], object]) -> Latest:
    """Return the reducer with one part of the comparison changed."""

    def rank(verdict: Verdict) -> tuple[object, ...]:
        parts = dict(zip(("mode", "person", "version", "strictness"), gate._rank(verdict), strict=False))
        return tuple((parts | {name: part(verdict) for name, part in changed.items()}).values())

    return _by(rank)


LATEST: Mapping[str, Latest] = {
    "the last to come wins": lambda _, incoming: incoming,
    "the strictest wins, whatever its policy": _rank_with(version=lambda _: 0),
    "the mildest wins": _rank_with(strictness=lambda verdict: -gate._RESTRICTIVE[verdict.status]),
    "a person counts as a model": _rank_with(person=lambda _: 0),
    "the earlier person wins": _rank_with(
        person=lambda verdict: -verdict.override.at.timestamp() if verdict.override else float("-inf")
    ),
    "a trial counts": _rank_with(mode=lambda _: 0),
    "indeterminate is as good as ALLOW": _rank_with(
        strictness=lambda verdict: gate._RESTRICTIVE[verdict.status] % gate._RESTRICTIVE[Status.INDETERMINATE]
    ),
}

_FAR = datetime(1, 1, 2, tzinfo=UTC)
ASK: Mapping[str, Callable[[Verdict | None, str, int, datetime], Ask]] = {
    "any bytes": lambda v, _, least, now: (v, v.image_sha256 or "" if v else "", least, now),
    "any policy": lambda v, sha, _, now: (v, sha, 0, now),
    "only newer policies": lambda v, sha, least, now: (v, sha, least + 1, now),
    "for ever": lambda v, sha, least, _: (v, sha, least, _FAR),
    "a moment too long": lambda v, sha, least, now: (v, sha, least, now - timedelta(microseconds=1)),
    "trials too": lambda v, sha, least, now: (v and replace(v, mode=Mode.ENFORCE), sha, least, now),
    "blurred as plain": lambda v, sha, least, now: (_as_allow(v, Status.BLUR), sha, least, now),
    "indeterminate as plain": lambda v, sha, least, now: (_as_allow(v, Status.INDETERMINATE), sha, least, now),
}


def _as_allow(verdict: Verdict | None, status: Status) -> Verdict | None:
    return replace(verdict, status=Status.ALLOW) if verdict and verdict.status is status else verdict


def asking(change: Callable[[Verdict | None, str, int, datetime], Ask]) -> Callable[..., Decision]:
    """Return `gate.may_show` as it would be if it had been asked something else."""
    sound = gate.may_show

    def may_show(verdict: Verdict | None, image_sha256: str, *, minimum_policy_version: int, now: datetime) -> Decision:
        found, sha256, least, moment = change(verdict, image_sha256, minimum_policy_version, now)
        return sound(found, sha256, minimum_policy_version=least, now=moment)

    return may_show
